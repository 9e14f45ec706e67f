"""Pins, by example; tests/properties/test_pins.py has the race with the rank."""

import pytest

from mmc.segments import pins, records
from tests.heap import heap_segment, store


def test_each_row_has_slots_of_its_own() -> None:
    """No slot belongs to two clients, and none to another table."""
    segment = heap_segment(clients=3, pins=5)
    slots = [slot for row in range(3) for slot in pins.slots_of(segment, row)]
    assert len(set(slots)) == len(slots) == 15
    assert min(slots) == segment.pins_word
    assert max(slots) < segment.index_word


def test_the_rank_sees_what_is_pinned() -> None:
    """A pinned record is seen until it is unpinned, whichever client pins it."""
    segment = heap_segment()
    for record in (0, 3):
        store(segment, record, b"key%d" % record)
    mine, other = pins.slots_of(segment, 0)[1], pins.slots_of(segment, 1)[0]
    assert pins.pin(segment, mine, 0, 2)
    assert pins.pin(segment, other, 3, 2)
    assert segment.words[other] == 2 << 32 | 4
    assert pins.pinned_records(segment, [0, 1]) == {0, 3}
    assert pins.pinned_records(segment, [1]) == {3}
    pins.unpin(segment, mine)
    assert pins.pinned_records(segment, [0, 1]) == {3}


@pytest.mark.parametrize("generation", [0, 1, 3, 4, 2 + (1 << 32)])
def test_a_generation_that_has_passed_cannot_be_pinned(generation: int) -> None:
    """A pin of what a record holds no more is taken back at once."""
    segment = heap_segment()
    store(segment, 0, b"key")
    slot = pins.slots_of(segment, 0)[0]
    assert not pins.pin(segment, slot, 0, generation)
    assert segment.words[slot] == 0


def test_a_record_being_changed_cannot_be_pinned() -> None:
    """Once its generation is odd, a record is pinned by nobody new."""
    segment = heap_segment()
    generation = store(segment, 0, b"key")
    records.begin_invalidate(segment, 0)
    assert not pins.pin(segment, pins.slots_of(segment, 0)[0], 0, generation)


def test_the_slots_of_the_dead_are_cleared() -> None:
    """All pins of one client go, and no pin of another."""
    segment = heap_segment()
    store(segment, 0, b"key")
    for slot in (*pins.slots_of(segment, 0), pins.slots_of(segment, 1)[2]):
        assert pins.pin(segment, slot, 0, 2)
    pins.clear(segment, 0)
    assert pins.pinned_records(segment, [0]) == set()
    assert pins.pinned_records(segment, [1]) == {0}
