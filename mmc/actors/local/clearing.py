"""Which records are in the way of what must lie in one piece, and whether they can go.

Theory: :mod:`mmc.cache.windows`.  Here the rank says what is what: free, or on its way to be (cost 0);
evictable, as far as the rank knows; or a wall.  The meta service has the last word on each record, and
what it refused is a wall here for a while, so that another window is tried.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmc.cache import windows
from mmc.errors import Code
from mmc.segments.records import generation_of
from mmc.segments.survey import survey

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from mmc.actors.local.keeper import Keeper
    from mmc.segments.survey import Survey

    Flags = NDArray[np.bool_]
    Named = tuple[int, int]
    """A record and its generation."""

_REMEMBERED_S = 0.5
_NAMED_AT_ONCE = 512
_CLOCK_PER_S = 16
_CLOCK_MASK = 0xFFFFFFFF


class Prospect(IntEnum):
    """When an object can have an extent."""

    NOW = 0
    """When what is evictable has been evicted."""
    SOON = 1
    """When what clients are writing now is published or given back, or a refusal is forgotten."""
    LATER = 2
    """When pins go, or leases that end before the deadline."""
    NEVER = 3
    """Not before the deadline."""


class Hurdles(NamedTuple):
    """For each extent surveyed, what keeps its record from being evicted; arrays of one length."""

    writing: Flags
    pinned: Flags
    leased_until: NDArray[np.uint64]


class Ground:
    """The payload at one moment, and the windows chosen in it so far."""

    def __init__(self, keeper: Keeper, seen: Survey, now: float, leaving: Flags, refused: Flags,
                 taken: Iterable[tuple[int, int]]) -> None:  # fmt: skip
        """``leaving`` and ``refused`` are flags by record; extents ``taken`` are promised to others."""
        self._capacity = keeper.table.space.capacity
        self._now_ms = int(now * 1000)
        pinned = _flags(len(keeper.table), keeper.pinned_now())[seen.records]
        coming = _flags(len(keeper.table), keeper.awaiting)[seen.records]
        going = (coming | (leaving[seen.records] & seen.is_stored)) & ~pinned
        ages = int(now * _CLOCK_PER_S) - (seen.clocks & np.uint64(_CLOCK_MASK)).astype(np.int64)
        self._seen = seen
        self._going = going
        self._costs = np.where(going, 0, windows.worth(seen.capacities, ages))
        self._turns = keeper.turns[seen.records]
        self._refused = refused[seen.records]
        writing = seen.is_held | self._refused
        self._hurdles = Hurdles(writing, pinned, np.where(seen.is_stored, seen.leased_until, np.uint64(0)))
        self._taken = list(taken)
        self._tiles = self._laid(Prospect.NOW, 0)

    def clear(self, size: int) -> list[int] | None:
        """Choose a window for ``size`` bytes; returns the records to evict, None when there is none."""
        window = windows.choose_window(self._tiles, size)
        if window is None:
            return None
        evicted = windows.to_evict(self._tiles, window)
        self._tiles = windows.take(self._tiles, window)
        return evicted

    def prospect(self, size: int, deadline_ms: int) -> Prospect:
        """When there can be a window, given that there is none now."""
        for prospect in (Prospect.SOON, Prospect.LATER):
            if windows.choose_window(self._laid(prospect, deadline_ms), size) is not None:
                return prospect
        return Prospect.NEVER

    def _laid(self, prospect: Prospect, deadline_ms: int) -> windows.Tiles:
        """The tiles, with walls where bytes cannot be free as soon as that.

        What is promised to others keeps from others what they could have now, and nothing else.
        """
        seen, hurdles = self._seen, self._hurdles
        if prospect == Prospect.LATER:
            walls = hurdles.leased_until > deadline_ms
        else:
            lasting = seen.is_stored | self._going
            lasting = lasting | hurdles.writing if prospect == Prospect.SOON else lasting & ~hurdles.writing
            walls = ~lasting | (hurdles.leased_until > self._now_ms) | hurdles.pinned
        taken = np.array(self._taken if prospect == Prospect.NOW else (), np.int64).reshape(-1, 2)
        none = np.zeros(len(taken), np.int64)
        return windows.lay_tiles(
            self._capacity,
            np.append(seen.offsets, taken[:, 0]),
            np.append(seen.capacities, taken[:, 1]),
            np.append(seen.records, none + windows.FREE),
            np.append(self._costs, none),
            np.append(self._turns, none),
            np.append(walls, none == 0),
        )


class Clearing:
    """What became of the records named lately."""

    def __init__(self, keeper: Keeper) -> None:
        """Nothing has been named."""
        self._keeper = keeper
        self._leaving: dict[int, tuple[int, float]] = {}
        self._refused: dict[int, tuple[int, float]] = {}
        self._unnamed: deque[Named] = deque()
        self._order = np.arange(len(keeper.table))

    def name(self, records: Iterable[int]) -> None:
        """These are in the way: they are to be named, instead of what was before and has not been yet."""
        self._unnamed = deque((record, generation_of(self._keeper.segment, record)) for record in records)

    @property
    def has_unnamed(self) -> bool:
        """Whether not all that is in the way has been named."""
        return bool(self._unnamed)

    def next_named(self) -> list[Named]:
        """The next records to be named, no more than are carried out in little time."""
        segment = self._keeper.segment
        named: list[Named] = []
        while self._unnamed and len(named) < _NAMED_AT_ONCE:
            record, generation = self._unnamed.popleft()
            if generation_of(segment, record) == generation:
                named.append((record, generation))
        return named

    def heard(self, named: Sequence[Named], codes: Sequence[int], now: float) -> None:
        """The meta service's word on each named record; where it refused, another window is to be found."""
        until = now + _REMEMBERED_S
        for (record, generation), code in zip(named, codes, strict=False):
            (self._leaving if code == Code.OK else self._refused)[record] = (generation, until)
        if any(codes):
            self._unnamed.clear()

    def ground(self, now: float, taken: Iterable[tuple[int, int]]) -> Ground:
        """The payload now; extents ``taken`` are promised to others."""
        self.forget(now)
        count = len(self._keeper.table)
        seen = survey(self._keeper.segment, self._order)
        self._note_order(seen)
        leaving, refused = _flags(count, self._leaving), _flags(count, self._refused)
        return Ground(self._keeper, seen, now, leaving, refused, taken)

    def _note_order(self, seen: Survey) -> None:
        """Look at the records by offset the next time: what is nearly sorted is sorted fast."""
        records = seen.records[np.argsort(seen.offsets, kind="stable")]
        is_free = np.ones(len(self._order), np.bool_)
        is_free[records] = False
        self._order = np.append(records, np.nonzero(is_free)[0])

    def leaving(self) -> tuple[int, int]:
        """Bytes and records that the meta service has said it evicts."""
        table = self._keeper.table
        return sum(table[record].capacity for record in self._leaving), len(self._leaving)

    def forget(self, now: float) -> None:
        """Drop what has gone, and what has lasted too long."""
        segment = self._keeper.segment
        for remembered in (self._leaving, self._refused):
            for record, (generation, until) in list(remembered.items()):
                if until <= now or generation_of(segment, record) != generation:
                    del remembered[record]


def _flags(count: int, records: Iterable[int]) -> Flags:
    """A flag for each record, true for those given."""
    flags = np.zeros(count, np.bool_)
    flags[[record for record in records if record < count]] = True
    return flags
