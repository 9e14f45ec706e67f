"""Placement: which ranks hold the replicas of a key (S7: distinct ranks, preferred ones first).

Among ranks of several hosts the first replica lies on the writer's own, and each further one where fewest of
the object's replicas share its machine, and of those where fewest share its address.  A machine is told by
its boot id, so that replicas in two containers of one machine do not pass for two hosts while there is
another machine.

What its own host cannot take is *spread*: each object prefers a rank with a probability in proportion to the
room there, so that a rank that joins empty gets a share of what comes, and not all of it at once.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from mmc.errors import Code, error_for
from mmc.identifiers import home_of, rendezvous_weight

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_HASHES = 1 << 64


def home_order(hashed: int, ranks: Sequence[int]) -> list[int]:
    """The ranks in the order in which a key prefers them: the same for every process."""
    return sorted(ranks, key=lambda rank: rendezvous_weight(hashed, rank), reverse=True)


def spread_order(hashed: int, room: Mapping[int, int]) -> list[int]:
    """The ranks in the order in which an object prefers them, given the bytes that each has room for.

    The first is drawn by the key's hash, each rank with its share of all the room; so is the next among the
    others, and so on.  More room never makes a rank come later.  Ranks without room come last.
    """

    def lateness(rank: int) -> float:
        drawn = (rendezvous_weight(hashed, rank) + 1) / (_HASHES + 1)
        return -math.log(drawn) / room[rank]

    with_room = sorted((rank for rank in room if room[rank] > 0), key=lateness)
    return [*with_room, *home_order(hashed, [rank for rank in room if room[rank] <= 0])]


def place(
    hashed: int, ranks: Sequence[int], replicas: int, preferred: Sequence[int], home: int | None = None
) -> list[int]:
    """The ranks that are to hold a key's replicas: the preferred ones, then ``home``, then as keys prefer.

    Raises:
        CacheError: -3018, a preferred rank is not among ``ranks``; -3016, fewer ranks than replicas.
    """
    _check(ranks, replicas, preferred)
    if home is not None and home in ranks and home not in preferred:
        preferred = [*preferred, home]
    if replicas == 1 and not preferred:
        return [home_of(hashed, ranks)]
    others = [rank for rank in home_order(hashed, ranks) if rank not in preferred]
    return [*preferred, *others][:replicas]


def place_widely(
    near: Sequence[int],
    far: Sequence[int],
    replicas: int,
    preferred: Sequence[int],
    host: Callable[[int], tuple[int, str]],
) -> list[int]:
    """The ranks of several hosts that are to hold an object: the preferred ones, then on distinct hosts.

    Args:
        near: ranks of the writer's own host, in the order in which the object prefers them.
        far: other ranks, likewise.
        replicas: how many are wanted.
        preferred: ranks that must be among them.
        host: the machine and the address of a rank.

    Raises:
        CacheError: -3018, a preferred rank is not there; -3016, fewer ranks than replicas.
    """
    left = [*near, *far]
    _check(left, replicas, preferred)
    if replicas == 1 and not preferred:
        return left[:1]
    chosen: list[int] = []
    machines: Counter[int] = Counter()
    addresses: Counter[tuple[int, str]] = Counter()
    while len(chosen) < replicas:
        if len(chosen) < len(preferred):
            rank = preferred[len(chosen)]
        else:
            rank = min(left, key=lambda other: (machines[host(other)[0]], addresses[host(other)]))
        left.remove(rank)
        chosen.append(rank)
        machines[host(rank)[0]] += 1
        addresses[host(rank)] += 1
    return chosen


def _check(ranks: Sequence[int], replicas: int, preferred: Sequence[int]) -> None:
    for rank in preferred:
        if rank not in ranks:
            raise error_for(Code.NO_SUCH_RANK, f"preferred rank {rank}")
    if replicas > len(ranks):
        raise error_for(Code.NO_SPACE, f"{replicas} replicas on {len(ranks)} live ranks")
