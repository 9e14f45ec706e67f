"""The order of eviction: which replicas of a rank go first.

A rank's replicas stand in the order of their last known use, coldest first.  A put enters at the warm
end.  When a rank is short of space it reports which records were read since its last report, and when;
those move to the warm end in the order of their clocks.  That report is the only second chance:
probing keys through the meta service warms nothing, so that no prober can starve eviction.

Where a rank needs bytes that lie side by side, it names the records in the way, whatever their place in
the order: :mod:`mmc.cache.windows` weighs them by the same clocks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.cache.names import NameState
from mmc.errors import Code

if TYPE_CHECKING:
    from collections import OrderedDict
    from collections.abc import Callable, Collection, Iterable, Sequence

    from mmc.cache.names import Entry
    from mmc.identifiers import Location

    Victims = list[tuple[Entry, Location]]


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
    counted: Collection[int] = (),
) -> tuple[Victims, bool]:
    """The coldest replicas that make up what is wanted; records ``counted`` already are passed over.

    Returns:
        The victims, and whether anything evictable was met at all (chosen now, or already leaving).
    """
    victims: Victims = []
    leaving = False
    for record, entry in replicas.items():
        if bytes_wanted <= 0 and records_wanted <= 0:
            break
        if record in counted:
            continue
        place = _place(entry, rank, record)
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


def judge_named(
    rank: int,
    replicas: OrderedDict[int, Entry],
    named: Sequence[int],
    is_leased: Callable[[bytes], bool],
) -> tuple[Victims, list[Code]]:
    """Those of the named records that may be evicted, and what is said of each.

    Returns:
        The victims, and for each name in its order: 0 it is one of them, or leaves already; -3104 leased;
        -3101 not confirmed yet; -3007 nothing is listed there.
    """
    victims: Victims = []
    codes: dict[int, Code] = {}
    for record in dict.fromkeys(named):
        entry = replicas.get(record)
        place = None if entry is None else _place(entry, rank, record)
        code = Code.OK
        if entry is None:
            code = Code.NOT_FOUND
        elif place is None:
            pass
        elif entry.state is not NameState.READABLE or place in entry.unconfirmed:
            code = Code.WRONG_STATE
        elif is_leased(entry.key):
            code = Code.LEASED
        else:
            victims.append((entry, place))
        codes[record] = code
    return victims, [codes[record] for record in named]


def _place(entry: Entry, rank: int, record: int) -> Location | None:
    """The entry's replica in this record, unless that is leaving."""
    for place in entry.replicas:
        if place.rank == rank and place.record == record:
            return place
    return None
