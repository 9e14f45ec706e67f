"""What is remembered of a place is believed only as long as the segment is."""

import pytest

from mmc.identifiers import ObjectVersion, key_hash
from mmc.segments import extents, index, records
from mmc.segments.layout import AT_DEAD, AT_TERM, Segment, format_segment, plan_layout
from mmc.segments.mapping import heap_memory
from mmc.segments.reader import Reader

_KEY = b"key"
_TERM = 7


@pytest.fixture
def segment() -> Segment:
    """A segment with one published object."""
    layout = plan_layout(8192, 4, 1, 1)
    made = format_segment(heap_memory(layout.total), layout, 5, 6, keep=False)
    made.words[AT_TERM] = _TERM
    extents.write_extent(made, 0, extents.Extent(0, 64, 0))
    generation = records.begin_write(made, 0, ObjectVersion(1, 2, 3, 4))
    records.describe(made, 0, _KEY, key_hash(_KEY), 10)
    records.publish(made, 0, generation, _TERM, 0)
    assert index.insert(made, key_hash(_KEY), 0)
    return made


@pytest.mark.parametrize(("word", "value"), [(AT_DEAD, 1), (AT_TERM, _TERM + 1)])
def test_a_remembered_place_in_a_segment_that_is_over_is_forgotten(
    segment: Segment, word: int, value: int
) -> None:
    """Neither a dead segment nor a record of a past term is read, also where the place is remembered."""
    reader = Reader({0: segment}, 16, 12)
    assert reader.locate(_KEY) is not None
    assert reader.locate(_KEY) is not None
    segment.words[word] = value
    assert reader.locate(_KEY) is None
    assert not reader.has(_KEY, 1)
