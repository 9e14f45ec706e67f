"""Pages of names: what stays is listed, whatever happens between the pages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mmc.cache.names import Names, NameState
from mmc.identifiers import Location, ObjectVersion
from tests.effort import times

RANKS = 3
RECORDS = 6
STEPS = st.sampled_from(["claim", "claim", "confirm", "confirm", "drop", "withdraw", "restore"])


class Story:
    """Names, and the replicas that stood confirmed in their places since it was last asked."""

    def __init__(self) -> None:
        """Nothing has happened."""
        self.names = Names()
        self._number = 0
        self.staying: dict[bytes, set[Location]] = {}

    def _replicas(self) -> list[tuple[bytes, Location]]:
        return sorted(
            (entry.key, place) for entry in self.names for place in (*entry.replicas, *entry.leaving)
        )

    def readable(self) -> dict[bytes, set[Location]]:
        """The confirmed replicas of the readable."""
        return {
            entry.key: set(entry.replicas) - set(entry.unconfirmed)
            for entry in self.names
            if entry.state is NameState.READABLE
        }

    def step(self, what: str, data: st.DataObject) -> None:
        """Something happens to some replica."""
        if what == "claim":
            self._claim(data)
        elif replicas := self._replicas():
            self._change(what, *data.draw(st.sampled_from(replicas)))
        self.names.check()
        now = self.readable()
        self.staying = {key: places & now.get(key, set()) for key, places in self.staying.items()}

    def _claim(self, data: st.DataObject) -> None:
        places = []
        for rank in sorted(data.draw(st.sets(st.integers(0, RANKS - 1), min_size=1))):
            free = [at for at in range(RECORDS) if self.names.at(rank, at) is None]
            if free:
                places.append(Location(rank, data.draw(st.sampled_from(free)), 2))
        if places:
            self._number += 1
            version = ObjectVersion(1, 1, self._number, 0).packed()
            self.names.claim(b"key %d" % self._number, version, self._number, tuple(places))

    def _change(self, what: str, key: bytes, place: Location) -> None:
        entry = self.names.get(key)
        assert entry is not None
        if what == "drop":
            self.names.drop(entry, place)
        elif what == "confirm" and place in entry.replicas:
            self.names.confirm(entry, place)
        elif what == "withdraw" and place in entry.replicas and entry.state is NameState.READABLE:
            self.names.withdraw(entry, place)
        elif what == "restore" and place in entry.leaving:
            self.names.restore(entry, place, published=True)


@times(2)
@given(st.data(), st.integers(1, 9), st.lists(STEPS, max_size=30))
def test_what_is_there_throughout_is_listed(data: st.DataObject, count: int, before: list[str]) -> None:
    """A replica that stays readable in its place from first page to last is listed, and no page is longer."""
    story = Story()
    for what in before:
        story.step(what, data)
    story.staying = story.readable()
    listed: set[bytes] = set()
    cursor, pages = (0, 0), 0
    while pages == 0 or cursor != (0, 0):
        entries, *following = story.names.page(*cursor, count)
        assert len(entries) <= count
        assert all(entry.state is NameState.READABLE for entry in entries)
        assert tuple(following) > cursor or following == [0, 0]
        listed |= {entry.key for entry in entries}
        cursor = (following[0], following[1])
        pages += 1
        assert pages <= RANKS * RECORDS + 1
        for what in data.draw(st.lists(STEPS, max_size=3)):
            story.step(what, data)
    assert {key for key, places in story.staying.items() if places} <= listed


@given(st.data(), st.lists(STEPS, max_size=40))
def test_a_listing_left_alone_is_exact(data: st.DataObject, steps: list[str]) -> None:
    """While nothing happens, the pages have each key that a rank has confirmed, and none but the readable."""
    story = Story()
    for what in steps:
        story.step(what, data)
    entries, *following = story.names.page(0, 0, RANKS * RECORDS)
    assert following == [0, 0]
    listed, readable = {entry.key for entry in entries}, story.readable()
    assert {key for key, confirmed in readable.items() if confirmed} <= listed <= set(readable)


@given(st.integers(0, 1 << 64), st.integers(0, 1 << 64), st.integers(1, 16384))
def test_a_cursor_from_nowhere_ends(rank: int, record: int, count: int) -> None:
    """Whatever cursor a client makes up, and whatever record it claims, a page is short and the walk ends."""
    names = Names()
    version = ObjectVersion(1, 1, 1, 0).packed()
    entry = names.claim(b"key", version, 1, (Location(0, 5, 2), Location(7, (1 << 64) - 1, 2)))
    names.confirm(entry, entry.replicas[0])
    entries, *following = names.page(rank, record, count)
    assert len(entries) <= 1
    assert following == [0, 0] or following[0] == 0
