"""``python -m scripts.crashing.soak``: load for a long time, and see that what is used comes back each time.

In each round clients come, put, get, view, lease and remove; one of them is killed, and another takes over
what it had.  Then they leave, but for one that stays for the whole run, everything is removed, and when the
cluster is quiet it is measured: memory, descriptors and threads of each process, files and bytes in shared
memory, sessions, clients, leases, reserved space, and what still waits for its pins.  Clients remember the
places of 1024 keys, not of 262144, so that what this takes is reached while the run warms up.  The one that
stays returns freed memory to the system first, since the C library keeps now more of it, now less.

The first quarter of the rounds warms up; from then on a curve is flat if

- of memory, a straight line through the points rises by less than 2 MiB, or 3 % of where it begins;
- of everything else, the last point is not above the first.

Exits with 1 when a curve is not flat, or the load saw anything wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from mmc.config import parse_size
from scripts.crashing.curves import Curves, is_memory, save_plot
from scripts.crashing.figures import files_in, holdings
from scripts.crashing.fleet import Fleet, clear_all, remove_journals
from scripts.crashing.ground import Ground
from scripts.crashing.ledger import STORED, Ledger
from scripts.crashing.load import Settings
from scripts.crashing.verdict import judge
from scripts.replay.exit_status import exit_status

if TYPE_CHECKING:
    from mmc.wire.replies import StatusReport
    from scripts.replay.stopping import StopSignals

_LIVE_SHARE = 0.4
_WARM_UP_SHARE = 0.25
_FEWEST_POINTS = 3
_REMEMBERED = 1024
_FIRST_PUT_S = 60.0
_MIB = 1 << 20
_STAYING = "client that stays"
_OF_META = ("sessions", "leased", "unconfirmed", "objects")
_OF_RANKS = ("used_bytes", "reserved_bytes", "quarantined_bytes", "objects", "clients", "waiting_reserves")


class Soak:
    """Rounds of load on one cluster, and a point of each curve for each."""

    def __init__(self, ground: Ground, settings: Settings, comers: int) -> None:
        """One client stays; ``comers`` come and go in each round."""
        self._ground = ground
        self._settings = settings
        self._comers = comers
        self._lives = 0
        self._ledger = Ledger(ground.journals)
        self.staying = Fleet(settings, (0,))
        self.coming = Fleet(settings, ())
        self.staying.tell_all("stop")
        self.curves = Curves()
        self.calls = 0
        self.wrong: list[str] = []
        self._began = monotonic()

    def round(self, seconds: float) -> None:
        """Load for a while, clear away, and measure.

        Raises:
            ReplayError: a client has failed.
            Stopped: a signal arrived.
        """
        self._lives += 1
        first = replace(self._settings, life=self._lives)
        self.coming = Fleet(first, range(1, self._comers + 1))
        self.staying.tell_all("go")
        self._ground.pause(seconds / 2)
        self._ground.wait(partial(self._has_put, self.coming.lives[0].name), _FIRST_PUT_S)
        self.coming.kill(0)
        self._lives += 1
        self._ground.pause(seconds / 2)
        self.coming.check()
        left = clear_all(self.coming) + clear_all(self.staying)
        self.coming.end()
        held = self._ground.settle(2)
        self._ledger.read_on()
        verdict = judge(self._ledger.findings, {})
        self.calls += sum(tick.succeeded for tick in self._ledger.ticks)
        self._ledger.findings.clear()
        self._ledger.ticks.clear()
        remove_journals(self._ground.journals, self.staying.lives[0].name)
        if left:
            self.wrong.append(f"{left} keys could not be removed")
        self.wrong += [*verdict.wrong(), *held]
        self._measure()

    def _has_put(self, life: str) -> bool:
        """Whether a life was acknowledged something, so that a rank knows it."""
        path = self._ground.journals / f"{life}.journal"
        return path.exists() and f"\n{STORED} " in path.read_text(encoding="utf-8")

    @property
    def objects(self) -> int:
        """How many puts were acknowledged."""
        return self._ledger.counts[STORED]

    def end_by_force(self) -> None:
        """Whatever has happened, no client is left."""
        self.coming.end_by_force()
        self.staying.end_by_force()

    def _measure(self) -> None:
        point: dict[str, float] = {}
        staying = holdings(self.staying.lives[0].pid)
        processes = self._ground.steady_holdings() | ({_STAYING: staying} if staying else {})
        for name, held in processes.items():
            point[f"{name}: memory MiB"] = held.memory / _MIB
            point[f"{name}: descriptors"] = held.descriptors
            point[f"{name}: threads"] = held.threads
        files = files_in(self._ground.segments)
        point["shared memory: files"] = len(files)
        point["shared memory: MiB"] = sum(files.values()) / _MIB
        point["temporary files"] = len(files_in(self._ground.scratch))
        report = self._ground.status()
        if report is not None:
            point |= counted(report)
        self.curves.add(monotonic() - self._began, point)


def counted(report: StatusReport) -> dict[str, float]:
    """What a cluster says that it holds."""
    meta = dict(report.counters)
    point: dict[str, float] = {f"meta: {name}": meta[name] for name in _OF_META}
    for name in _OF_RANKS:
        point[f"ranks: {name}"] = sum(dict(pairs).get(name, 0) for _, pairs in report.ranks)
    return point


def soak(arguments: argparse.Namespace, stop: StopSignals) -> bool:
    """Rounds until the time is over; whether every curve is flat and nothing was wrong."""
    dram = parse_size(arguments.dram, "--dram")
    live_bytes = int(_LIVE_SHARE * dram * arguments.ranks / (arguments.clients + 1))
    print(f"seed {arguments.seed}, {arguments.ranks} local services, 1 client that stays, "
          f"{arguments.clients} that come and go", flush=True)  # fmt: skip
    os.environ["MMC_CLIENT_LOCATIONS_MAX"] = str(_REMEMBERED)
    began = monotonic()
    with Ground(arguments.ranks, dram, stop) as ground, ExitStack() as ending:
        settings = Settings(ground.meta_url, str(ground.journals), 0, 0, arguments.seed, live_bytes,
                            arguments.pause_ms / 1000, arguments.timeout)  # fmt: skip
        run = Soak(ground, settings, arguments.clients)
        ending.callback(run.end_by_force)
        while monotonic() - began < arguments.seconds or len(run.curves.times) < _FEWEST_POINTS:
            run.round(arguments.round)
            print(run.curves.last(), flush=True)
        run.staying.end()
        left = ground.end()
    warm_up = max(1, int(_WARM_UP_SHARE * len(run.curves.times)))
    rising = [name for name in run.curves.tell(warm_up) if not (arguments.any_memory and is_memory(name))]
    if arguments.csv:
        Path(arguments.csv).write_text(run.curves.csv(), encoding="utf-8")
    if arguments.plot:
        print(save_plot(run.curves, Path(arguments.plot)))
    wrong = [*(f"not flat: {name}" for name in rising), *run.wrong, *(f"left: {each}" for each in left)]
    print(f"{run.calls} successful calls, {run.objects} objects put, in {monotonic() - began:.0f} s")
    for sentence in wrong:
        print(f"wrong: {sentence}")
    print("not flat" if wrong else "flat: all comes back", flush=True)
    return not wrong


def main() -> int:
    """Parse and run."""
    parser = argparse.ArgumentParser(
        prog="soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--seconds", type=float, default=3600.0, help="how long (3600)")
    parser.add_argument("--round", type=float, default=30.0, help="seconds of load in a round (30)")
    parser.add_argument("--clients", type=int, default=2, help="clients that come and go (2)")
    parser.add_argument("--ranks", type=int, default=2, help="local services (2)")
    parser.add_argument("--dram", default="256MB", help="the pool of each (256MB)")
    parser.add_argument("--timeout", type=float, default=5.0, help="deadline of every call, in seconds (5)")
    parser.add_argument("--pause-ms", type=float, default=1.0, help="a client's pause after a call (1)")
    parser.add_argument("--any-memory", action="store_true", help="memory is no reason to fail")
    parser.add_argument("--csv", default="", help="a file for the curves")
    parser.add_argument("--plot", default="", help="a picture of them, with mmc[bench]")
    arguments = parser.parse_args()
    return exit_status("soak", lambda stop: soak(arguments, stop))


if __name__ == "__main__":
    sys.exit(main())
