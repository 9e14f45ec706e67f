"""Placement: which ranks hold the replicas of a key (S7: distinct ranks, preferred ones first)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.errors import Code, error_for
from mmc.identifiers import home_of, rendezvous_weight

if TYPE_CHECKING:
    from collections.abc import Sequence


def home_order(hashed: int, ranks: Sequence[int]) -> list[int]:
    """The ranks in the order in which a key prefers them: the same for every process."""
    return sorted(ranks, key=lambda rank: rendezvous_weight(hashed, rank), reverse=True)


def place(
    hashed: int, ranks: Sequence[int], replicas: int, preferred: Sequence[int], home: int | None = None
) -> list[int]:
    """The ranks that are to hold a key's replicas: the preferred ones, then ``home``, then as keys prefer.

    Raises:
        CacheError: -3018, a preferred rank is not among ``ranks``; -3016, fewer ranks than replicas.
    """
    for rank in preferred:
        if rank not in ranks:
            raise error_for(Code.NO_SUCH_RANK, f"preferred rank {rank}")
    if replicas > len(ranks):
        raise error_for(Code.NO_SPACE, f"{replicas} replicas on {len(ranks)} live ranks")
    if home is not None and home in ranks and home not in preferred:
        preferred = [*preferred, home]
    if replicas == 1 and not preferred:
        return [home_of(hashed, ranks)]
    others = [rank for rank in home_order(hashed, ranks) if rank not in preferred]
    return [*preferred, *others][:replicas]
