"""How long a cluster and a client need to begin and to end, and what a cluster costs that nobody uses."""

from __future__ import annotations

import json
import sys
from time import perf_counter
from typing import TYPE_CHECKING

from mmc.bench.columns import OURS
from mmc.bench.desk import Desk
from mmc.bench.ending import Ending
from mmc.bench.machine import cpu_seconds
from mmc.bench.ours import await_populated
from mmc.bench.processes import Program, pause
from mmc.bench.rows import CLOSE, CONNECT, IDLE, READY
from mmc.bench.services import ANY_PORT
from mmc.config import load_config

if TYPE_CHECKING:
    from pathlib import Path

    from mmc.bench.figures import Figures
    from mmc.bench.processes import Hand
    from mmc.bench.settings import Settings

_READY_S = 120.0
_CONNECT_S = 30.0
_STARTS, _QUICK_STARTS = 5, 1
_CONNECTS = 5
_IDLE_S = 5.0
_QUICK_IDLE_S = 2.0


def measure(settings: Settings, figures: Figures, caller: Hand, folder: Path) -> None:
    """Start ``mmc up`` some times, connect and close, and look at it while it is idle.

    Raises:
        BenchError: it does not start.
    """
    dram = settings.dram or load_config().local.dram
    command = [sys.executable, "-m", "mmc.cli", "up", "--json", "--meta-url", ANY_PORT,
               "--local", str(settings.ranks), "--dram", str(dram)]  # fmt: skip
    for _ in range(_QUICK_STARTS if settings.quick else _STARTS):
        with Ending() as ending:
            begun = perf_counter()
            cluster = Program("mmc up", command, {}, folder / "up.log")
            ending.keep(cluster)
            facts = json.loads(cluster.read_line(_READY_S))
            figures.add(READY.name, OURS, [perf_counter() - begun])
            url, pids = facts["meta_service_url"], facts["pids"]
            taken = [caller.ask(_CONNECT_S, Desk.connect, url) for _ in range(_CONNECTS)]
            figures.add(CONNECT.name, OURS, [connected for connected, _ in taken])
            figures.add(CLOSE.name, OURS, [closed for _, closed in taken])
            await_populated(pids["local"], dram)
            everybody = [cluster.pid, pids["broker"], pids["meta"], *pids["local"]]
            seconds = _QUICK_IDLE_S if settings.quick else _IDLE_S
            before, begun = sum(map(cpu_seconds, everybody)), perf_counter()
            pause(seconds)
            used = sum(map(cpu_seconds, everybody)) - before
            figures.add(IDLE.name, OURS, [used / (perf_counter() - begun)])
