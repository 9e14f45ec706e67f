"""``mmc bench``: this cache against the floors and the peers, in one run."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from mmc.bench.failures import BenchError
from mmc.bench.rows import ROWS
from mmc.bench.run import run_bench
from mmc.bench.settings import settings_of
from mmc.cli.options import Dram
from mmc.cli.terminal import complain, guarded, say

_SIGNALLED = 128


@guarded
def bench(
    only: Annotated[
        str, typer.Option(metavar="ROW[,ROW]", help=f"Measure only these: {', '.join(r.name for r in ROWS)}.")
    ] = "",
    rounds: Annotated[
        int | None, typer.Option(help="How often everything is measured; 5 by default.")
    ] = None,
    keys: Annotated[int | None, typer.Option(help="Objects of 4 KiB; 100000 by default.")] = None,
    ranks: Annotated[int, typer.Option(help="How many local services.")] = 2,
    dram: Dram = "",
    quick: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--quick", help="About a minute: fewer objects, calls and rounds.")
    ] = False,
    peers: Annotated[bool, typer.Option(help="Measure the peers that are installed.")] = True,  # noqa: FBT002 - a flag
    json_file: Annotated[str, typer.Option("--json", metavar="FILE", help="Write everything as JSON.")] = "",
) -> None:
    """Measure this cache, the floors, and the peers that scripts/peers installs, by turns."""
    settings = settings_of(only, rounds, keys, ranks, dram, quick=quick, peers=peers)
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(_SIGNALLED + number))
    try:
        report = run_bench(settings, _tell)
    except BenchError as error:
        complain(str(error))
        raise typer.Exit(1) from None
    for line in report.lines():
        say(line)
    if json_file:
        Path(json_file).write_text(f"{json.dumps(report.facts(), indent=1)}\n", encoding="utf-8")


def _tell(what: str) -> None:
    sys.stderr.write(f"bench: {what}\n")
    sys.stderr.flush()
