"""The order of eviction: which replicas of a rank go first.

A rank's replicas stand in the order of their last known use, coldest first.  A put enters at the warm
end.  When a rank is short of space it reports which records were read since its last report, and when;
those move to the warm end in the order of their clocks.  That report is the only second chance:
probing keys through the meta service warms nothing, so that no prober can starve eviction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.cache.names import NameState

if TYPE_CHECKING:
    from collections import OrderedDict
    from collections.abc import Callable, Iterable

    from mmc.cache.names import Entry
    from mmc.identifiers import Location


def warm(replicas: OrderedDict[int, Entry], touched: Iterable[tuple[int, int]]) -> None:
    """Move read records, given as (clock, record), to the warm end in the order of their clocks."""
    for _, record in sorted(touched):
        if record in replicas:
            replicas.move_to_end(record)


def choose_victims(
    rank: int,
    replicas: OrderedDict[int, Entry],
    bytes_wanted: int,
    records_wanted: int,
    is_leased: Callable[[bytes], bool],
) -> tuple[list[tuple[Entry, Location]], bool]:
    """The coldest replicas that make up what is wanted.

    Returns:
        The victims, and whether anything evictable was met at all (chosen now, or already leaving).
    """
    victims = []
    leaving = False
    for record, entry in replicas.items():
        if bytes_wanted <= 0 and records_wanted <= 0:
            break
        place = next((p for p in entry.replicas if (p.rank, p.record) == (rank, record)), None)
        if place is None:
            leaving = True
            bytes_wanted -= entry.size
            records_wanted -= 1
            continue
        if entry.state is not NameState.READABLE or place in entry.unconfirmed:
            leaving = True
            continue
        if is_leased(entry.key):
            continue
        victims.append((entry, place))
        bytes_wanted -= entry.size
        records_wanted -= 1
    return victims, bool(victims) or leaving
