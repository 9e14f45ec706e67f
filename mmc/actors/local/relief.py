"""Making room: reserves that wait for space, and what the meta service is asked to evict for them.

1. A reserve that does not fit waits, first come first served, until its deadline; it gets all that it
   needs at once or nothing, so that no two of them can hold space and wait for each other.
2. For what waits the rank names the records in its way: for each size that no free extent holds, those of the
   cheapest window (:mod:`mmc.actors.local.clearing`).  What is on its way to be free counts as free, so that
   nothing is asked for twice.
3. Above its high watermark the rank asks for the coldest records, down to the low one, before anybody waits;
   and above the low one for a window of the largest size that was wanted lately.
4. Only who cannot have a window before a pin goes or a lease ends is passed by others, and who waited long
   for writers to finish.  -3016 is the answer when no window can be there before the deadline, or when
   records are lacking, nothing evictable is left, and nothing is on its way back.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmc.actors.local.clearing import Clearing, Ground, Prospect
from mmc.cache.space import rounded
from mmc.segments.records import access_clocks
from mmc.wire.requests import Pressure
from mmc.wire.shapes import Raw

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mmc.actors.local.keeper import Keeper
    from mmc.actors.reception import Request
    from mmc.cache.reservations import Holder
    from mmc.wire.requests import Reserve

_MARGIN_SHARE = 4
_CLOCK_MASK = 0xFFFFFFFF
_WINDOWS_AT_ONCE = 16
_PIECE_BYTES = 1 << 20
_PATIENCE_S = 1.5
_LATELY_S = 2.0
_AGAIN_S = 0.02
_PASSED_S = 0.2
_RECORD_S = 2e-6


class WaitingReserve:
    """A reserve request on its way to being granted."""

    __slots__ = ("holder", "is_considered", "is_void", "prospect", "request", "reserve", "writers_since")

    def __init__(self, request: Request, holder: Holder, reserve: Reserve) -> None:
        """Not granted yet.

        ``is_considered``: room is being made for it; ``writers_since``: when it was first found to wait for
        writers to finish.
        """
        self.request = request
        self.holder = holder
        self.reserve = reserve
        self.is_void = False
        self.is_considered = False
        self.prospect = Prospect.NOW
        self.writers_since: float | None = None

    @property
    def needed(self) -> tuple[int, ...]:
        """The sizes that are waited for."""
        return self.reserve.sizes[: self.reserve.needed]

    @property
    def is_blocking(self) -> bool:
        """Whether its client can send nothing more before it is answered."""
        session = self.request.session
        return session is not None and session.window.is_used_up_by(self.request.sequence)

    @property
    def bytes(self) -> int:
        """The space that is waited for."""
        return sum(map(rounded, self.needed))

    def expect(self, prospect: Prospect, now: float) -> None:
        """What was found of when there can be room."""
        self.prospect = prospect
        self.is_considered = True
        if prospect != Prospect.SOON:
            self.writers_since = None
        elif self.writers_since is None:
            self.writers_since = now

    def lets_pass(self, now: float) -> bool:
        """Whether others need not wait until this one is served."""
        waits_long = self.writers_since is not None and now - self.writers_since > _PATIENCE_S
        return self.prospect >= Prospect.LATER or waits_long


class Demand(NamedTuple):
    """What should be evicted now: bytes, records, and of these the ones (record, generation) named.

    ``short`` is the first that lacks records, if any does.  ``continues``: the records are the next part of
    what was asked for before, and nothing else was looked at.
    """

    bytes_wanted: int
    records_wanted: int
    named: tuple[tuple[int, int], ...]
    short: WaitingReserve | None
    continues: bool = False

    def __bool__(self) -> bool:
        """Whether anything is."""
        return self.bytes_wanted > 0 or self.records_wanted > 0 or bool(self.named)


class Relief:
    """The queue of reserves, and the demand for eviction."""

    def __init__(self, keeper: Keeper, waiting_max: int) -> None:
        """``waiting_max`` reserves may wait."""
        self._keeper = keeper
        self._records = len(keeper.table)
        self._waiting_max = waiting_max
        self.queue: deque[WaitingReserve] = deque()
        self.clearing = Clearing(keeper)
        self.high_percent = 100
        self.low_percent = 100
        self._largest = [0, 0]
        self._largest_until = 0.0

    @property
    def filled_percent(self) -> int:
        """Up to where copies may fill a rank: nearer to the high watermark than to the low one."""
        return self.high_percent - (self.high_percent - self.low_percent) // _MARGIN_SHARE

    def enqueue(self, waiting: WaitingReserve) -> bool:
        """Let a reserve wait; False when too many do."""
        if len(self.queue) >= self._waiting_max:
            return False
        self.queue.append(waiting)
        self._largest[0] = max(self._largest[0], *waiting.needed, 0)
        return True

    def take_void(self) -> list[WaitingReserve]:
        """Those whose client wants them no more, or is dead; they wait no longer."""
        return self._take(lambda waiting: waiting.is_void)

    def take_due(self, now: float) -> list[WaitingReserve]:
        """Those whose deadline has passed; they wait no longer."""
        return self._take(lambda waiting: waiting.request.deadline <= now)

    def take_hopeless(self) -> list[WaitingReserve]:
        """Those for which there is no room before their deadline; they wait no longer."""
        return self._take(lambda waiting: waiting.prospect == Prospect.NEVER)

    def take_blocking(self) -> list[WaitingReserve]:
        """Those before whose answer their client can return nothing; they wait no longer."""
        return self._take(lambda waiting: waiting.is_blocking)

    def _take(self, is_over: Callable[[WaitingReserve], bool]) -> list[WaitingReserve]:
        taken = [waiting for waiting in self.queue if is_over(waiting)]
        if taken:
            self.queue = deque(waiting for waiting in self.queue if not is_over(waiting))
        return taken

    def take_granted(self, now: float) -> Iterator[tuple[WaitingReserve, list[int]]]:
        """Those that fit now, in order, with their records; they wait no longer."""
        passed: list[WaitingReserve] = []
        while self.queue:
            waiting = self.queue.popleft()
            granted = self._grant(waiting)
            if granted is not None:
                yield waiting, granted
                continue
            passed.append(waiting)
            if not waiting.lets_pass(now):
                break
        self.queue.extendleft(reversed(passed))

    def _grant(self, waiting: WaitingReserve) -> list[int] | None:
        """All that is needed, and ahead of need what limits allow; None when it does not fit now."""
        keeper, holder, reserve = self._keeper, waiting.holder, waiting.reserve
        table, needed = keeper.table, waiting.needed
        if len(needed) > table.free_records or not table.space.fits(needed):
            return None
        granted = [0] * len(needed)
        for position in sorted(range(len(needed)), key=needed.__getitem__, reverse=True):
            record = keeper.reserve(holder, needed[position], reserve.grant)
            assert record is not None, "what fits can be had"
            granted[position] = record
        room, record_room = self._room()
        for size in islice(reserve.sizes, reserve.needed, reserve.needed + max(record_room, 0)):
            length = rounded(size)
            room -= length
            if room < 0 or not keeper.reservations.may_hold_ahead(holder, length):
                break
            record = keeper.reserve(holder, size, reserve.grant)
            if record is None:
                break
            granted.append(record)
        return granted

    # The demand for eviction

    def is_urgent(self, now: float) -> bool:
        """Whether the first that others wait behind has not been considered."""
        first = next((waiting for waiting in self.queue if not waiting.lets_pass(now)), None)
        return first is not None and not first.is_considered

    def pause(self, now: float) -> float:
        """Seconds until :meth:`demand` is to be asked again; looking at every record takes its time."""
        if not self.queue:
            return _AGAIN_S
        shortest = _PASSED_S if all(waiting.lets_pass(now) for waiting in self.queue) else _AGAIN_S
        return shortest + _RECORD_S * len(self._keeper.table)

    def is_short(self, now: float) -> bool:
        """Whether anything is to be evicted, perhaps: to be asked before :meth:`demand`, which costs more."""
        return bool(self.queue) or self._is_high() or self._lately(now) > 0

    def demand(self, now: float) -> Demand:
        """What should be evicted now; tells those that wait what their prospects are.

        The records of a large window are named a part at a time, so that the meta service lets go of one part
        while this rank does of the one before.
        """
        if self.clearing.has_unnamed:
            return Demand(0, 0, tuple(self.clearing.next_named()), None, continues=True)
        table = self._keeper.table
        self._keeper.adopt_all()
        self._keeper.sweep()
        self.clearing.forget(now)
        leaving_bytes, leaving_records = self.clearing.leaving()
        bytes_wanted = records_wanted = 0
        if self._is_high():
            bytes_wanted = table.held_bytes - leaving_bytes - self.low_percent * table.space.capacity // 100
            records_wanted = table.held_records - leaving_records - self.low_percent * len(table) // 100
        considered, needed, named = self._windows(now)
        short = None
        missing = needed - table.free_records
        if missing > 0:
            _, coming = self._keeper.coming_free()
            records_wanted = max(records_wanted, missing - leaving_records - coming)
            short = next((one for one in considered if len(one.needed) > table.free_records), None)
        self.clearing.name(named)
        named_now = tuple(self.clearing.next_named())
        return Demand(max(bytes_wanted, 0), max(records_wanted, 0), named_now, short)

    def _windows(self, now: float) -> tuple[list[WaitingReserve], int, list[int]]:
        """Those of the queue that room is made for, the records that they need, and those in their way."""
        space = self._keeper.table.space
        budget = space.capacity * (100 - self.low_percent) // 100
        considered: list[WaitingReserve] = []
        lacking: list[list[int]] = []
        taken: list[tuple[int, int]] = []
        needed = 0
        with space.tried() as attempt:
            for waiting in self._next_in_queue(now, budget):
                considered.append(waiting)
                needed += len(waiting.needed)
                lacking.append([])
                for size in sorted(waiting.needed, reverse=True):
                    extent = attempt(size)
                    if extent is None:
                        lacking[-1].append(size)
                    else:
                        taken.append(extent)
            ahead = self._lately(now)
        if not ahead and not any(lacking):
            for waiting in considered:
                waiting.expect(Prospect.NOW, now)
            return considered, needed, []
        ground = self.clearing.ground(now, taken)
        named: list[int] = []
        for waiting, sizes in zip(considered, lacking, strict=True):
            waiting.expect(_clear(ground, sizes, waiting.request.deadline, named), now)
            if waiting.prospect == Prospect.SOON and not waiting.lets_pass(now):
                return considered, needed, named
        if ahead:
            named += ground.clear(ahead) or []
        return considered, needed, named

    def _next_in_queue(self, now: float, budget: int) -> Iterator[WaitingReserve]:
        """Those to be considered now, of so many bytes: the first, and others; few that others may pass."""
        passed = awaited = 0
        for waiting in self.queue:
            if waiting.lets_pass(now):
                passed += 1
                if passed <= _WINDOWS_AT_ONCE:
                    yield waiting
                continue
            budget -= waiting.bytes
            if awaited and (budget < 0 or awaited == _WINDOWS_AT_ONCE):
                break
            awaited += 1
            yield waiting

    def _lately(self, now: float) -> int:
        """The largest size wanted lately, if the rank is above its low watermark and no free extent holds it.

        A size that the low watermark would not leave room for is not made room for ahead of need.
        """
        if now >= self._largest_until:
            self._largest = [0, self._largest[0]]
            self._largest_until = now + _LATELY_S
        space = self._keeper.table.space
        if 100 * self._keeper.table.held_bytes <= self.low_percent * space.capacity:
            return 0
        size = max(self._largest)
        is_bearable = 100 * size <= (100 - self.low_percent) * space.capacity
        return size if is_bearable and not space.fits((size,)) else 0

    def _room(self) -> tuple[int, int]:
        """Bytes and records that can be used below the high watermark; negative above it."""
        table = self._keeper.table
        most, most_records = self.high_percent * table.space.capacity, self.high_percent * self._records
        return most // 100 - table.held_bytes, most_records // 100 - table.held_records

    def _is_high(self) -> bool:
        """Whether the rank is above its high watermark in bytes or in records."""
        return min(self._room()) < 0

    def pressure(self, demand: Demand) -> Pressure:
        """The request for eviction, with the records read since the last one and when."""
        known = now = self._keeper.clocks
        if not demand.continues:
            now = self._keeper.clocks = access_clocks(self._keeper.segment)
        touched = np.nonzero(known != now)[0]
        return Pressure(
            demand.bytes_wanted,
            demand.records_wanted,
            tuple(record for record, _ in demand.named),
            Raw(touched.astype("<u4").tobytes()),
            Raw((now[touched] & np.uint64(_CLOCK_MASK)).astype("<u4").tobytes()),
        )


def _clear(ground: Ground, sizes: Sequence[int], deadline: float, named: list[int]) -> Prospect:
    """Choose windows for sizes, the largest first; returns when the last of them can be had."""
    for number, piece in enumerate(_pieces(sizes)):
        if number == _WINDOWS_AT_ONCE:
            break
        evicted = ground.clear(sum(map(rounded, piece)))
        if evicted is None and len(piece) > 1:
            evicted = ground.clear(piece[0])
        if evicted is None:
            return ground.prospect(piece[0], int(deadline * 1000))
        named += evicted
    return Prospect.NOW


def _pieces(sizes: Sequence[int]) -> Iterator[list[int]]:
    """Sizes, the largest first, in groups that together are no larger than one window for small objects."""
    piece: list[int] = []
    length = 0
    for size in sizes:
        length += rounded(size)
        if piece and length > _PIECE_BYTES:
            yield piece
            piece, length = [], rounded(size)
        piece.append(size)
    if piece:
        yield piece
