"""``mmc bench``: this cache against the floors and the peers, in one run."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from mmc.bench.failures import BenchError
from mmc.bench.plots import draw, require_matplotlib
from mmc.bench.rows import ROWS
from mmc.bench.run import run_bench
from mmc.bench.settings import settings_of
from mmc.bench.trace import replay
from mmc.cli.options import Dram
from mmc.cli.terminal import complain, guarded, say

_SIGNALLED = 128
_NAMES = ", ".join(row.name for row in ROWS)


@guarded
def bench(
    only: Annotated[str, typer.Option(metavar="ROW[,ROW]", help=f"Only these rows: {_NAMES}.")] = "",
    rounds: Annotated[
        int | None, typer.Option(help="How often everything is measured; default 5, quick 3.")
    ] = None,
    keys: Annotated[int | None, typer.Option(help="Objects of 4 KiB; default 100000, quick 20000.")] = None,
    ranks: Annotated[int, typer.Option(help="How many local services.")] = 2,
    dram: Dram = "",
    quick: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--quick", help="About a minute: fewer objects, calls and rounds.")
    ] = False,
    peers: Annotated[bool, typer.Option(help="Measure the peers that are installed.")] = True,  # noqa: FBT002 - a flag
    trace: Annotated[
        str, typer.Option(metavar="FILE", help="Replay a request trace instead; takes --dram and --json.")
    ] = "",
    json_file: Annotated[str, typer.Option("--json", metavar="FILE", help="Write everything as JSON.")] = "",
    plots: Annotated[
        str, typer.Option(metavar="DIR", help="Draw pictures; needs matplotlib, of the extra bench.")
    ] = "",
) -> None:
    """Measure this cache, the floors, and the peers that scripts/peers installs, by turns."""
    settings = settings_of(only, rounds, keys, ranks, dram, quick=quick, peers=peers)
    if trace and (only or plots or quick or rounds is not None or keys is not None):
        raise typer.BadParameter("--trace goes with --dram and --json alone")
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(_SIGNALLED + number))
    try:
        if trace:
            replay(Path(trace), dram, Path(json_file) if json_file else None)
        if plots:
            require_matplotlib()
            Path(plots).mkdir(parents=True, exist_ok=True)
        if json_file:
            Path(json_file).touch()
        report = run_bench(settings, _tell)
    except BenchError as error:
        complain(str(error))
        raise typer.Exit(1) from None
    if json_file:
        Path(json_file).write_text(f"{json.dumps(report.facts(), indent=1)}\n", encoding="utf-8")
    for line in report.lines():
        say(line)
    if plots:
        draw(report.figures, Path(plots))


def _tell(what: str) -> None:
    sys.stderr.write(f"bench: {what}\n")
    sys.stderr.flush()
