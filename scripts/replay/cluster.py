"""A cluster on this host for the time of a replay: broker, meta service and local services."""

from __future__ import annotations

import json
import os
import select
from time import monotonic
from typing import TYPE_CHECKING, Self

from mmc import Client
from scripts.replay.process import Child, ReplayError, cpu_seconds

if TYPE_CHECKING:
    from types import TracebackType

    from mmc.wire.replies import StatusReport
    from scripts.replay.stopping import StopSignals

_READY_S = 600.0
_STOP_S = 25.0


class Cluster:
    """``mmc up`` as a context manager; nothing of it is left afterwards."""

    def __init__(self, local_services: int, dram_bytes: int, stop: StopSignals) -> None:
        """``dram_bytes``: the pool of each local service.  Not started yet."""
        self._stop_signals = stop
        self._arguments = ("up", "--meta-url", "tcp://127.0.0.1:0", "--json", "--local",
                           str(local_services), "--dram", str(dram_bytes))  # fmt: skip
        self._child: Child | None = None
        self.meta_url = ""
        self._pids: dict[str, list[int]] = {}

    def __enter__(self) -> Self:
        """Start it, and wait until it serves.

        Raises:
            ReplayError: it did not start; says why.
            Stopped: a signal arrived meanwhile.
        """
        self._stop_signals.check()
        self._child = Child("the cluster", "mmc.cli", *self._arguments)
        try:
            facts = json.loads(_read_line(self._child, self._stop_signals))
            self.meta_url = facts["meta_service_url"]
            pids = facts["pids"]
            self._pids = {
                "broker": [pids["broker"]],
                "meta service": [pids["meta"]],
                "local services": pids["local"],
            }
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it.

        Raises:
            ReplayError: it did not end in order, and nothing else went wrong before.
        """
        failure = self._stop()
        if failure is not None and error is None:
            raise failure

    def _stop(self) -> ReplayError | None:
        child, self._child = self._child, None
        return child.end(_STOP_S, ask=True) if child is not None else None

    @property
    def supervisor(self) -> int:
        """The process id of ``mmc up``."""
        assert self._child is not None
        return self._child.process.pid

    def status(self) -> StatusReport:
        """The counters of the meta service and of each rank."""
        with Client(self.meta_url) as client:
            return client.status()

    def cpu_seconds(self) -> dict[str, float]:
        """CPU time that each kind of service has used so far."""
        return {name: sum(map(cpu_seconds, pids)) for name, pids in self._pids.items()}


def _read_line(child: Child, stop: StopSignals) -> bytes:
    deadline = monotonic() + _READY_S
    text = b""
    while not text.endswith(b"\n"):
        patience_s = max(0.0, deadline - monotonic())
        readable, _, _ = select.select([child.output, stop.fileno()], [], [], patience_s)
        stop.check()
        if not readable:
            raise child.failure(f"did not serve within {_READY_S:.0f} s")
        part = os.read(child.output, 65536)
        if not part:
            raise child.failure("did not start")
        text += part
    return text
