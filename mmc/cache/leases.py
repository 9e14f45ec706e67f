"""Explicit leases: promises of the meta service not to evict or remove a key before a time.

A lease belongs to a session; a key is leased until the latest of its sessions' ends.  The table is the
meta service's view: it is set before the ranks are told and ends after theirs do, so that nothing is
evicted in between; the records of the ranks hold the truth.
"""

from __future__ import annotations

import heapq


class Leases:
    """Ends of leases by key and session."""

    def __init__(self) -> None:
        """No leases."""
        self._ends: dict[bytes, dict[int, float]] = {}
        self._queue: list[tuple[float, bytes]] = []

    def __len__(self) -> int:
        """How many keys are leased, or were until the next :meth:`expire`."""
        return len(self._ends)

    def add(self, key: bytes, session: int, until: float) -> None:
        """Lease a key for a session; adding again extends and never shortens."""
        ends = self._ends.setdefault(key, {})
        ends[session] = max(until, ends.get(session, until))
        heapq.heappush(self._queue, (ends[session], key))

    def remove(self, key: bytes, session: int) -> bool:
        """End one session's lease; False when it has none."""
        ends = self._ends.get(key)
        if ends is None or session not in ends:
            return False
        del ends[session]
        if not ends:
            del self._ends[key]
        return True

    def holders(self, key: bytes) -> tuple[int, ...]:
        """The sessions that lease a key; 0 stands for those of an earlier epoch."""
        return tuple(self._ends.get(key, ()))

    def forget(self, key: bytes) -> None:
        """The key is gone."""
        self._ends.pop(key, None)

    def until(self, key: bytes) -> float:
        """When the last lease on a key ends; 0 when there is none."""
        ends = self._ends.get(key)
        return max(ends.values()) if ends else 0.0

    def expire(self, now: float) -> None:
        """Drop what has ended."""
        while self._queue and self._queue[0][0] <= now:
            _, key = heapq.heappop(self._queue)
            ends = self._ends.get(key)
            if ends is None:
                continue
            for session in [session for session, until in ends.items() if until <= now]:
                del ends[session]
            if not ends:
                del self._ends[key]
