"""Replays a request trace end to end: the replay of the checkout, in place of this process."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from mmc.bench.failures import BenchError

CHECKOUT = Path(__file__).resolve().parents[2]
"""Where this package was found; a checkout has the scripts beside it."""


def replay(trace: Path, dram: str, json_file: Path | None, checkout: Path = CHECKOUT) -> NoReturn:
    """Become ``scripts/replay``; its report goes to standard output, or as JSON into a file.

    Raises:
        BenchError: there is no such script beside this package, or no such trace.
        OSError: the file cannot be written.
    """
    if not (checkout / "scripts" / "replay" / "__main__.py").is_file():
        raise BenchError("--trace runs scripts/replay, which a checkout has and an installed package has not")
    if not trace.is_file():
        raise BenchError(f"--trace {trace}: there is no such file")
    command = [sys.executable, "-P", "-m", "scripts.replay", "--trace", str(trace)]
    if dram:
        command += ["--dram", dram]
    if json_file is not None:
        command.append("--json")
        with json_file.open("wb") as output:
            os.dup2(output.fileno(), sys.stdout.fileno())
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(checkout), os.environ.get("PYTHONPATH"))))
    os.execv(sys.executable, command)  # noqa: S606 - this process becomes the replay
