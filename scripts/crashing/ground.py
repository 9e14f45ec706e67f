"""Where a run takes place: a cluster with its files in directories of its own, so that leftovers are seen."""

from __future__ import annotations

import contextlib
import os
import select
import tempfile
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Self

from mmc import CacheError, Client
from scripts.crashing.figures import files_in, holdings, is_whole, still_held
from scripts.replay.cluster import Cluster
from scripts.services import BROKER, META, service_pids

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from mmc.wire.replies import StatusReport
    from scripts.crashing.figures import Holdings
    from scripts.replay.stopping import StopSignals

SESSION_IDLE_S = 20.0
RECOVERY_S = 90.0
_QUIET_S = SESSION_IDLE_S + 25.0
_PROBE_S = 1.0
_POLL_S = 0.05
_SLOW_POLL_S = 0.25
_SHARED = "/dev/shm"  # noqa: S108 - where segments lie; the directory made there is this run's alone
UP = "mmc up"


class Ground:
    """A cluster, and a client of it that asks how it is."""

    def __init__(self, ranks: int, dram_bytes: int, stop: StopSignals, logs: str = "") -> None:
        """``logs`` is where services log to; "": they do not.  Not started yet."""
        self.ranks = ranks
        self._dram_bytes = dram_bytes
        self._stop = stop
        self._logs = logs
        self._ending = contextlib.ExitStack()
        self._seen: set[int] = set()
        self.proxies = 0

    def __enter__(self) -> Self:
        """Start the cluster.

        Raises:
            ReplayError: it did not start.
            Stopped: a signal arrived meanwhile.
        """
        with contextlib.ExitStack() as ending:
            place = ending.enter_context(tempfile.TemporaryDirectory(prefix="mmc-crash-", dir=_SHARED))
            self.segments = Path(place)
            self.scratch = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="mmc-crash-")))
            self.journals = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="mmc-crash-")))
            os.environ["MMC_LOCAL_SEGMENT_DIR"] = str(self.segments)
            os.environ["MMC_WIRE_SESSION_IDLE_MS"] = str(int(1000 * SESSION_IDLE_S))
            os.environ["TMPDIR"] = str(self.scratch)
            if self._logs:
                os.environ["MMC_LOG_PATH"] = self._logs
            self._cluster = ending.enter_context(Cluster(self.ranks, self._dram_bytes, self._stop))
            self.meta_url = self._cluster.meta_url
            self._client = ending.enter_context(Client(self.meta_url))
            self._client.wait_for_ranks(self.ranks)
            self._ending = ending.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End whatever still runs."""
        self._ending.__exit__(kind, error, trace)

    @property
    def client(self) -> Client:
        """The client that asks."""
        return self._client

    def pids(self) -> dict[str, int]:
        """The process of each service, and of ``mmc up``."""
        pids = {UP: self._cluster.supervisor, **service_pids(self._cluster.supervisor)}
        self._seen.update(pids.values())
        return pids

    def status(self) -> StatusReport | None:
        """How the cluster is; None when the meta service does not answer now."""
        try:
            return self._client.status(timeout=_PROBE_S)
        except CacheError:
            return None

    def is_whole(self, ending: dict[str, int]) -> bool:
        """Whether all services run, in other processes than ``ending`` names, and all ranks have reported."""
        pids = self.pids()
        if not self._run_all(pids) or ending.items() & pids.items():
            return False
        report = self.status()
        return report is not None and is_whole(report, self.ranks)

    def _run_all(self, pids: dict[str, int]) -> bool:
        return len(pids) == self.ranks + len((UP, META, BROKER))

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            Stopped: a signal has arrived.
        """
        select.select([self._stop], [], [], max(0.0, seconds))
        self._stop.check()

    def wait(self, holds: Callable[[], bool], seconds: float, poll_s: float = _POLL_S) -> bool:
        """Wait until something holds; whether it did in time.

        Raises:
            Stopped: a signal has arrived.
        """
        deadline = monotonic() + seconds
        while not holds():
            if monotonic() > deadline:
                return False
            self.pause(poll_s)
        return True

    def settle(self, others: int) -> list[str]:
        """Wait until nothing is held, with ``others`` clients connected; what is held in spite of it."""
        held: list[str] = []

        def is_quiet() -> bool:
            report = self.status()
            held[:] = (
                ["no status"] if report is None else still_held(report, self.ranks, others, self.proxies)
            )
            return not held

        self.wait(is_quiet, _QUIET_S, _SLOW_POLL_S)
        return held

    def holdings(self) -> dict[str, Holdings]:
        """What each service holds, and ``mmc up``."""
        found = {name: holdings(pid) for name, pid in self.pids().items()}
        return {name: held for name, held in found.items() if held is not None}

    def steady_holdings(self) -> dict[str, Holdings]:
        """The same, once threads that only begin something have ended."""
        last: list[object] = []

        def is_steady() -> bool:
            counts = [(name, held[1:]) for name, held in self.holdings().items()]
            last.append(counts)
            return last[-4:].count(counts) == 4  # noqa: PLR2004 - of four looks

        self.wait(is_steady, RECOVERY_S, _SLOW_POLL_S)
        return self.holdings()

    def end(self) -> list[str]:
        """End the cluster in order; what is left of it.

        Raises:
            ReplayError: it did not end in order.
        """
        self.pids()
        self._client.close()
        self._cluster.__exit__(None, None, None)
        left = [f"a process, {pid}" for pid in self._seen if Path(f"/proc/{pid}").exists()]
        left += [f"in shared memory, {name}" for name in files_in(self.segments)]
        left += [f"in the temporary directory, {name}" for name in files_in(self.scratch)]
        return left
