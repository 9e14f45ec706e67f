"""How much room the ranks of other hosts have: what their heartbeats told the meta service.

It is asked for when a rank that was to take an object has refused it, at most once a second.  What this
client puts there meanwhile is taken off.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.actors.client.asking import status
from mmc.cache.placement import spread_order
from mmc.errors import Code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.actors.client.calls import Operation
    from mmc.actors.client.service import ClientActor

_STALE_S = 1.0
_PATIENCE_S = 1.0
_PERCENT = 100
_TAKEN = ("used_bytes", "reserved_bytes", "quarantined_bytes")


class Room:
    """Free bytes by rank."""

    def __init__(self) -> None:
        """Nothing is known."""
        self._free: dict[int, int] = {}
        self._capacities: dict[int, int] = {}
        self._stale_at = 0.0

    def is_stale(self, now: float) -> bool:
        """Whether it is to be asked for."""
        return self._stale_at <= now

    def heard(self, told: Sequence[tuple[int, Sequence[tuple[str, int]]]], now: float) -> None:
        """The counters of each rank."""
        self._stale_at = now + _STALE_S
        self._free = {}
        for rank, pairs in told:
            counters = dict(pairs)
            taken = sum([counters.get(name, 0) for name in _TAKEN])
            self._capacities[rank] = counters.get("capacity_bytes", 0)
            self._free[rank] = self._capacities[rank] - taken

    def take(self, ranks: Sequence[int], size: int) -> None:
        """So many bytes more go to each of them."""
        for rank in ranks:
            if rank in self._free:
                self._free[rank] -= size

    def below(self, ranks: Sequence[int], percent: int) -> dict[int, int]:
        """For each rank how many bytes may go there until so much of its capacity is used."""
        kept = {rank: self._capacities.get(rank, 0) * (_PERCENT - percent) // _PERCENT for rank in ranks}
        return {rank: max(0, self._free.get(rank, 0) - kept[rank]) for rank in ranks}

    def spread(self, hashed: int, ranks: Sequence[int]) -> list[int]:
        """The ranks in the order in which an object prefers them, each by its share of the room.

        Those that are full or not known come last.
        """
        return spread_order(hashed, {rank: self._free.get(rank, 0) for rank in ranks})


def look(client: ClientActor, deadline: float) -> Operation[None]:
    """Know again how much room there is; without an answer it is as it was."""
    if client.room.is_stale(client.now):
        report = yield from status(client, min(deadline, client.now + _PATIENCE_S))
        if not isinstance(report, Code):
            client.room.heard(report.ranks, client.now)
