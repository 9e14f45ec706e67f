"""Requests that are answered when the ranks have answered: one code per key, by the deadline."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from mmc.actors.contract import Audit, Note
from mmc.errors import Code
from mmc.wire.requests import Remove

if TYPE_CHECKING:
    from mmc.actors.contract import Effect
    from mmc.actors.reception import Request


class Batch:
    """The codes of one request, as they come in."""

    __slots__ = ("_complete", "codes", "missing", "request")

    def __init__(self, request: Request, count: int, complete: list[Batch]) -> None:
        """Nothing is known yet; once all is, the batch puts itself on the list ``complete``."""
        self.request = request
        self.codes: list[Code | None] = [None] * count
        self.missing = count
        self._complete = complete
        if not count:
            complete.append(self)

    def settle(self, index: int, code: Code) -> None:
        """The code of one key; only the first counts."""
        if self.codes[index] is None:
            self.codes[index] = code
            self.missing -= 1
            if not self.missing:
                self._complete.append(self)


class Batches:
    """Open batches, in the order of their deadlines."""

    def __init__(self) -> None:
        """None is open."""
        self._queue: list[tuple[float, int, Batch]] = []
        self._count = 0

    def __len__(self) -> int:
        """How many are open, or were closed and not yet passed by their deadline."""
        return len(self._queue)

    def open(self, batch: Batch) -> None:
        """See to it that the batch ends by its request's deadline."""
        self._count += 1
        heapq.heappush(self._queue, (batch.request.deadline, self._count, batch))

    def expire(self, now: float) -> None:
        """End the batches that are due, their missing codes -3004: undecided."""
        while self._queue and (self._queue[0][0] <= now or not self._queue[0][2].missing):
            _, _, batch = heapq.heappop(self._queue)
            for index in range(len(batch.codes)):
                batch.settle(index, Code.TIMED_OUT)

    def next_deadline(self) -> float | None:
        """When the next one ends."""
        return self._queue[0][0] if self._queue else None


def removals(batch: Batch) -> list[Effect]:
    """What the audit log keeps of a complete request: the keys that it removed, and for which client.

    It goes before the answer, so that what was answered 0 is in the audit log.
    """
    request = batch.request
    if not isinstance(request.message, Remove) or request.session is None:
        return []
    keys = request.message.keys
    removed = tuple(key for key, code in zip(keys, batch.codes, strict=True) if code == Code.OK)
    audit = Audit((("client", f"{request.session.client:016x}"),), removed)
    return [Note("removed", "", audit)] if removed else []
