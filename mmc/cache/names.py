"""Names: which keys exist, and in which replicas.

An entry moves through states by the table :data:`TRANSITIONS` and by nothing else:

- *claimed*: the name is taken by one object version; its bytes may be published but no rank has said
  so yet.  Whoever looks it up is told where, and the record itself decides.
- *readable*: a rank has confirmed it.
- *leaving*: every replica is being evicted or removed; puts find the key pending.
- *absent*: no entry.

A replica is known by (rank, record): at most one entry has it, and the order of a rank's replicas,
coldest first, is the order of eviction.

A *page* lists readable entries by walking the record numbers of one rank after another, from a cursor.
Nothing is kept between pages.  A key that is readable in one confirmed place from the first page to the
last is listed at least once, since its number stays where it is and the walk passes it; a key with replicas
is listed once for each.  The walk of a rank ends with the highest number that the rank itself has confirmed:
what a client claims is its word alone, and could be any number.

Of a name that is looked up only its entry and two pieces of bytes are touched: the version is kept as it
stands in messages, for it is compared and passed on and never looked into, and so is a copy of the replicas.
Among a million names each object that is touched must be fetched from memory, and tuples of numbers are
many objects: with them a look-up took three times as long.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from enum import IntEnum, auto
from itertools import repeat
from typing import TYPE_CHECKING

import msgpack

from mmc.identifiers import ObjectVersion

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mmc.identifiers import Location, PackedVersion


class NameState(IntEnum):
    """The state of a key."""

    ABSENT = auto()
    CLAIMED = auto()
    READABLE = auto()
    LEAVING = auto()


class NameEvent(IntEnum):
    """What happens to a key."""

    CLAIM = auto()
    CONFIRM = auto()
    ABORT = auto()
    REPORT = auto()
    WITHDRAW = auto()
    RESTORE = auto()
    VANISH = auto()


TRANSITIONS: dict[tuple[NameState, NameEvent], NameState] = {
    (NameState.ABSENT, NameEvent.CLAIM): NameState.CLAIMED,
    (NameState.ABSENT, NameEvent.REPORT): NameState.READABLE,
    (NameState.CLAIMED, NameEvent.CONFIRM): NameState.READABLE,
    (NameState.CLAIMED, NameEvent.REPORT): NameState.READABLE,
    (NameState.CLAIMED, NameEvent.ABORT): NameState.ABSENT,
    (NameState.READABLE, NameEvent.CONFIRM): NameState.READABLE,
    (NameState.READABLE, NameEvent.REPORT): NameState.READABLE,
    (NameState.READABLE, NameEvent.WITHDRAW): NameState.LEAVING,
    (NameState.READABLE, NameEvent.VANISH): NameState.ABSENT,
    (NameState.LEAVING, NameEvent.RESTORE): NameState.READABLE,
    (NameState.LEAVING, NameEvent.VANISH): NameState.ABSENT,
}


_ABSENT, _CLAIM, _CONFIRM = NameState.ABSENT, NameEvent.CLAIM, NameEvent.CONFIRM
"""By names of their own: Python 3.11 takes longer to look for an enumeration's member than for the key."""

_NO_PLACES: bytes = msgpack.packb(())


class Entry:
    """One key: its object version, size in bytes, and replicas.

    ``packed_replicas`` are the replicas as they stand in messages; ``unconfirmed`` are replicas of which no
    rank has said yet that they are published; ``leaving`` are replicas being evicted or removed, which no
    reader is told of.
    """

    __slots__ = ("key", "leaving", "packed_replicas", "replicas", "size", "state", "unconfirmed", "version")

    def __init__(self, key: bytes, version: PackedVersion, size: int) -> None:
        """A new entry is absent until its first event."""
        self.key = key
        self.version = version
        self.size = size
        self.state = _ABSENT
        self.replicas: tuple[Location, ...] = ()
        self.packed_replicas = _NO_PLACES
        self.unconfirmed: tuple[Location, ...] = ()
        self.leaving: tuple[Location, ...] = ()

    def move(self, event: NameEvent) -> None:
        """Take a transition of the table; any other is a fault of ours."""
        self.state = TRANSITIONS[self.state, event]


MISSING = Entry(b"", ObjectVersion(0, 0, 0, 0).packed(), 0)
"""What stands for the entry of a key that has none."""


class Names:
    """All entries, by key and by replica."""

    def __init__(self) -> None:
        """Nothing is known."""
        self._entries: dict[bytes, Entry] = {}
        self._by_rank: defaultdict[int, OrderedDict[int, Entry]] = defaultdict(OrderedDict)
        self._highest: dict[int, int] = {}
        self._pack = msgpack.Packer().pack
        self._size = 0

    def __len__(self) -> int:
        """How many keys have an entry."""
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """Every entry, oldest first."""
        return iter(self._entries.values())

    def get(self, key: bytes) -> Entry | None:
        """The entry of a key."""
        return self._entries.get(key)

    def find(self, keys: Iterable[bytes]) -> list[Entry]:
        """The entries of many keys; ``MISSING`` for a key that has none."""
        return list(map(self._entries.get, keys, repeat(MISSING)))

    def at(self, rank: int, record: int) -> Entry | None:
        """The entry that has a replica in this record."""
        held = self._by_rank.get(rank)
        return None if held is None else held.get(record)

    def on_rank(self, rank: int) -> OrderedDict[int, Entry]:
        """A rank's replicas, coldest first."""
        return self._by_rank[rank]

    def from_record(self, rank: int, record: int, count: int) -> tuple[list[tuple[int, Entry]], int | None]:
        """What a rank holds from a record on, at most ``count`` records further, by their numbers.

        Returns:
            Records with their entries, and where to go on; None at the end, of what the rank has confirmed.
        """
        held, end = self._by_rank[rank], self._highest.get(rank, -1) + 1
        stop = min(end, record + count)
        found = [(at, entry) for at in range(record, stop) if (entry := held.get(at)) is not None]
        return found, stop if stop < end else None

    def page(self, rank: int, record: int, count: int) -> tuple[list[Entry], int, int]:
        """Readable entries from a cursor on, at most ``count`` records further, and the next cursor.

        The first cursor is (0, 0), and so is the one after the last page.  ``count`` is at least 1.
        """
        listed: list[Entry] = []
        for number in sorted(number for number in self._highest if number >= rank):
            highest, held = self._highest[number], self._by_rank[number]
            first = record if number == rank else 0
            stop = min(highest + 1, first + count)
            there = (held.get(at) for at in range(first, stop))
            listed += [entry for entry in there if entry and entry.state is NameState.READABLE]
            if stop <= highest:
                return listed, number, stop
            count -= max(0, stop - first)
        return listed, 0, 0

    def claim(self, key: bytes, version: PackedVersion, size: int, places: tuple[Location, ...]) -> Entry:
        """Take an absent key."""
        assert key not in self._entries
        entry = self._entries[key] = self._made(key, version, size)
        entry.move(_CLAIM)
        entry.replicas = entry.unconfirmed = places
        entry.packed_replicas = self._pack(places)
        for place in places:
            self._by_rank[place.rank][place.record] = entry
        return entry

    def report(self, key: bytes, version: PackedVersion, size: int, place: Location) -> Entry:
        """A rank reports a published record: of an absent key, or one more replica of an entry."""
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = self._made(key, version, size)
        if place not in entry.replicas:
            self._set_replicas(entry, (*entry.replicas, place))
        self._by_rank[place.rank][place.record] = entry
        self._raise(place)
        entry.unconfirmed = _without(entry.unconfirmed, place)
        entry.move(NameEvent.REPORT)
        return entry

    def confirm(self, entry: Entry, place: Location) -> None:
        """A rank has seen this replica published."""
        self._raise(place)
        entry.unconfirmed = _without(entry.unconfirmed, place)
        entry.move(_CONFIRM)

    def expect(self, entry: Entry, place: Location) -> None:
        """One more replica of a readable entry, of which no rank has said yet that it is published."""
        assert entry.state is NameState.READABLE
        self._set_replicas(entry, (*entry.replicas, place))
        entry.unconfirmed = (*entry.unconfirmed, place)
        self._by_rank[place.rank][place.record] = entry

    def depart(self, entry: Entry, place: Location) -> None:
        """A place that no reader was told of is to go with the replicas of an entry."""
        entry.leaving = (*entry.leaving, place)
        self._by_rank[place.rank][place.record] = entry

    def withdraw(self, entry: Entry, place: Location) -> None:
        """No reader is told of this replica any more; with the last, the key is leaving."""
        self._set_replicas(entry, _without(entry.replicas, place))
        entry.unconfirmed = _without(entry.unconfirmed, place)
        entry.leaving = (*entry.leaving, place)
        if not entry.replicas:
            entry.move(NameEvent.WITHDRAW)

    def restore(self, entry: Entry, place: Location, *, published: bool) -> None:
        """The rank refused to part with this replica: it is leased, or not even published yet."""
        entry.leaving = _without(entry.leaving, place)
        self._set_replicas(entry, (*entry.replicas, place))
        if published:
            self._raise(place)
        else:
            entry.unconfirmed = (*entry.unconfirmed, place)
        if entry.state is NameState.LEAVING:
            entry.move(NameEvent.RESTORE)

    def drop(self, entry: Entry, place: Location) -> None:
        """This replica is gone for good; with the last, the key is."""
        self._set_replicas(entry, _without(entry.replicas, place))
        entry.unconfirmed = _without(entry.unconfirmed, place)
        entry.leaving = _without(entry.leaving, place)
        held = self.on_rank(place.rank)
        if held.get(place.record) is entry:
            del held[place.record]
        if not held:
            self._highest.pop(place.rank, None)
        if entry.replicas:
            return
        if entry.leaving:
            if entry.state is not NameState.LEAVING:
                entry.move(NameEvent.WITHDRAW)
            return
        event = NameEvent.ABORT if entry.state is NameState.CLAIMED else NameEvent.VANISH
        entry.move(event)
        del self._entries[entry.key]

    def _made(self, key: bytes, version: PackedVersion, size: int) -> Entry:
        """A new entry; most objects have the size of the one before, and share the number."""
        if size != self._size:
            self._size = size
        return Entry(key, version, self._size)

    def _set_replicas(self, entry: Entry, places: tuple[Location, ...]) -> None:
        entry.replicas = places
        entry.packed_replicas = self._pack(places)

    def _raise(self, place: Location) -> None:
        if place.record >= self._highest.get(place.rank, 0):
            self._highest[place.rank] = place.record

    def check(self) -> None:
        """Invariants: entries are in one live state, and both directions agree."""
        for key, entry in self._entries.items():
            assert entry.key == key
            assert entry.state is not NameState.ABSENT
            assert (entry.state is NameState.LEAVING) == (not entry.replicas)
            assert entry.packed_replicas == self._pack(entry.replicas)
            assert set(entry.unconfirmed) <= set(entry.replicas)
            for place in (*entry.replicas, *entry.leaving):
                assert self._by_rank[place.rank][place.record] is entry
            for place in set(entry.replicas) - set(entry.unconfirmed):
                assert self._highest[place.rank] >= place.record, "a page passes it"
            ranks = [place.rank for place in entry.replicas]
            assert len(ranks) == len(set(ranks)), "S7: replicas are on distinct ranks"
        for rank, held in self._by_rank.items():
            for record, entry in held.items():
                assert self._entries.get(entry.key) is entry
                places = {(p.rank, p.record) for p in (*entry.replicas, *entry.leaving)}
                assert (rank, record) in places


def _without(places: tuple[Location, ...], place: Location) -> tuple[Location, ...]:
    return () if places == (place,) else tuple([other for other in places if other != place])
