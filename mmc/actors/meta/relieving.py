"""Eviction for a rank that is short of space."""

from __future__ import annotations

from struct import unpack
from typing import TYPE_CHECKING

from mmc.cache.eviction import choose_victims, judge_named, warm
from mmc.errors import CacheError, Code
from mmc.wire import replies

if TYPE_CHECKING:
    from mmc.actors.meta.naming import Naming
    from mmc.limits import MetaLimits
    from mmc.wire.requests import Pressure

_UINT32 = 4


def relieve(naming: Naming, limits: MetaLimits, rank: int, pressure: Pressure) -> replies.Codes:
    """Evict what a rank needs, what it named first; -3016 when nothing evictable is left.

    Raises:
        CacheError: -3000, it contradicts itself.
    """
    touched = _numbers(pressure.touched)
    clocks = _numbers(pressure.clocks)
    if len(touched) != len(clocks):
        raise CacheError("touched and clocks differ in length", Code.INVALID_ARGUMENT)
    replicas = naming.names.on_rank(rank)
    warm(replicas, zip(clocks, touched, strict=True))
    named = pressure.named[: limits.commands_per_event]
    chosen, codes = judge_named(rank, replicas, named, naming.may_not_go)
    victims, evictable = choose_victims(
        rank,
        replicas,
        pressure.bytes_wanted - sum(entry.size for entry, _ in chosen),
        pressure.records_wanted - len(chosen),
        naming.may_not_go,
        frozenset(named),
    )
    naming.evict(chosen + victims)
    evictable = evictable or Code.OK in codes
    return replies.Codes((int(Code.OK if evictable else Code.NO_SPACE), *map(int, codes)))


def _numbers(raw: bytes) -> tuple[int, ...]:
    if len(raw) % _UINT32:
        raise CacheError("not an array of uint32", Code.INVALID_ARGUMENT)
    return unpack(f"<{len(raw) // _UINT32}I", raw)
