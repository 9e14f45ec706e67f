"""Reading a record while it is written and invalidated (S1, S3): one whole object, or nothing."""

from dataclasses import dataclass, field
from itertools import product

from hypothesis import event, given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from mmc.errors import Code
from mmc.identifiers import ObjectVersion, key_hash
from mmc.segments import extents, reader, records
from mmc.segments.extents import Extent
from mmc.segments.layout import AT_CLOSING, AT_TERM, Segment, format_segment, plan_layout
from tests.effort import times
from tests.racing import Journal, Replayed

RECORD = 1
KEYS = (b"short", b"a longer key that takes several words")
SIZES = (8, 24, 40)
LAYOUT = plan_layout(4096, 2, 1, 1)
TERM = 1 << 32 | 1

Readable = tuple[bytes, bytes] | None
"""A key and its bytes, or nothing."""


@dataclass
class Life:
    """What is done to one record, and what is readable of it after each store."""

    journal: Journal = field(default_factory=lambda: Journal([0] * (LAYOUT.total // 8)))
    readable: list[Readable] = field(default_factory=list)
    now: Readable = None
    objects: int = 0

    def __post_init__(self) -> None:
        """A formatted segment with nothing in it."""
        self.segment = format_segment(self.journal, LAYOUT, 1, 2, keep=False)
        self.segment.words[AT_TERM] = TERM
        self.journal.stores.clear()
        self.before = self.journal.image.copy()
        self.readable = [None]

    def settle(self, *, until: Readable) -> None:
        """The stores made since were made while the same was readable; the last one changed it."""
        missing = len(self.journal.stores) + 1 - len(self.readable)
        self.readable += [self.now] * missing
        if missing:
            self.readable[-1] = until
        self.now = until

    def write(self, key: bytes, size: int, offset: int, *, publish: bool) -> None:
        """An object is written into a record of its own place, and published or given up."""
        if self.now is not None:
            self.invalidate()
        self.objects += 1
        content = bytes([self.objects]) * size
        segment = self.segment
        extents.write_extent(segment, RECORD, Extent(offset, 64, 1))
        generation = records.begin_write(segment, RECORD, ObjectVersion(1, 1, self.objects, 0))
        records.describe(segment, RECORD, key, key_hash(key), size)
        segment.memory.copy_in(extents.payload_position(segment, RECORD), memoryview(content))
        if publish:
            records.publish(segment, RECORD, generation, segment.term, 0)
        else:
            records.abandon(segment, RECORD)
        self.settle(until=(key, content) if publish else None)

    def invalidate(self) -> None:
        """The record is invalidated: nothing is readable from the first store on."""
        before = self.now
        records.begin_invalidate(self.segment, RECORD)
        self.settle(until=None if before else before)
        records.end_invalidate(self.segment, RECORD)
        extents.release_extent(self.segment, RECORD)
        self.settle(until=None)

    def begin_term(self) -> None:
        """What is published is restamped and stays readable all the while."""
        words, term = self.segment.words, self.segment.term + 1
        words[AT_CLOSING] = term
        if records.is_published(self.segment, RECORD):
            records.restamp(self.segment, RECORD, term)
        words[AT_TERM] = term
        words[AT_CLOSING] = 0
        self.settle(until=self.now)


@st.composite
def lives(draw: DrawFn) -> Life:
    """Lives of up to four objects in one record."""
    life = Life()
    for _ in range(draw(st.integers(1, 4))):
        match draw(st.sampled_from(["put", "put", "give up", "invalidate", "new term"])):
            case "invalidate":
                life.invalidate()
            case "new term":
                life.begin_term()
            case what:
                key, size = draw(st.sampled_from(KEYS)), draw(st.sampled_from(SIZES))
                offset = draw(st.sampled_from([0, 64, 128]))
                life.write(key, size, offset, publish=what == "put")
    return life


def beginnings(life: Life) -> SearchStrategy[tuple[int, bytes]]:
    """After which store a reader begins, and for which key: often for one that is readable there."""
    anywhere = st.tuples(st.integers(0, len(life.readable) - 1), st.sampled_from(KEYS))
    promising = [(at, there[0]) for at, there in enumerate(life.readable) if there]
    return st.one_of(st.sampled_from(promising), anywhere) if promising else anywhere


def read(segment: Segment, key: bytes) -> bytes | None:
    """What a reader that was led to the record finds."""
    hit = reader.check(segment, RECORD, key, key_hash(key))
    if hit is None:
        return None
    for size in SIZES:
        buffer = bytearray(size)
        match reader.fetch(hit, [memoryview(buffer)], 0):
            case Code.OK:
                return bytes(buffer)
            case Code.NOT_FOUND:
                return None
            case code:
                assert code is Code.WRONG_SIZE
    raise AssertionError("a size that no object has")


@times(8)
@given(lives(), st.data())
def test_a_reader_finds_one_whole_object_or_nothing(life: Life, data: st.DataObject) -> None:
    """S1: whatever a reader finds was readable under its key at some moment while it read."""
    start, key = data.draw(beginnings(life))
    arrivals = data.draw(st.lists(st.sampled_from([0, 0, 0, 1, 2, 5, 30]), max_size=30))
    memory = Replayed(life.before.copy(), life.journal.stores, iter(arrivals))
    memory.arrive(start)
    began = memory.arrived
    found = read(Segment(memory, LAYOUT), key)
    meanwhile = life.readable[began : memory.arrived + 1]
    event(f"found: {found is not None}, while it changed: {len(set(meanwhile)) > 1}")
    if found is None:
        assert not all(there and there[0] == key for there in meanwhile) or len(set(meanwhile)) > 1
    else:
        assert (key, found) in meanwhile


def test_exist_says_nothing_of_what_is_still_written() -> None:
    """However a record's next object comes between the loads, what is said to be there was readable (S2)."""
    life = Life()
    for key in KEYS:
        life.write(key, 8, 0, publish=True)
    stores = life.journal.stores
    for start, before_state, before_hash in product(range(len(stores)), repeat=3):
        for key in KEYS if start + before_state + before_hash <= len(stores) else ():
            memory = Replayed(life.before.copy(), stores, iter((0, before_state, before_hash)))
            memory.arrive(start)
            found = reader.is_there(Segment(memory, LAYOUT), RECORD, key_hash(key))
            meanwhile = life.readable[start : memory.arrived + 1]
            was_there = [there is not None and there[0] == key for there in meanwhile]
            assert any(was_there) if found else not all(was_there), (key, start, before_state, before_hash)


def test_a_record_is_published_when_its_last_store_has_arrived() -> None:
    """However a rank's two looks fall between a writer's stores, it takes over nothing unfinished (S3)."""
    life = Life()
    life.write(KEYS[0], SIZES[0], 0, publish=True)
    stores = life.journal.stores
    for first, second in product(range(len(stores) + 1), repeat=2):
        memory = Replayed(life.before.copy(), stores, iter((first, second)))
        published = records.is_published(Segment(memory, LAYOUT), RECORD)
        assert not published or memory.arrived == len(stores), (first, second)


def test_what_is_published_is_found_throughout_a_change_of_term() -> None:
    """However the stores of the change come between the reader's loads: there is no moment without it."""
    life = Life()
    life.write(KEYS[0], 8, 0, publish=True)
    before, stored = life.journal.image.copy(), len(life.journal.stores)
    life.begin_term()
    stores = life.journal.stores[stored:]
    for arrivals in product(range(len(stores) + 1), repeat=7):
        if sum(arrivals) <= len(stores):
            memory = Replayed(before.copy(), stores, iter(arrivals))
            segment = Segment(memory, LAYOUT)
            assert records.is_of_this_term(segment, RECORD), arrivals
