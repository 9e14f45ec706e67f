"""Explicit leases: promises of the meta service not to evict or remove a key before a time.

A lease belongs to a session; a key is leased until the latest of its sessions' ends.  The table is the
meta service's view: it is set before the ranks are told and ends after theirs do, so that nothing is
evicted in between; the records of the ranks hold the truth.

Each leased key stands in a queue once, by the first of its ends, however often its leases are extended: what
passes out of use meanwhile is left behind, and cleared away when that is more than half of the queue.
"""

from __future__ import annotations

import heapq

_FEW = 64


class Leases:
    """Ends of leases by key and session."""

    def __init__(self) -> None:
        """No leases."""
        self._ends: dict[bytes, dict[int, float]] = {}
        self._queue: list[tuple[float, bytes]] = []
        self._queued: dict[bytes, float] = {}

    def __len__(self) -> int:
        """How many keys are leased, or were until the next :meth:`expire`."""
        return len(self._ends)

    def add(self, key: bytes, session: int, until: float) -> None:
        """Lease a key for a session; adding again extends and never shortens."""
        ends = self._ends.setdefault(key, {})
        ends[session] = max(until, ends.get(session, until))
        self._look_at(key, ends[session])

    def _look_at(self, key: bytes, when: float) -> None:
        """Look at a key's leases at a time, unless that is done before."""
        if self._queued.get(key, when + 1.0) <= when:
            return
        self._queued[key] = when
        heapq.heappush(self._queue, (when, key))
        if len(self._queue) > _FEW + 2 * len(self._queued):
            self._queue = [(until, queued) for queued, until in self._queued.items()]
            heapq.heapify(self._queue)

    def remove(self, key: bytes, session: int) -> bool:
        """End one session's lease; False when it has none."""
        ends = self._ends.get(key)
        if ends is None or session not in ends:
            return False
        del ends[session]
        if not ends:
            self.forget(key)
        return True

    def holders(self, key: bytes) -> tuple[int, ...]:
        """The sessions that lease a key; 0 stands for those of an earlier epoch."""
        return tuple(self._ends.get(key, ()))

    def forget(self, key: bytes) -> None:
        """The key is gone."""
        self._ends.pop(key, None)
        self._queued.pop(key, None)

    def until(self, key: bytes) -> float:
        """When the last lease on a key ends; 0 when there is none."""
        ends = self._ends.get(key)
        return max(ends.values()) if ends else 0.0

    def expire(self, now: float) -> None:
        """Drop what has ended."""
        while self._queue and self._queue[0][0] <= now:
            when, key = heapq.heappop(self._queue)
            if self._queued.get(key) != when:
                continue
            del self._queued[key]
            ends = self._ends[key]
            for session in [session for session, until in ends.items() if until <= now]:
                del ends[session]
            if ends:
                self._look_at(key, min(ends.values()))
            else:
                del self._ends[key]

    @property
    def queued(self) -> int:
        """How many entries the queue has, with those that were left behind."""
        return len(self._queue)

    def check(self) -> None:
        """Invariant: every leased key is looked at by its first end."""
        assert self._queued.keys() == self._ends.keys()
        assert all(self._queued[key] <= min(ends.values()) for key, ends in self._ends.items())
        assert set(self._queue) >= {(when, key) for key, when in self._queued.items()}
