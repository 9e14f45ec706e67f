"""A rank's records, where its life ends in the middle of something."""

from mmc.actors.local.keeper import Keeper
from mmc.cache.records import RecordState
from mmc.config import load_config
from mmc.errors import Code
from mmc.segments import extents, records
from mmc.segments.extents import Extent
from mmc.segments.layout import AT_CLOSING
from tests.heap import TERM, heap_segment, store

LIMITS = load_config().local
NEXT_TERM = TERM + 1


def test_what_was_restamped_before_a_rank_died_is_kept_when_its_writer_dies_too() -> None:
    """A put that was acknowledged stands, though rank and writer end while the term changes."""
    segment = heap_segment()
    keeper = Keeper(segment, LIMITS)
    holder = keeper.attach(7)
    assert holder is not None
    record = keeper.reserve(holder, 64, grant=1)
    assert record is not None
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
    segment = heap_segment()
    keeper = Keeper(segment, LIMITS)
    holder = keeper.attach(7)
    assert holder is not None
    stays, goes = (keeper.reserve(holder, 64, grant=number) for number in (1, 2))
    assert stays is not None
    assert goes is not None
    for counter, record in enumerate((stays, goes), 1):
        store(segment, record, b"key", 64, counter)
        assert keeper.adopt(record)
    records.store_lease(segment, goes, 5_000)
    keeper.retire_refused([keeper.published(goes)], [Code.NOT_FOUND])
    assert keeper.table[goes].state is not RecordState.STORED
    assert records.lease_of(segment, stays) == 5_000


def test_a_record_that_a_rank_died_retiring_is_free_under_a_new_generation() -> None:
    """A return of it that comes once more does not match whoever holds it next."""
    segment = heap_segment()
    keeper = Keeper(segment, LIMITS)
    holder = keeper.attach(7)
    assert holder is not None
    record = keeper.reserve(holder, 64, grant=1)
    assert record is not None
    before = records.generation_of(segment, record)
    owned = keeper.table[record]
    extents.write_extent(segment, record, Extent(owned.offset, owned.capacity, 0))
    reborn = Keeper(segment, LIMITS)
    reborn.sweep()
    assert reborn.table[record].state is RecordState.FREE
    assert records.generation_of(segment, record) > before
