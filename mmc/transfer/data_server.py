"""A rank's data server: other hosts read and write its segment through it.

One thread accepts and hands each connection to the one that has the fewest; see
:mod:`mmc.transfer.serving_thread`.  Threads that serve begin with the first connection that needs them.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from mmc.transfer.serving_thread import COUNTED, ServingThread

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from mmc.limits import DataLimits
    from mmc.segments.layout import Segment
    from mmc.segments.mapping import BufferMemory
    from mmc.transfer.serving_thread import Agent

_JOIN_S = 1.0
_FULL_S = 0.1


class DataServer:
    """Listens, and serves who connects."""

    def __init__(
        self,
        listening: socket.socket,
        segment: Segment,
        memory: BufferMemory,
        limits: DataLimits,
        open_agent: Callable[[], Agent],
        now: Callable[[], float],
        note: Callable[[str, str], None],
    ) -> None:
        """``open_agent`` makes what a thread writes with; ``note`` hears an event and its detail."""
        self._listening = listening
        self._limits = limits
        self._threads: list[ServingThread] = []
        self._make = partial(ServingThread, segment, memory, limits, open_agent, now, note)
        self._digests: dict[int, tuple[int, int]] = {}
        self._refused = 0
        self._stopping = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._accepting = threading.Thread(target=self._accept, name="mmc-data", daemon=True)

    def start(self) -> None:
        """Begin to accept."""
        self._listening.settimeout(0.0)
        self._accepting.start()

    def _accept(self) -> None:
        watch = select.poll()
        watch.register(self._listening, select.POLLIN)
        watch.register(self._wake, select.POLLIN)
        while not self._stopping:
            watch.poll()
            try:
                connected, _ = self._listening.accept()
            except BlockingIOError:
                continue
            except OSError:  # no descriptor is free, or the peer is gone already
                select.select([self._wake], [], [], _FULL_S)
                continue
            self._hand_over(connected)

    def _hand_over(self, connected: socket.socket) -> None:
        if sum(map(len, self._threads)) >= self._limits.connections_max:
            self._refused += 1
            connected.close()
            return
        if len(self._threads) < self._limits.threads and all(map(len, self._threads)):
            thread = self._make(f"mmc-data-{len(self._threads)}", self._digests)
            thread.start()
            self._threads.append(thread)
        least = min(self._threads, key=len)
        least.take(connected)

    def counters(self) -> tuple[tuple[str, int], ...]:
        """Bytes read and written by other hosts, and connections, for the rank's heartbeat."""
        threads = list(self._threads)
        counted = Counter(dict.fromkeys(COUNTED, 0))
        counted["remote_connections"] = sum(map(len, threads))
        counted["remote_connections_refused"] = self._refused
        for thread in threads:
            counted.update(dict(thread.counters))
        return tuple(sorted(counted.items()))

    def stop(self) -> None:
        """End every connection, and what is being written over it."""
        self._stopping = True
        with contextlib.suppress(OSError):
            os.eventfd_write(self._wake, 1)
        if self._accepting.is_alive():
            self._accepting.join(_JOIN_S)
        self._listening.close()
        for thread in self._threads:
            thread.stop()
        for thread in self._threads:
            thread.join(_JOIN_S)
        os.close(self._wake)
