"""Many records read at once say the same as each read by itself."""

import pytest

from mmc.segments import columns, records
from mmc.segments.layout import KEY_LENGTH, SIZE, Segment
from tests.heap import heap_segment, store

FAR = 9001
WANTED = [0, 1, 2, 5, 4095, 4096, 4097, FAR]


@pytest.fixture
def segment() -> Segment:
    """A segment with published records that lie close together and far apart."""
    made = heap_segment(records=FAR + 1)
    for record in WANTED:
        store(made, record, b"key-%d" % record * (1 + record % 9), size=record + 1, counter=record)
    records.store_lease(made, 5, 1234)
    return made


@pytest.mark.parametrize("wanted", [[], [FAR], [0, 1, 2], [1, 5, FAR], WANTED])
def test_records_described_together_are_what_each_is(segment: Segment, wanted: list[int]) -> None:
    """Generations, versions, sizes, keys and leases come in the order of the records asked for."""
    found = columns.describe_all(segment, wanted)
    assert found.generations == [records.generation_of(segment, record) for record in wanted]
    assert found.versions == [tuple(records.version_of(segment, record)) for record in wanted]
    assert found.sizes == [record + 1 for record in wanted]
    assert found.keys == [records.key_of(segment, record) for record in wanted]
    assert found.leased_until == [records.lease_of(segment, record) for record in wanted]


def test_published_are_those_that_are_even_and_published(segment: Segment) -> None:
    """Neither a record under its writer's hands nor a free one counts."""
    records.begin_invalidate(segment, 1)
    records.abandon(segment, FAR)
    assert columns.published_among(segment, WANTED) == [0, 2, 5, 4095, 4096, 4097]
    assert columns.published_among(segment, [3]) == []


def test_unsound_are_those_that_say_what_no_record_can_say(segment: Segment) -> None:
    """A key that is none, a size of nothing and a size beyond the extent are found, each for itself."""
    segment.words[segment.record_word(2) + KEY_LENGTH] = 0
    segment.words[segment.record_word(4096) + SIZE] = 0
    capacities = [record + 1 for record in WANTED]
    capacities[-1] = FAR
    assert columns.unsound_among(segment, WANTED, capacities) == [2, 4096, FAR]


def test_a_key_length_beyond_the_record_reads_no_other_record(segment: Segment) -> None:
    """Whatever the length says, a key ends with its record, and is none when it has no end there."""
    segment.words[segment.record_word(0) + KEY_LENGTH] = 1 << 63
    assert columns.describe_all(segment, [0]).keys == [records.key_of(segment, 0)]
    assert columns.unsound_among(segment, [0], [64]) == [0]


def test_a_new_term_is_given_to_those_records_alone(segment: Segment) -> None:
    """Records that were not named keep their term."""
    columns.restamp_all(segment, [1, FAR], 77)
    terms = {record: records.term_of(segment, record) for record in WANTED}
    assert terms == {record: 77 if record in (1, FAR) else segment.term for record in WANTED}
