"""A rank's report: which parts are sent when, and what they hold."""

import pytest

from mmc.actors.local.keeper import Keeper
from mmc.actors.local.reporting import Reporting
from mmc.cache.records import RecordState
from mmc.config import load_config
from mmc.errors import Code
from mmc.segments import records
from tests.heap import heap_segment, store

LIMITS = load_config().local
NOW = 100.0


@pytest.fixture
def keeper() -> Keeper:
    """The keeper of seven stored objects."""
    segment = heap_segment()
    keeper = Keeper(segment, LIMITS)
    holder = keeper.attach(7)
    assert holder is not None
    for number in range(7):
        record = keeper.reserve(holder, 64, grant=number)
        assert record is not None
        store(segment, record, b"key-%d" % record, 64, counter=number)
        assert keeper.adopt(record)
    return keeper


def test_two_parts_are_on_their_way_and_the_last_is_sent_when_all_were_answered(keeper: Keeper) -> None:
    """Each answer makes room for one part, and an empty one ends the report."""
    reporting = Reporting(keeper, 2)
    sent = list(reporting.parts(NOW))
    assert [part.records for part in sent] == [(0, 1), (2, 3)]
    assert not list(reporting.parts(NOW))
    for answered, following in ((0, [(4, 5)]), (1, [(6,)]), (2, [])):
        reporting.answered(sent[answered], [Code.OK] * 2)
        parts = list(reporting.parts(NOW))
        assert [part.records for part in parts] == following
        sent += parts
    assert not any(part.last for part in sent)
    reporting.answered(sent[3], [Code.OK])
    (last,) = reporting.parts(NOW)
    assert last.last
    assert last.records == ()
    assert not list(reporting.parts(NOW))


def test_a_rank_without_objects_reports_that(keeper: Keeper) -> None:
    """The only part is the last one."""
    keeper.wipe(0)
    (last,) = Reporting(keeper, 2).parts(NOW)
    assert last.last
    assert last.keys == ()


def test_a_part_says_what_its_records_are(keeper: Keeper) -> None:
    """Generation, version, size, key, and how long each is still leased."""
    segment = keeper.segment
    records.store_lease(segment, 1, int(NOW * 1000) + 250)
    records.store_lease(segment, 2, int(NOW * 1000) - 250)
    (part, *_) = Reporting(keeper, 7).parts(NOW)
    assert part.generations == tuple(records.generation_of(segment, record) for record in range(7))
    assert part.versions == tuple(tuple(records.version_of(segment, record)) for record in range(7))
    assert part.sizes == (64,) * 7
    assert part.keys == tuple(b"key-%d" % record for record in range(7))
    assert part.leased_ms == (0, 250, 0, 0, 0, 0, 0)


def test_what_was_invalidated_meanwhile_is_left_out_and_what_is_refused_is_invalidated(
    keeper: Keeper,
) -> None:
    """A record goes when the meta service says so, and no later part tells of one that has gone."""
    reporting = Reporting(keeper, 2)
    first, second = reporting.parts(NOW)
    keeper.retire([4])
    reporting.answered(first, [Code.NOT_FOUND, Code.OK])
    assert keeper.table[0].state is not RecordState.STORED
    assert keeper.table[1].state is RecordState.STORED
    (third,) = reporting.parts(NOW)
    assert third.records == (5,)
    assert second.records == (2, 3)
