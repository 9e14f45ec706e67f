"""The index under full load, and under any damage."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from mmc.segments import index
from mmc.segments.layout import BUCKET_ENTRIES, HASH, Segment
from tests.effort import share
from tests.heap import heap_segment
from tests.strategies import words

RECORDS = 1024

seeds = st.integers(0, 1 << 32)


def hash_all(segment: Segment, hashes: list[int]) -> None:
    """Give each record a hash, as if an object lay in it."""
    for record, hashed in enumerate(hashes):
        segment.words[segment.record_word(record) + HASH] = hashed


def words_of(segment: Segment) -> list[int]:
    """Every entry of the index."""
    count = segment.layout.buckets * BUCKET_ENTRIES
    return segment.memory.column(segment.index_word, 1, count)


@share(5)
@given(seeds)
def test_nearly_all_hints_find_a_place_and_repair_places_the_rest(seed: int) -> None:
    """With every record in use 95 % of hints are inserted at once, and repair makes all present."""
    segment = heap_segment(records=RECORDS, capacity=0)
    chance = Random(seed)
    hashes = [chance.getrandbits(64) for _ in range(RECORDS)]
    hash_all(segment, hashes)
    inserted = [index.insert(segment, hashed, record) for record, hashed in enumerate(hashes)]
    assert sum(inserted) >= 0.95 * RECORDS
    assert all(index.repair(segment, hashed, record) for record, hashed in enumerate(hashes))
    assert all(record in index.candidates(segment, h) for record, h in enumerate(hashes))
    for record, hashed in enumerate(hashes):
        index.erase(segment, hashed, record)
    assert not any(words_of(segment))


@share(5)
@given(seeds)
def test_repair_wins_against_stale_hints(seed: int) -> None:
    """Records that were written again and again, with no hint erased, are found after repair."""
    segment = heap_segment(records=RECORDS, capacity=0)
    chance = Random(seed)
    for _ in range(3):
        hashes = [chance.getrandbits(64) for _ in range(RECORDS)]
        hash_all(segment, hashes)
        for record, hashed in enumerate(hashes):
            index.insert(segment, hashed, record)
    for record, hashed in enumerate(hashes):
        assert index.repair(segment, hashed, record)
    assert all(index.present(segment, hashed, record) for record, hashed in enumerate(hashes))


@given(st.lists(words, max_size=32), words, st.integers(0, 7))
def test_no_damage_leads_out_of_the_records(damage: list[int], hashed: int, record: int) -> None:
    """Whatever stands in the index, candidates are records, and a repaired hint is found."""
    segment = heap_segment(records=8, capacity=0)
    hash_all(segment, [hashed] * 8)
    for position, word in enumerate(damage):
        segment.words[segment.index_word + position % len(words_of(segment))] = word
    assert all(0 <= found < 8 for found in index.candidates(segment, hashed))
    if index.repair(segment, hashed, record):
        assert record in index.candidates(segment, hashed)
    index.erase(segment, hashed, record)
    assert record not in index.candidates(segment, hashed)
