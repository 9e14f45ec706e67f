"""The index, by example; tests/properties/test_index.py has the rules."""

import pytest

from mmc.segments import index
from mmc.segments.layout import BUCKET_ENTRIES, HASH, Segment
from tests.heap import heap_segment

HASHED = 0x1234_5678_0000_0003


def fill(segment: Segment, hashed: int) -> None:
    """Make both buckets of a hash full of hints to records that hold something else."""
    for bucket in index.buckets_of(segment, hashed):
        for at in range(bucket, bucket + BUCKET_ENTRIES):
            segment.words[at] = 0xDEAD << 32 | 1


def entries(segment: Segment) -> list[int]:
    """Every entry that is not empty."""
    count = segment.layout.buckets * BUCKET_ENTRIES
    return [word for word in segment.memory.column(segment.index_word, 1, count) if word]


def test_a_hint_leads_to_its_record() -> None:
    """A record whose hint was inserted is a candidate for its hash, and for no other."""
    segment = heap_segment()
    assert index.insert(segment, HASHED, 5)
    assert list(index.candidates(segment, HASHED)) == [5]
    assert list(index.candidates(segment, HASHED ^ 1 << 40)) == []


def test_inserting_again_adds_nothing() -> None:
    """A hint is there once, however often it is inserted."""
    segment = heap_segment()
    assert index.insert(segment, HASHED, 5)
    assert index.insert(segment, HASHED, 5)
    assert list(index.candidates(segment, HASHED)) == [5]


def test_several_records_may_share_a_hash() -> None:
    """Two records of one hash are both candidates: the reader looks at both."""
    segment = heap_segment()
    index.insert(segment, HASHED, 5)
    index.insert(segment, HASHED, 6)
    assert sorted(index.candidates(segment, HASHED)) == [5, 6]


def test_erasing_takes_one_hint() -> None:
    """Erasing a record's hint leaves those of others, and what is not there is no fault."""
    segment = heap_segment()
    index.insert(segment, HASHED, 5)
    index.insert(segment, HASHED, 6)
    index.erase(segment, HASHED, 5)
    index.erase(segment, HASHED, 5)
    assert list(index.candidates(segment, HASHED)) == [6]


def test_a_hint_in_both_buckets_is_erased_from_both() -> None:
    """A hint that was moved while it was inserted again leaves no trace."""
    segment = heap_segment()
    index.insert(segment, HASHED, 5)
    _, second = index.buckets_of(segment, HASHED)
    segment.words[second] = entries(segment)[0]
    index.erase(segment, HASHED, 5)
    assert entries(segment) == []


def test_full_buckets_take_no_more() -> None:
    """A writer that finds both buckets full leaves it to the rank."""
    segment = heap_segment(records=64)
    fill(segment, HASHED)
    assert not index.insert(segment, HASHED, 5)
    assert not index.present(segment, HASHED, 5)


def test_repairing_what_is_there_adds_nothing() -> None:
    """A hint that is in either bucket of its hash is left as it is."""
    segment = heap_segment()
    index.insert(segment, HASHED, 5)
    (entry,) = entries(segment)
    first, second = index.buckets_of(segment, HASHED)
    segment.words[first], segment.words[second] = 0, entry
    assert index.repair(segment, HASHED, 5)
    assert entries(segment) == [entry]
    assert segment.words[second] == entry


def test_repair_drops_what_is_stale() -> None:
    """The rank makes room by dropping a hint to a record that holds something else."""
    segment = heap_segment(records=64)
    fill(segment, HASHED)
    assert index.repair(segment, HASHED, 5)
    assert index.present(segment, HASHED, 5)


@pytest.mark.parametrize("record", [64, 0xFFFFFFFE])
def test_hints_to_no_record_are_neither_followed_nor_kept(record: int) -> None:
    """An entry beyond the last record is no candidate, and makes room for one that is."""
    segment = heap_segment(records=64)
    for bucket in index.buckets_of(segment, HASHED):
        for at in range(bucket, bucket + BUCKET_ENTRIES):
            segment.words[at] = HASHED >> 32 << 32 | record + 1
    assert list(index.candidates(segment, HASHED)) == []
    assert index.repair(segment, HASHED, 5)
    assert list(index.candidates(segment, HASHED)) == [5]


def test_repair_moves_what_is_true() -> None:
    """A hint that is still true is moved to its other bucket, and found there."""
    segment = heap_segment(records=64)
    first, second = index.buckets_of(segment, HASHED)
    kept: dict[int, int] = {}
    for bucket in (first, second):
        for _ in range(BUCKET_ENTRIES):
            record = 10 + len(kept)
            number = (bucket - segment.index_word) // BUCKET_ENTRIES
            elsewhere = (number + 1 + len(kept)) % segment.layout.buckets
            hashed = 0xBEEF << 32 | elsewhere << 24 | number
            if hashed >> 24 & segment.layout.buckets - 1 == number:
                hashed ^= 1 << 24
            segment.words[bucket + len(kept) % BUCKET_ENTRIES] = hashed >> 32 << 32 | record + 1
            segment.words[segment.record_word(record) + HASH] = hashed
            kept[record] = hashed
    assert index.repair(segment, HASHED, 5)
    assert index.present(segment, HASHED, 5)
    assert all(index.present(segment, hashed, record) for record, hashed in kept.items())


def test_where_nothing_can_move_repair_says_so() -> None:
    """With both buckets full of true hints that cannot move, the hint stays out, and they stay in."""
    segment = heap_segment(records=8)
    for record in range(8):
        hashed = 0xBEEF << 32 | record << 8
        segment.words[segment.record_word(record) + HASH] = hashed
        for bucket in index.buckets_of(segment, hashed):
            segment.words[bucket + record] = hashed >> 32 << 32 | record + 1
    before = entries(segment)
    assert len(before) == 16
    assert not index.repair(segment, HASHED, 5)
    assert entries(segment) == before


def test_the_two_buckets_are_never_the_same() -> None:
    """Every hash has two buckets, even in the smallest index."""
    segment = heap_segment(records=1)
    for low in range(4):
        for high in range(4):
            first, second = index.buckets_of(segment, high << 24 | low)
            assert first != second
            assert {first, second} <= {segment.index_word, segment.index_word + BUCKET_ENTRIES}
