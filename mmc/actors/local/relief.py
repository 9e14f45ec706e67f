"""Making room: reserves that wait for space, and what the meta service is asked to evict for them.

1. A reserve that does not fit waits, first come first served, until its deadline; it gets all that it
   needs at once or nothing, so that no two of them can hold space and wait for each other.
2. The rank asks for eviction when it is fuller than its high watermark, or when something waits.  One
   such request is out at a time.
3. -3016 is the answer when the meta service finds nothing evictable, and nothing is on its way back.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from mmc.cache.records import RecordState
from mmc.cache.space import rounded
from mmc.segments.records import access_clocks
from mmc.wire.requests import Pressure
from mmc.wire.shapes import Raw

if TYPE_CHECKING:
    from mmc.actors.local.keeper import Keeper
    from mmc.actors.reception import Request
    from mmc.cache.reservations import Holder
    from mmc.wire.requests import Reserve

_CLOCK_MASK = 0xFFFFFFFF


class WaitingReserve:
    """A reserve request on its way to being granted."""

    __slots__ = ("holder", "is_void", "request", "reserve")

    def __init__(self, request: Request, holder: Holder, reserve: Reserve) -> None:
        """Not granted yet."""
        self.request = request
        self.holder = holder
        self.reserve = reserve
        self.is_void = False

    @property
    def needed(self) -> tuple[int, ...]:
        """The sizes that are waited for."""
        return self.reserve.sizes[: self.reserve.needed]

    @property
    def bytes(self) -> int:
        """The space that is waited for."""
        return sum(map(rounded, self.needed))


class Relief:
    """The queue of reserves, and the demand for eviction."""

    def __init__(self, keeper: Keeper, waiting_max: int) -> None:
        """``waiting_max`` reserves may wait."""
        self._keeper = keeper
        self._waiting_max = waiting_max
        self.queue: deque[WaitingReserve] = deque()
        self.high_percent = 100
        self.low_percent = 100

    def enqueue(self, waiting: WaitingReserve) -> bool:
        """Let a reserve wait; False when too many do."""
        if len(self.queue) >= self._waiting_max:
            return False
        self.queue.append(waiting)
        return True

    def take_void(self) -> list[WaitingReserve]:
        """Those whose client wants them no more, or is dead; they wait no longer."""
        void = [waiting for waiting in self.queue if waiting.is_void]
        if void:
            self.queue = deque(waiting for waiting in self.queue if not waiting.is_void)
        return void

    def take_due(self, now: float) -> list[WaitingReserve]:
        """Those whose deadline has passed; they wait no longer."""
        due = [waiting for waiting in self.queue if waiting.request.deadline <= now]
        if due:
            self.queue = deque(w for w in self.queue if w.request.deadline > now)
        return due

    def grant(self, waiting: WaitingReserve) -> list[int] | None:
        """All that is needed, and ahead of need what limits allow; None when it does not fit now."""
        keeper, holder, reserve = self._keeper, waiting.holder, waiting.reserve
        table = keeper.table
        if waiting.bytes > table.space.free_bytes or len(waiting.needed) > table.free_records:
            return None
        granted: list[int] = []
        for size in waiting.needed:
            record = keeper.reserve(holder, size, reserve.grant)
            if record is None:
                keeper.retire(granted)
                return None
            granted.append(record)
        for size in reserve.sizes[reserve.needed :]:
            length = rounded(size)
            if not keeper.reservations.may_hold_ahead(holder, length) or self._is_high(length):
                break
            record = keeper.reserve(holder, size, reserve.grant)
            if record is None:
                break
            granted.append(record)
        return granted

    def _is_high(self, more: int = 0) -> bool:
        """Whether the rank is above its high watermark in bytes or in records."""
        table = self._keeper.table
        used = table.used_bytes - table.bytes_in[RecordState.RETIRED] + more
        records = len(table) - table.free_records - table.records_in[RecordState.RETIRED]
        return (
            100 * used > self.high_percent * table.space.capacity
            or 100 * records > self.high_percent * len(table)
        )

    def demand(self) -> tuple[int, int] | None:
        """Bytes and records that should be evicted now; None when there is no need."""
        table = self._keeper.table
        bytes_wanted = records_wanted = 0
        if self._is_high():
            used = table.used_bytes - table.bytes_in[RecordState.RETIRED]
            records = len(table) - table.free_records - table.records_in[RecordState.RETIRED]
            bytes_wanted = used - self.low_percent * table.space.capacity // 100
            records_wanted = records - self.low_percent * len(table) // 100
        if self.queue:
            head = self.queue[0]
            coming_bytes, coming_records = self._keeper.coming_free()
            missing = head.bytes - table.space.free_bytes - coming_bytes
            fragmented = missing <= 0 and not coming_bytes
            bytes_wanted = max(bytes_wanted, head.bytes if fragmented else missing)
            short = len(head.needed) - table.free_records - coming_records
            records_wanted = max(records_wanted, short)
        if bytes_wanted <= 0 and records_wanted <= 0:
            return None
        return max(bytes_wanted, 0), max(records_wanted, 0)

    def pressure(self, demand: tuple[int, int]) -> Pressure:
        """The request for eviction, with the records read since the last one and when."""
        known = np.array(self._keeper.clocks, np.uint64)
        now = np.array(access_clocks(self._keeper.segment), np.uint64)
        touched = np.nonzero(known != now)[0]
        self._keeper.clocks = now.tolist()
        return Pressure(
            *demand,
            Raw(touched.astype("<u4").tobytes()),
            Raw((now[touched] & np.uint64(_CLOCK_MASK)).astype("<u4").tobytes()),
        )
