"""The window to clear for an object: whole, of what can go alone, and none is cheaper."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from mmc.cache.space import alignment_of, rounded
from mmc.cache.windows import FREE, Tiles, choose_window, lay_tiles, take, to_evict, worth
from tests.effort import times

UNIT = 64


@dataclass(frozen=True)
class Extent:
    """What is not free: so many bytes from an offset, a wall or worth something."""

    record: int
    offset: int
    length: int
    cost: int
    turn: int
    is_wall: bool


@dataclass(frozen=True)
class Payload:
    """A small payload."""

    capacity: int
    extents: tuple[Extent, ...]

    def tiles(self) -> Tiles:
        """The tiles of the payload, laid from its extents in reverse order."""
        rows = self.extents[::-1]
        return lay_tiles(
            self.capacity,
            np.array([one.offset for one in rows], np.int64),
            np.array([one.length for one in rows], np.int64),
            np.array([one.record for one in rows], np.int64),
            np.array([one.cost for one in rows], np.int64),
            np.array([one.turn for one in rows], np.int64),
            np.array([one.is_wall for one in rows], np.bool_),
        )

    def met(self, start: int, end: int) -> list[Extent]:
        """The extents that a range meets."""
        return [one for one in self.extents if one.offset < end and start < one.offset + one.length]

    def price(self, start: int, end: int) -> tuple[int, int, int] | None:
        """What clearing a range costs, the records with a cost and their turns; None with a wall in it."""
        met = self.met(start, end)
        if any(one.is_wall for one in met):
            return None
        going = [one for one in met if one.cost]
        return sum(one.cost for one in going), len(going), sum(one.turn for one in going)

    def cheapest(self, size: int) -> tuple[int, int, int] | None:
        """The lowest price of any aligned range, by trying them all."""
        step = alignment_of(size)
        last = self.capacity - rounded(size)
        prices = [self.price(start, start + rounded(size)) for start in range(0, last + 1, step)]
        return min((price for price in prices if price is not None), default=None)


@st.composite
def payloads(draw: DrawFn) -> Payload:
    """Payloads of up to 16 pages, extents of 64 bytes to four pages between gaps of any size."""
    at = 0
    extents = []
    lengths = st.one_of(st.integers(1, 8), st.sampled_from([64, 128, 192, 256]))
    rows = draw(st.lists(st.tuples(st.one_of(st.just(0), lengths), lengths), max_size=12))
    for record, (gap, units) in enumerate(rows):
        offset = at + gap * UNIT
        cost = draw(st.one_of(st.just(0), st.integers(1, 5)))
        turn = draw(st.integers(0, 9))
        extents.append(Extent(record, offset, units * UNIT, cost, turn, draw(st.integers(0, 5)) == 0))
        at = offset + units * UNIT
    return Payload(at + draw(st.integers(0, 70)) * UNIT, tuple(extents))


sizes = st.one_of(st.integers(1, 600), st.sampled_from([4095, 4096, 5000, 8192, 12288, 20000]))


@times(4)
@given(payloads(), sizes)
def test_a_window_is_whole_and_holds_no_wall(payload: Payload, size: int) -> None:
    """It is long enough, aligned, within the payload, and meets only what is free or can be evicted."""
    tiles = payload.tiles()
    window = choose_window(tiles, size)
    if window is None:
        return
    assert window.end - window.start == rounded(size)
    assert window.start % alignment_of(size) == 0
    assert window.start >= 0
    assert window.end <= payload.capacity
    met = payload.met(window.start, window.end)
    assert not any(one.is_wall for one in met)
    assert to_evict(tiles, window) == [one.record for one in met if one.cost > 0]


@times(4)
@given(payloads(), sizes)
def test_no_window_is_cheaper(payload: Payload, size: int) -> None:
    """Of all aligned ranges none costs less, nor as little with fewer records, or as few stored earlier."""
    window = choose_window(payload.tiles(), size)
    found = None if window is None else payload.price(window.start, window.end)
    assert found == payload.cheapest(size)


@given(payloads())
def test_tiles_cover_the_payload(payload: Payload) -> None:
    """Tiles follow one another from the first byte to the last, and each record has its own."""
    tiles = payload.tiles()
    edges = [(0, 0), *zip(tiles.starts.tolist(), tiles.ends.tolist(), strict=True)]
    assert all(end == start < stop for (_, end), (start, stop) in pairwise(edges))
    assert edges[-1][1] == payload.capacity
    assert [r for r in tiles.records.tolist() if r != FREE] == [one.record for one in payload.extents]


@given(payloads(), st.lists(sizes, min_size=2, max_size=4))
def test_windows_taken_one_after_the_other_do_not_meet(payload: Payload, wanted: list[int]) -> None:
    """What was given to one object is a wall for the next, and no record is evicted for both."""
    tiles = payload.tiles()
    chosen: list[tuple[int, int]] = []
    evicted: list[int] = []
    for size in wanted:
        window = choose_window(tiles, size)
        if window is None:
            continue
        chosen.append((window.start, window.end))
        evicted += to_evict(tiles, window)
        tiles = take(tiles, window)
        assert tiles.ends[:-1].tolist() == tiles.starts[1:].tolist()
        assert (tiles.starts[0], tiles.ends[-1]) == (0, payload.capacity)
    assert all(end <= start for (_, end), (start, _) in pairwise(sorted(chosen)))
    assert len(evicted) == len(set(evicted))


@given(st.integers(1, 1 << 30), st.integers(-5, 1 << 30), st.integers(0, 1 << 20))
def test_the_colder_and_the_smaller_is_worth_less(units: int, age: int, more: int) -> None:
    """Worth grows with the size and falls with the age, and is never nothing."""
    lengths = np.array([units, units, units + more], np.int64) * UNIT
    worths = worth(lengths, np.array([age, age + more, age], np.int64))
    assert worths[1] <= worths[0] <= worths[2]
    assert worths.min() > 0
