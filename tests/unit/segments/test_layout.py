"""Superblocks: formatting, opening, serving; tests/properties/test_layout.py has the rules."""

import pytest

from mmc.config import load_config
from mmc.segments.layout import (
    AT_CLOSING,
    AT_DEAD,
    AT_FORMAT,
    AT_ID,
    AT_KEEP,
    AT_PINS,
    AT_RECORDS,
    AT_SERVE_UNTIL,
    AT_TERM,
    FORMAT,
    PAGE,
    WORD,
    format_segment,
    open_segment,
    plan_layout,
)
from mmc.segments.mapping import heap_memory
from tests.heap import BOOT, IDENTITY, TERM, heap_segment


def test_the_layout_is_part_of_the_format() -> None:
    """Every process computes the same places from the same four numbers."""
    assert plan_layout(1 << 20, 100, 3, 256) == (
        1 << 20,
        100,
        3,
        256,
        32,
        4096,
        8192,
        12288,
        20480,
        24576,
        65536,
        65536 + (1 << 20),
    )


@pytest.mark.parametrize(("records", "buckets"), [(1, 2), (8, 2), (9, 4), (128, 32), (129, 64)])
def test_the_index_grows_with_the_records(records: int, buckets: int) -> None:
    """The number of buckets is the least power of two with two entries for each record."""
    assert plan_layout(0, records, 1, 1).buckets == buckets


def test_words_are_counted_from_the_start() -> None:
    """The positions that the hot paths use are those of the layout."""
    segment, layout = heap_segment(), heap_segment().layout
    assert segment.extents_word * WORD == layout.extents_at
    assert segment.holders_word * WORD == layout.holders_at
    assert segment.pins_word * WORD == layout.pins_at
    assert segment.index_word * WORD == layout.index_at
    assert segment.records_word * WORD == segment.record_word(0) * WORD == layout.records_at
    assert segment.payload_at == layout.payload_at


@pytest.mark.parametrize("keep", [False, True])
def test_a_formatted_segment_is_opened_as_it_is(*, keep: bool) -> None:
    """Whoever opens a segment finds the layout and the identity that it was formatted with."""
    layout = plan_layout(10000, 5, 2, 3)
    memory = heap_memory(layout.total)
    made = format_segment(memory, layout, IDENTITY, BOOT, keep=keep)
    found = open_segment(memory, layout.total)
    assert found is not None
    assert found.layout == made.layout == layout
    assert (found.id, found.term) == (IDENTITY, 0)
    assert found.words[AT_KEEP] == keep


@pytest.mark.parametrize("size", [0, 8, PAGE - 1, PAGE])
def test_memory_that_is_too_small_is_no_segment(size: int) -> None:
    """A file cut short is not opened."""
    segment = heap_segment()
    assert open_segment(segment.memory, size) is None


def test_a_format_alone_is_no_segment() -> None:
    """Memory that ends before its superblock does is not read beyond its end."""
    memory = heap_memory(8)
    memory.words[AT_FORMAT] = FORMAT
    assert open_segment(memory, 8) is None


def test_slots_that_no_memory_has_are_no_segment() -> None:
    """Sizes that add up are not enough: whoever listed the slots of a row would never come to an end."""
    layout = plan_layout(1 << 16, 8, 0, 1 << 40)
    memory = heap_memory(layout.total)
    format_segment(memory, layout, 1, 2, keep=False)
    assert open_segment(memory, layout.total) is None


def test_zeroed_memory_is_no_segment() -> None:
    """Memory that nobody has formatted is not opened."""
    assert open_segment(heap_memory(65536), 65536) is None


@pytest.mark.parametrize(("at", "value"), [(AT_FORMAT, 1), (AT_RECORDS, 0), (AT_PINS, 1 << 60)])
def test_a_damaged_superblock_is_no_segment(at: int, value: int) -> None:
    """Another format, or a table that cannot be, is not opened."""
    segment = heap_segment()
    segment.words[at] = value
    assert open_segment(segment.memory, segment.layout.total) is None


@pytest.mark.parametrize(
    ("at", "value"),
    [(AT_CLOSING, TERM + 1), (AT_TERM, TERM + 1), (AT_DEAD, 1), (AT_ID, 1), (AT_SERVE_UNTIL, 6999)],
)
def test_a_segment_serves_a_claim_in_its_term_and_life_only(at: int, value: int) -> None:
    """A writer is told when its rank is closing, in another term, dead, another life, or beyond its time."""
    segment = heap_segment()
    segment.words[AT_SERVE_UNTIL] = 7000
    assert segment.serves(TERM, IDENTITY, 7.0)
    segment.words[at] = value
    assert not segment.serves(TERM, IDENTITY, 7.0)


@pytest.mark.parametrize("capacity", [1 << 30, 16 << 30])
def test_tables_take_little_of_a_pool(capacity: int) -> None:
    """With the settings as they ship all that is not payload is at most two per cent of it."""
    local = load_config().local
    records = capacity // local.bytes_per_record
    layout = plan_layout(capacity, records, local.clients_max, local.pins_per_client)
    assert layout.total - layout.capacity <= layout.capacity // 50
