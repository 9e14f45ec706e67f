"""Waiting for connections in a strand: what ``poll`` and ``epoll`` are to a thread."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mmc.transfer.stream import READ, WRITE
from tests.simulation.wires import FAILED, HANG_UP

if TYPE_CHECKING:
    from mmc.transfer.stream import Stream
    from tests.simulation.wires import Wires
    from tests.simulation.world import Strand

_MS = 1000
_SPINS_MAX = 10_000
_GONE = READ | WRITE | HANG_UP | FAILED


class Poll:
    """Ends, and the events of each that are waited for."""

    def __init__(self, wires: Wires, units_per_s: float) -> None:
        """Timeouts are in such units, and are rounded up to milliseconds."""
        self._wires = wires
        self._world = wires.world
        self._per_s = units_per_s
        self._wanted: dict[int, int] = {}
        self._strand: Strand | None = None
        self._waits = 0
        self._spins = 0
        self._spun_at = 0.0
        self._is_roused = False

    def register(self, which: int | Stream, events: int) -> None:
        """Wait for this one as well."""
        descriptor = which if isinstance(which, int) else which.fileno()
        self._wanted[descriptor] = events
        end = self._wires.ends.get(descriptor)
        if end is not None:
            end.polls[self] = None

    def modify(self, which: int | Stream, events: int) -> None:
        """Wait for other events of it."""
        self.register(which, events)

    def unregister(self, which: int | Stream) -> None:
        """Wait for it no more."""
        descriptor = which if isinstance(which, int) else which.fileno()
        self._wanted.pop(descriptor, None)
        end = self._wires.ends.get(descriptor)
        if end is not None:
            end.polls.pop(self, None)

    def close(self) -> None:
        """Wait for nothing any more."""
        for descriptor in list(self._wanted):
            self.unregister(descriptor)

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        """What has happened, or will within a time; None: for however long it takes."""
        ready = self._ready()
        if ready or self._is_roused or (timeout is not None and timeout <= 0):
            self._count_spin()
        else:
            self._park(None if timeout is None else math.ceil(timeout / self._per_s * _MS) / _MS)
            ready = self._ready()
        self._is_roused = False
        return ready

    def _ready(self) -> list[tuple[int, int]]:
        ready = []
        for descriptor, wanted in self._wanted.items():
            end = self._wires.ends.get(descriptor)
            told = _GONE if end is None else end.events()
            if told & (wanted | FAILED):
                ready.append((descriptor, told))
        return ready

    def _count_spin(self) -> None:
        if self._spun_at != self._world.now:
            self._spun_at, self._spins = self._world.now, 0
        self._spins += 1
        assert self._spins < _SPINS_MAX, "a poll is asked again and again, and no time passes"

    def _park(self, seconds: float | None) -> None:
        strand = self._world.current
        assert strand is not None
        self._strand = strand
        self._waits += 1
        wait = self._waits
        if seconds is not None:
            self._world.after(seconds, lambda: self._wake(wait))
        strand.park()

    def _wake(self, wait: int) -> None:
        if self._strand is not None and wait == self._waits:
            strand, self._strand = self._strand, None
            strand.wake()

    def rouse(self) -> None:
        """Something has changed: let whoever waits look."""
        if self._strand is not None:
            self._wake(self._waits)

    def interrupt(self) -> None:
        """Let whoever waits return, now or the next time."""
        self._is_roused = True
        self.rouse()
