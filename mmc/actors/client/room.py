"""How much room the ranks of other hosts have: what their heartbeats told the meta service.

It is asked for when a rank that was to take an object has refused it, at most once a second.  What this
client puts there meanwhile is taken off.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from mmc.actors.client.asking import status
from mmc.cache.placement import spread_order
from mmc.errors import Code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.actors.client.calls import Operation
    from mmc.actors.client.service import ClientActor

_STALE_S = 1.0
_LAG_S = 1.0
_PATIENCE_S = 1.0
_PERCENT = 100
_TAKEN = ("used_bytes", "reserved_bytes", "quarantined_bytes")


class Space(NamedTuple):
    """What a rank has, and what of it is free: bytes, and records."""

    capacity: int
    free: int
    records: int
    free_records: int

    def below(self, percent: int) -> tuple[int, int]:
        """The bytes and records that may be filled until so much of all is in use."""
        kept = _PERCENT - percent
        return (
            self.free - self.capacity * kept // _PERCENT,
            self.free_records - self.records * kept // _PERCENT,
        )


_NONE = Space(0, 0, 0, 0)


class Room:
    """Free space by rank."""

    def __init__(self) -> None:
        """Nothing is known."""
        self._told: dict[int, Space] = {}
        self._taken: deque[tuple[float, int, int]] = deque()
        self._stale_at = 0.0

    def is_stale(self, now: float) -> bool:
        """Whether it is to be asked for."""
        return self._stale_at <= now

    def heard(self, told: Sequence[tuple[int, Sequence[tuple[str, int]]]], now: float) -> None:
        """The counters of each rank, which may be of a while ago."""
        self._stale_at = now + _STALE_S
        self._told = {}
        for rank, pairs in told:
            counters = dict(pairs)
            capacity = counters.get("capacity_bytes", 0)
            taken = sum([counters.get(name, 0) for name in _TAKEN])
            records = counters.get("records", 0)
            self._told[rank] = Space(capacity, capacity - taken, records, counters.get("free_records", 0))
        self._forget(now)
        for _, rank, size in self._taken:
            self._take(rank, size)

    def take(self, ranks: Sequence[int], size: int, now: float) -> None:
        """An object of so many bytes goes to each of them."""
        self._forget(now)
        for rank in ranks:
            self._taken.append((now, rank, size))
            self._take(rank, size)

    def _forget(self, now: float) -> None:
        """What went so long ago is in what ranks tell."""
        while self._taken and self._taken[0][0] <= now - _LAG_S:
            self._taken.popleft()

    def _take(self, rank: int, size: int) -> None:
        space = self._told.get(rank)
        if space is not None:
            free, free_records = space.free - size, space.free_records - 1
            self._told[rank] = space._replace(free=free, free_records=free_records)

    def below(self, ranks: Sequence[int], percent: int, size: int) -> dict[int, int]:
        """The bytes that may go to each rank until so much of it is in use; those where ``size`` may go."""
        spaces = {rank: self._told.get(rank, _NONE).below(percent) for rank in ranks}
        return {rank: free for rank, (free, records) in spaces.items() if free >= size and records > 0}

    def spread(self, hashed: int, ranks: Sequence[int]) -> list[int]:
        """The ranks in the order in which an object prefers them, each by its share of the room.

        Those that are full or not known come last.
        """
        return spread_order(hashed, {rank: self._told.get(rank, _NONE).free for rank in ranks})


def look(client: ClientActor, deadline: float) -> Operation[None]:
    """Know again how much room there is; without an answer it is as it was."""
    if client.room.is_stale(client.now):
        report = yield from status(client, min(deadline, client.now + _PATIENCE_S))
        if not isinstance(report, Code):
            client.room.heard(report.ranks, client.now)
