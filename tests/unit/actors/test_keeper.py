"""A rank's records, where its life ends in the middle of something."""

import pytest

from mmc.actors.local.keeper import Keeper
from mmc.cache.records import RecordState
from mmc.cache.reservations import Holder
from mmc.config import load_config
from mmc.errors import Code
from mmc.segments import extents, index, pins, records
from mmc.segments.extents import Extent
from mmc.segments.layout import AT_CLOSING, Segment
from tests.heap import TERM, heap_segment, store

LIMITS = load_config().local
NEXT_TERM = TERM + 1


def reserved(count: int = 1) -> tuple[Segment, Keeper, Holder, list[int]]:
    """A segment, its keeper, and a client that holds so many records on it."""
    segment = heap_segment()
    keeper = Keeper(segment, LIMITS)
    holder = keeper.attach(7)
    assert holder is not None
    records_held = [keeper.reserve(holder, 64, grant=1) for _ in range(count)]
    return segment, keeper, holder, [record for record in records_held if record is not None]


def test_what_was_restamped_before_a_rank_died_is_kept_when_its_writer_dies_too() -> None:
    """A put that was acknowledged stands, though rank and writer end while the term changes."""
    segment, _, _, (record,) = reserved()
    store(segment, record, b"key", 64)
    segment.words[AT_CLOSING] = NEXT_TERM
    records.restamp(segment, record, NEXT_TERM)
    reborn = Keeper(segment, LIMITS)
    (holder,) = reborn.reservations.holders()
    reborn.detach(holder)
    assert reborn.table[record].state is RecordState.STORED
    assert records.is_published(segment, record)


def test_a_lease_passes_to_the_object_of_that_key_which_the_meta_service_lists() -> None:
    """Of two objects of a key that a rebuild finds on a rank, the one that stays is leased as long."""
    segment, keeper, _, (stays, goes) = reserved(2)
    for counter, record in enumerate((stays, goes), 1):
        store(segment, record, b"key", 64, counter)
        assert keeper.adopt(record)
    records.store_lease(segment, goes, 5_000)
    keeper.retire_refused([keeper.published(goes)], [Code.NOT_FOUND])
    assert keeper.table[goes].state is not RecordState.STORED
    assert records.lease_of(segment, stays) == 5_000


def test_a_record_that_a_rank_died_retiring_is_free_under_a_new_generation() -> None:
    """A return of it that comes once more does not match whoever holds it next."""
    segment, keeper, _, (record,) = reserved()
    before = records.generation_of(segment, record)
    owned = keeper.table[record]
    extents.write_extent(segment, record, Extent(owned.offset, owned.capacity, 0))
    reborn = Keeper(segment, LIMITS)
    reborn.sweep()
    assert reborn.table[record].state is RecordState.FREE
    assert records.generation_of(segment, record) > before


def test_a_wipe_takes_what_its_writer_still_holds_too() -> None:
    """What was published before the rank was given up does not return with its new term."""
    segment, keeper, _, (old, older, new) = reserved(3)
    for counter, (record, term) in enumerate(((old, TERM), (older, TERM - 1), (new, NEXT_TERM)), 1):
        store(segment, record, b"key %d" % counter, 64, counter)
        records.restamp(segment, record, term)
    keeper.begin_term(NEXT_TERM, wipes=True)
    assert [records.is_published(segment, record) for record in (old, older, new)] == [False, False, True]
    assert keeper.stored() == [new]


def test_a_pin_that_a_client_asked_for_outlives_the_rank_that_wrote_it() -> None:
    """A rank that starts again does not free what a view shows."""
    segment, keeper, holder, (record,) = reserved()
    generation = store(segment, record, b"key", 64)
    assert keeper.adopt(record)
    slot = pins.asked_slots(segment, holder.row)[0]
    assert pins.pin(segment, slot, record, generation)
    reborn = Keeper(segment, LIMITS)
    reborn.retire([record])
    assert reborn.table[record].state is RecordState.RETIRED
    pins.unpin(segment, slot)
    reborn.sweep()
    assert reborn.table[record].state is RecordState.FREE


def test_a_published_record_that_a_rank_died_retiring_does_not_stay_with_its_writer() -> None:
    """Returned after it was published in vain, and odd when the rank died: it is nobody's, and free."""
    segment, keeper, holder, (record,) = reserved()
    store(segment, record, b"key", 64)

    class Death(Exception):
        """The rank's end."""

    def die(_segment: object, _record: int) -> None:
        raise Death

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "end_invalidate", die)
        with pytest.raises(Death):
            keeper.give_back(holder, record)
    reborn = Keeper(segment, LIMITS)
    reborn.sweep()
    assert reborn.table[record].state is RecordState.FREE


def test_a_lost_hint_is_found_again() -> None:
    """A stored record whose hint was erased, or overwritten, is led to again after a while (L3)."""
    segment, keeper, _, (record,) = reserved()
    store(segment, record, b"key", 64)
    assert keeper.adopt(record)
    hashed = records.hash_of(segment, record)
    index.erase(segment, hashed, record)
    reborn = Keeper(segment, LIMITS)
    assert not index.present(segment, hashed, record)
    reborn.mend_index()
    assert index.present(segment, hashed, record)
