"""Windows: the cheapest contiguous range of a payload to clear for an object that no free extent holds.

A payload is a row of *tiles* from end to end, each free or one record's bytes.  A tile is a *wall* when
its bytes cannot come free (written by somebody, pinned, leased), else clearing it has a *cost*: 0 for
what is free or on its way to be, more for an object that would be lost.

1. A window holds no wall.  Of all windows of the length the one with the smallest sum of costs is chosen,
   of those the one with the fewest records to evict, of those the one whose records were stored first: a
   clock has ticks of 1/16 s, in which a batch fills a small rank more than once.
2. What an object is worth is the chance that it is read again, times the bytes that then need not be made
   again: its size over its age since the last access.  The age alone of the warmest object in a window, as
   strict LRU would have it, says nothing when windows span thousands of small objects: some object
   in each was read a moment ago.  The sum weighs them all, and is the same for one object of 1 MiB and for
   256 of 4 KiB that are as old.
3. A window may begin at the first aligned byte of a tile: moved down to there from anywhere in the tile it
   meets no other tile than before.  So there is one candidate for each tile, and prefix sums judge all
   of them in O(n log n).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmc.cache.space import SMALL_ALIGNMENT, alignment_of, rounded

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Flags = NDArray[np.bool_]

FREE = -1
"""In the place of a record's number: a tile without one."""

_OLDEST = (1 << 24) - 1


class Tiles(NamedTuple):
    """A payload from end to end, by offset: six arrays of one length, int64 but for ``walls``, bool.

    ``turns``: the place of each record in the order in which they were stored, 0 without one.
    """

    starts: Integers
    ends: Integers
    records: Integers
    costs: Integers
    turns: Integers
    walls: Flags


class Window(NamedTuple):
    """Bytes from ``start`` to ``end``; ``first`` to ``last`` are the numbers of the tiles that it meets."""

    start: int
    end: int
    first: int
    last: int


def worth(lengths: Integers, ages: Integers) -> Integers:
    """What objects of these sizes in bytes, last read so many ticks ago, cost to lose; above 0."""
    return lengths // SMALL_ALIGNMENT * ((_OLDEST + 1) // (np.clip(ages, 0, _OLDEST) + 1))


def lay_tiles(
    capacity: int,
    offsets: Integers,
    lengths: Integers,
    records: Integers,
    costs: Integers,
    turns: Integers,
    walls: Flags,
) -> Tiles:
    """The tiles of a payload of ``capacity`` bytes in which these extents, in any order, are not free."""
    order = np.argsort(offsets, kind="stable")
    starts = offsets[order]
    ends = starts + lengths[order]
    gap_starts, gap_ends = np.append(0, ends), np.append(starts, capacity)
    none = np.zeros(len(gap_starts), np.int64)
    all_starts, all_ends = _alternate(gap_starts, starts), _alternate(gap_ends, ends)
    there = all_starts < all_ends
    return Tiles(
        all_starts[there],
        all_ends[there],
        _alternate(none + FREE, records[order])[there],
        _alternate(none, costs[order])[there],
        _alternate(none, turns[order])[there],
        _alternate(none, walls[order])[there] > 0,
    )


def _alternate(gaps: Integers, extents: Integers | Flags) -> Integers:
    """A column of a gap, an extent, a gap and so on, from that of the gaps and that of the extents."""
    column = np.empty(len(gaps) + len(extents), np.int64)
    column[0::2] = gaps
    column[1::2] = extents
    return column


def choose_window(tiles: Tiles, size: int) -> Window | None:
    """The cheapest window for an object of ``size`` bytes; None when walls leave none."""
    length, alignment = rounded(size), alignment_of(size)
    if not len(tiles.starts):
        return None
    begins = tiles.starts + -tiles.starts % alignment
    finishes = begins + length
    last = np.searchsorted(tiles.ends, finishes)
    behind = np.minimum(last, len(tiles.ends) - 1) + 1
    walls, costs = _sums(tiles.walls), _sums(tiles.costs)
    records = _sums(tiles.costs > 0)
    numbers = np.arange(len(begins))
    possible = (begins < tiles.ends) & (finishes <= tiles.ends[-1]) & (walls[behind] == walls[numbers])
    candidates = np.nonzero(possible)[0]
    for sums in (costs, records, _sums(tiles.turns * (tiles.costs > 0))):
        if not len(candidates):
            return None
        values = sums[behind[candidates]] - sums[candidates]
        candidates = candidates[values == values.min()]
    first = int(candidates[0])
    return Window(int(begins[first]), int(finishes[first]), first, int(last[first]))


def _sums(values: Integers | Flags) -> Integers:
    """Sums of the values before each position, and of all."""
    sums = np.zeros(len(values) + 1, np.int64)
    np.cumsum(values, out=sums[1:])
    return sums


def to_evict(tiles: Tiles, window: Window) -> list[int]:
    """The records to be evicted for a window, by offset."""
    part = slice(window.first, window.last + 1)
    records: list[int] = tiles.records[part][tiles.costs[part] > 0].tolist()
    return records


def take(tiles: Tiles, window: Window) -> Tiles:
    """The tiles once a window is cleared and given away: a wall, and free what it met beyond its ends."""
    before = (int(tiles.starts[window.first]), window.start)
    behind = (window.end, int(tiles.ends[window.last]))
    middle = [
        (start, end, is_wall)
        for start, end, is_wall in ((*before, False), (window.start, window.end, True), (*behind, False))
        if start < end
    ]
    starts, ends, walls = zip(*middle, strict=True)
    replaced = Tiles(
        np.array(starts, np.int64),
        np.array(ends, np.int64),
        np.full(len(middle), FREE, np.int64),
        np.zeros(len(middle), np.int64),
        np.zeros(len(middle), np.int64),
        np.array(walls, np.bool_),
    )
    columns = zip(tiles, replaced, strict=True)
    return Tiles(
        *(np.concatenate((old[: window.first], new, old[window.last + 1 :])) for old, new in columns)
    )
