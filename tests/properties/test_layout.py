"""Layouts: nothing overlaps, all is inside, and damage is never believed."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mmc.segments.layout import (
    AT_KEEP,
    BUCKET_ENTRIES,
    EXTENT_WORDS,
    PAGE,
    RECORD_WORDS,
    WORD,
    Segment,
    open_segment,
    plan_layout,
)
from mmc.segments.pins import slots_of
from tests.effort import times
from tests.heap import heap_segment
from tests.strategies import words

counts = st.one_of(st.integers(1, 20), st.integers(1, 100_000))


def tables(segment: Segment) -> list[tuple[int, int]]:
    """The bytes (from, to) of the superblock and of every table, in their order."""
    layout = segment.layout
    pins = [slots_of(segment, row) for row in range(layout.clients)]
    return [
        (0, (AT_KEEP + 1) * WORD),
        (layout.extents_at, layout.extents_at + layout.records * EXTENT_WORDS * WORD),
        (layout.holders_at, layout.holders_at + layout.clients * WORD),
        *((slots.start * WORD, slots.stop * WORD) for slots in pins),
        (layout.index_at, layout.index_at + layout.buckets * BUCKET_ENTRIES * WORD),
        (layout.records_at, segment.record_word(layout.records - 1) * WORD + RECORD_WORDS * WORD),
        (layout.payload_at, layout.payload_at + layout.capacity),
    ]


@given(st.integers(0, 1 << 40), counts, st.integers(0, 40), st.integers(0, 300))
def test_tables_do_not_overlap(capacity: int, records: int, clients: int, pins: int) -> None:
    """Superblock, tables and payload lie one after the other inside the segment, on their pages."""
    layout = plan_layout(capacity, records, clients, pins)
    segment = Segment(heap_segment().memory, layout)
    places = tables(segment)
    assert all(start <= end for start, end in places)
    assert all(end <= start for (_, end), (start, _) in pairwise(places))
    assert places[-1][1] <= layout.total < places[-1][1] + PAGE
    starts = (layout.extents_at, layout.holders_at, layout.pins_at, layout.index_at)
    assert all(at % PAGE == 0 for at in (*starts, layout.records_at, layout.payload_at))


@given(counts)
def test_the_index_has_two_entries_for_each_record(records: int) -> None:
    """The index has at least two entries a record, in a power of two of at least two buckets."""
    buckets = plan_layout(0, records, 1, 1).buckets
    assert buckets * BUCKET_ENTRIES >= 2 * records
    assert buckets >= 2
    assert buckets & (buckets - 1) == 0


@times(6)
@given(
    st.dictionaries(st.integers(0, AT_KEEP), st.one_of(st.integers(0, 100), words), min_size=1, max_size=6),
    st.one_of(st.none(), st.integers(0, 1 << 18)),
)
def test_a_damaged_superblock_is_refused_or_fits(damage: dict[int, int], cut: int | None) -> None:
    """Whatever the superblock says, it is refused, or describes tables inside the file."""
    original = heap_segment()
    for at, value in damage.items():
        original.words[at] = value
    size = original.layout.total if cut is None else cut
    segment = open_segment(original.memory, size)
    if segment is not None:
        assert size == segment.layout.total <= len(original.memory.read(0, 1 << 20))
        assert all(end <= size for _, end in tables(segment))
