"""The reservation table in the segment."""

import pytest

from mmc.segments.extents import (
    Extent,
    all_extents,
    payload_position,
    read_extent,
    release_extent,
    write_extent,
)
from mmc.segments.layout import EXTENT_WORDS
from tests.heap import heap_segment

EXTENTS = [
    Extent(0, 64, 0),
    Extent(4096, 1 << 40, 65535, (1 << 64) - 1),
    Extent((1 << 63), (1 << 48) - 1, 1, 7),
]


@pytest.mark.parametrize("extent", EXTENTS)
def test_what_is_written_is_read(extent: Extent) -> None:
    """An extent is found as it was written, at its record and no other."""
    segment = heap_segment()
    write_extent(segment, 3, extent)
    assert read_extent(segment, 3) == extent
    assert [r for r, found in enumerate(all_extents(segment)) if found.capacity] == [3]


def test_all_extents_are_read_in_record_order() -> None:
    """A rebuild sees every record's extent."""
    segment = heap_segment()
    for record in range(segment.layout.records):
        write_extent(segment, record, Extent(64 * record, 64, record, 1000 + record))
    expected = [Extent(64 * r, 64, r, 1000 + r) for r in range(segment.layout.records)]
    assert all_extents(segment) == expected
    assert [read_extent(segment, r) for r in range(segment.layout.records)] == expected


def test_a_released_extent_is_nobody_s() -> None:
    """A released record has no bytes and no holder."""
    segment = heap_segment()
    write_extent(segment, 2, Extent(128, 64, 3, 9))
    release_extent(segment, 2)
    assert read_extent(segment, 2)[1:3] == (0, 0)


def test_the_payload_lies_behind_the_tables() -> None:
    """A record's bytes begin at its extent's offset in the payload."""
    segment = heap_segment()
    write_extent(segment, 1, Extent(4096, 64, 0))
    assert payload_position(segment, 1) == segment.layout.payload_at + 4096


@pytest.mark.parametrize(
    ("extent", "order"), [(Extent(64, 64, 1, 5), [0, 2, 1]), (Extent(64, 64, 0), [0, 1, 2])]
)
def test_what_has_a_holder_has_its_grant(extent: Extent, order: list[int]) -> None:
    """Whoever dies while writing an extent leaves nothing that its holder does not know by its grant."""
    segment = heap_segment()
    stored: list[int] = []

    class Words:
        """Notes the order of stores."""

        def __getitem__(self, at: int, /) -> int:
            """Load one word."""
            return segment.memory.words[at]

        def __setitem__(self, at: int, value: int, /) -> None:
            """Note and store one word."""
            stored.append(at - segment.extents_word - EXTENT_WORDS)
            segment.memory.words[at] = value

    segment.words = Words()
    write_extent(segment, 1, extent)
    assert stored == order
