"""A client's connections to data servers: kept, at most so many to each, used by one errand at a time.

What is read waits for a free one.  A write keeps its connection from its first step to its last, and may need
others beside it: it gets one beyond the limit sooner than it waits, or two calls could wait for one another.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mmc.errors import Code, error_for
from mmc.segments.lockfile import close_at_fork
from mmc.transfer.addresses import resolve
from mmc.transfer.stream import Stream, connecting

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmc.limits import DataLimits

_IDLE_SHARE = 2


class _Lane:
    """The connections to one data server."""

    __slots__ = ("distance", "idle", "used")

    def __init__(self) -> None:
        self.distance = 0
        self.idle: list[tuple[Stream, float]] = []
        self.used = 0


class Connections:
    """By URL; usable from any thread.  A forked child closes its copies, and must not use them."""

    def __init__(self, limits: DataLimits, now: Callable[[], float]) -> None:
        """None is open."""
        self._limits = limits
        self._now = now
        self._lanes: dict[str, _Lane] = {}
        self._freed = threading.Condition()
        self._used: dict[Stream, str] = {}
        self._is_closed = False
        close_at_fork(self)

    def take(self, url: str, *, fresh: bool = False, beyond: bool = False) -> tuple[Stream, bool] | None:
        """A connection and whether it is a new one; None when all that there may be are in use.

        ``fresh``: what was kept is not to be trusted, and is closed.  ``beyond``: the limit does not hold.

        Raises:
            OSError: it cannot even begin to connect.
            CacheError: -3019 all are closed; -3000 that is no URL.
        """
        with self._freed:
            if self._is_closed:
                raise error_for(Code.CLIENT_CLOSED, "data connections")
            lane = self._lanes.setdefault(url, _Lane())
            since = self._now() - self._limits.idle_ms / 1000 / _IDLE_SHARE
            while lane.idle:
                stream, at = lane.idle.pop()
                if not fresh and at >= since and stream.is_idle():
                    lane.used += 1
                    self._used[stream] = url
                    return stream, False
                stream.close()
            if lane.used >= self._limits.connections_per_rank and not beyond:
                return None
            lane.used += 1
        try:
            stream = self._connect(url)
        except BaseException:  # boundary: clears away and raises again
            self._let_go(url)
            raise
        with self._freed:
            self._used[stream] = url
        if self.is_closed:
            stream.abort()
        return stream, True

    def _connect(self, url: str) -> Stream:
        return connecting(*resolve(url), self._limits.step_bytes)

    @property
    def is_closed(self) -> bool:
        """Whether no connection is given out any more."""
        return self._is_closed

    def give_back(self, stream: Stream, *, keep: bool) -> None:
        """Its user is done; ``keep``: nothing is on its way in either direction."""
        with self._freed:
            lane = self._lanes[self._used.pop(stream)]
            has_room = lane.used + len(lane.idle) <= self._limits.connections_per_rank
            if keep:
                lane.distance = stream.distance()
            if keep and has_room and not self._is_closed:
                lane.idle.append((stream, self._now()))
            else:
                stream.close()
            lane.used -= 1
            self._freed.notify_all()

    def distance(self, url: str) -> int:
        """How far away the server was when a connection to it was last used, as a stream measures it."""
        lane = self._lanes.get(url)
        return lane.distance if lane is not None else 0

    def _let_go(self, url: str) -> None:
        with self._freed:
            self._lanes[url].used -= 1
            self._freed.notify_all()

    def wait(self, seconds: float) -> None:
        """Wait until one may be free."""
        with self._freed:
            if not self._is_closed:
                self._freed.wait(seconds)

    def close(self) -> None:
        """Close what is idle, and end what is in use under its user."""
        with self._freed:
            self._is_closed = True
            for lane in self._lanes.values():
                while lane.idle:
                    lane.idle.pop()[0].close()
            for stream in self._used:
                stream.abort()
            self._freed.notify_all()

    def close_in_child(self) -> None:
        """Close this process's copies; their owner goes on using its own."""
        for lane in list(self._lanes.values()):
            for stream, _ in list(lane.idle):
                stream.close()
        for stream in list(self._used):
            stream.close()
