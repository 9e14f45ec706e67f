"""Which records a rank names to make room, and what it expects for those that wait."""

from __future__ import annotations

from mmc.actors.local.clearing import Prospect
from mmc.actors.local.keeper import Keeper
from mmc.actors.local.relief import Relief, WaitingReserve
from mmc.actors.reception import Request
from mmc.config import load_config
from mmc.errors import Code
from mmc.segments import pins, records
from mmc.segments.reader import touch
from mmc.wire.codec import Header
from mmc.wire.requests import Reserve
from tests.heap import heap_segment, store

LIMITS = load_config().local
PAGE = 4096
PAGES = 16


class Rank:
    """A rank full of objects of one page."""

    def __init__(self, clocks: dict[int, int] | None = None, pages: int = PAGES) -> None:
        """``clocks``: in 1/16 s, of pages that were read lately; the others were read before."""
        self.segment = heap_segment(records=pages, capacity=pages * PAGE, clients=2, pins=PAGES)
        self.keeper = Keeper(self.segment, LIMITS)
        self.relief = Relief(self.keeper, waiting_max=8)
        holder = self.keeper.attach(7)
        assert holder is not None
        self.holder = holder
        self.record_at: dict[int, int] = {}
        for page in range(pages):
            record = self.keeper.reserve(holder, PAGE, grant=1)
            assert record is not None
            store(self.segment, record, b"key %d" % page, PAGE, counter=page)
            assert self.keeper.adopt(record)
            self.record_at[self.keeper.table[record].offset // PAGE] = record
        for page, clock in (clocks or {}).items():
            touch(self.segment, self.segment.record_word(self.record_at[page]), clock)

    def wait(self, *pages: int) -> WaitingReserve:
        """Let a reserve for objects of so many pages wait for ten seconds."""
        reserve = Reserve(2, len(pages), tuple(count * PAGE for count in pages))
        request = Request(b"client", None, Header(0, deadline_ms=10_000), reserve, 0.0)
        waiting = WaitingReserve(request, self.holder, reserve)
        assert self.relief.enqueue(waiting)
        return waiting

    def named(self, now: float = 1.0) -> list[int]:
        """The pages whose records are named now."""
        page_of = {record: page for page, record in self.record_at.items()}
        return [page_of[record] for record, _ in self.relief.demand(now).named]

    def answer(self, code: Code, *refused: int) -> None:
        """The meta service's answer to what is named now: ``code`` for refused pages, and 0 for others."""
        demand = self.relief.demand(1.0)
        out = {self.record_at[page] for page in refused}
        codes = [code if record in out else Code.OK for record, _ in demand.named]
        self.relief.clearing.heard(demand.named, codes, 1.0)

    def free(self, *pages: int) -> None:
        """These pages come free."""
        self.keeper.retire([self.record_at[page] for page in pages])

    def lease(self, *pages: int, until_ms: int = 60_000) -> None:
        """These pages are under a lease."""
        for page in pages:
            records.store_lease(self.segment, self.record_at[page], until_ms)

    def granted(self) -> list[WaitingReserve]:
        """Those that are served now."""
        return [waiting for waiting, _ in self.relief.take_granted(1.0)]


def test_pages_that_lie_side_by_side_are_named_and_no_others() -> None:
    """For four pages in a full pool four neighbours go: the coldest ones together."""
    warm = dict.fromkeys([0, 1, 2, 3, 4, 9, 10, 11, 12, 13, 14, 15], 16)
    rank = Rank(warm)
    rank.wait(4)
    assert rank.named() == [5, 6, 7, 8]


def test_free_pages_are_made_use_of() -> None:
    """Next to what is free already fewer objects are lost, whatever lies scattered elsewhere."""
    rank = Rank()
    rank.free(0, 6, 7, 8, 15)
    waiting = rank.wait(4)
    assert rank.named() == [5]
    assert rank.granted() == []
    rank.free(5)
    assert rank.granted() == [waiting]


def test_what_leaves_is_not_named_again() -> None:
    """Once the meta service evicts a window nothing more is wanted, until it ought to have gone."""
    rank = Rank()
    rank.wait(4)
    assert len(rank.named()) == 4
    rank.answer(Code.OK)
    assert rank.named() == []
    assert len(rank.named(now=2.0)) == 4


def test_a_large_window_is_named_in_parts() -> None:
    """Each answer is followed by the next records of the same window, and all of it is named once."""
    rank = Rank(pages=1200)
    rank.wait(1100)
    parts = []
    while demand := rank.relief.demand(1.0):
        parts.append([record for record, _ in demand.named])
        rank.relief.clearing.heard(demand.named, [Code.OK] * len(parts[-1]), 1.0)
    assert [len(part) for part in parts] == [512, 512, 76]
    assert len({record for part in parts for record in part}) == 1100


def test_what_was_refused_is_avoided() -> None:
    """The next window is another one, and after a while the first may be tried again."""
    rank = Rank(dict.fromkeys(range(4, PAGES), 16))
    rank.wait(4)
    assert rank.named() == [0, 1, 2, 3]
    rank.answer(Code.LEASED, 2)
    assert rank.named() == [4, 5, 6]
    assert 2 in rank.named(now=2.0)


def test_windows_for_several_do_not_meet() -> None:
    """Each that waits gets a window of its own in the same request, and each size of one reserve."""
    rank = Rank()
    rank.relief.low_percent = 0
    for pages in ((4, 3), (5,)):
        rank.wait(*pages)
    named = rank.named()
    assert len(named) == len(set(named)) == 12


def test_what_is_pinned_leased_or_written_is_not_named() -> None:
    """S4: the rank names only what could go, as far as it knows."""
    rank = Rank()
    rank.lease(1)
    pins.pin(rank.segment, pins.slots_of(rank.segment, rank.holder.row)[0], rank.record_at[6],
             records.generation_of(rank.segment, rank.record_at[6]))  # fmt: skip
    rank.free(11)
    assert rank.keeper.reserve(rank.holder, PAGE, grant=3) is not None
    rank.wait(4)
    assert rank.named() in ([2, 3, 4, 5], [7, 8, 9, 10], [12, 13, 14, 15])


def test_a_reserve_that_leases_leave_no_room_for_is_hopeless() -> None:
    """Without a window until the deadline, whatever else goes, a reserve waits no longer; others do."""
    rank = Rank()
    rank.lease(3, 7, 11, 15)
    large, small = rank.wait(4), rank.wait(2)
    assert rank.named() == []
    assert rank.relief.is_urgent(1.0)
    assert len(rank.named()) == 2
    assert large.prospect == Prospect.NEVER
    assert rank.relief.take_hopeless() == [large]
    assert small.prospect == Prospect.NOW


def test_a_lease_that_ends_before_the_deadline_is_waited_for_and_others_pass() -> None:
    """Who waits for leases or pins to end keeps nobody waiting that there is room for."""
    rank = Rank()
    rank.lease(3, 7, 11, 15, until_ms=9_000)
    rank.free(0)
    large, small = rank.wait(4), rank.wait(1)
    rank.named()
    assert large.prospect == Prospect.LATER
    assert rank.granted() == [small]
    assert list(rank.relief.queue) == [large]
    assert len(rank.named(now=9.5)) in (3, 4)
    assert not large.lets_pass(9.5)


def test_writers_in_the_way_are_waited_for_in_order_and_not_for_ever() -> None:
    """What is being written will be published soon: who waits for it is passed by others only much later."""
    rank = Rank()
    rank.free(3, 7, 11, 15)
    for _ in range(4):
        assert rank.keeper.reserve(rank.holder, PAGE, grant=3) is not None
    rank.free(0)
    large, small = rank.wait(4), rank.wait(1)
    assert rank.named() == []
    assert large.prospect == Prospect.SOON
    assert rank.granted() == []
    rank.named(now=3.0)
    assert [waiting for waiting, _ in rank.relief.take_granted(3.0)] == [small]
    assert list(rank.relief.queue) == [large]


def test_a_full_pool_is_emptied_to_the_low_watermark_before_anybody_waits() -> None:
    """Above the high watermark the rank asks for the coldest bytes and records, without naming any."""
    rank = Rank()
    rank.relief.high_percent, rank.relief.low_percent = 90, 75
    demand = rank.relief.demand(1.0)
    assert (demand.bytes_wanted, demand.records_wanted, demand.named) == (4 * PAGE, 4, ())


def test_room_is_kept_for_the_largest_size_of_late() -> None:
    """Where the low watermark leaves as much, the next large object finds its window cleared, for a while."""
    rank = Rank()
    rank.relief.high_percent, rank.relief.low_percent = 90, 50
    rank.free(*range(0, PAGES, 3))
    rank.wait(4)
    rank.relief.queue.clear()
    assert len(rank.named(now=1.0)) == 2
    assert rank.named(now=2.5)
    assert rank.named(now=6.0) == []
