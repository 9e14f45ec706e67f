"""Views: an object's bytes in place, without a copy, pinned for as long as the view is open."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mmc.actors.client.asking import pin_by_message
from mmc.actors.client.reading import hold
from mmc.errors import CacheError, Code, error_for
from mmc.segments import pins
from mmc.segments.reader import extent_of, touch
from mmc.zeromq.clock import access_clock, now

if TYPE_CHECKING:
    from types import TracebackType

    from mmc.actors.client.ranks import RankHandle
    from mmc.connection import Connection
    from mmc.segments.reader import Hit


class View:
    """A read-only window on one object.

    ``memory`` is the object's bytes; they stay what they are until :meth:`close`, even if the object is
    evicted or removed meanwhile.  A view must be closed before its memory can be reused: use it in a
    ``with`` statement, whose target is ``memory`` itself.
    """

    def __init__(self, connection: Connection, key: bytes, timeout_s: float) -> None:
        """Find and pin the object.

        Raises:
            CacheError: -3007 there is none; -3014, -3017, -3004 nobody could tell.
        """
        self._connection = connection
        self._slot: int | None = None
        connection.opened_view()
        try:
            self._hit, self._handle = self._pin(key, now() + timeout_s)
        except BaseException:
            connection.closed_view()
            raise
        extent = extent_of(self._hit)
        assert extent is not None, "a pinned record has an extent"
        self.memory = self._hit.segment.memory.view(*extent)
        self._open = True

    def _pin(self, key: bytes, deadline: float) -> tuple[Hit, RankHandle]:
        connection = self._connection
        while now() < deadline:
            hit = connection.reactor.run(hold(connection.actor, key, deadline))
            if isinstance(hit, Code):
                raise error_for(hit, f"view of {key!r}")
            segment = hit.segment
            handle = next(h for h in connection.actor.ranks.values() if h.segment is segment)
            if handle.slots:
                slot = handle.slots.popleft()
                if pins.pin(segment, slot, hit.record, hit.generation):
                    self._slot = slot
                    touch(segment, hit.record, access_clock())
                    return hit, handle
                handle.slots.append(slot)
            else:
                code = connection.reactor.run(pin_by_message(connection.actor, hit, deadline))
                if code == Code.OK:
                    return hit, handle
        raise error_for(Code.TIMED_OUT, f"view of {key!r}")

    def __enter__(self) -> memoryview:
        """The object's bytes."""
        return self.memory

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()


    def close(self) -> None:
        """Let go of the bytes; nothing happens the second time.

        Raises:
            BufferError: arrays made from ``memory`` are still alive; the view stays open.
        """
        if not self._open:
            return
        self.memory.release()
        self._open = False
        if self._slot is not None:
            pins.unpin(self._hit.segment, self._slot)
            if self._handle.slots is not None:
                self._handle.slots.append(self._slot)
        else:
            deadline = now() + self._connection.config.client.timeout_ms / 1000
            operation = pin_by_message(self._connection.actor, self._hit, deadline, unpin=True)
            with contextlib.suppress(CacheError):
                self._connection.reactor.run(operation)
        self._connection.closed_view()
