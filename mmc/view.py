"""Views: an object's bytes in place, without a copy, pinned for as long as the view is open."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mmc.actors.client.asking import pin_by_message
from mmc.actors.client.reading import pin, release_slot
from mmc.errors import CacheError, Code, error_for
from mmc.zeromq.clock import now

if TYPE_CHECKING:
    from types import TracebackType

    from mmc.connection import Connection


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
        connection.opened_view()
        try:
            deadline = now() + timeout_s
            pinned = connection.reactor.run(pin(connection.actor, key, deadline))
        except BaseException:
            connection.closed_view()
            raise
        if isinstance(pinned, Code):
            connection.closed_view()
            raise error_for(pinned, f"view of {key!r}")
        self._pinned = pinned
        self.memory = pinned.hit.segment.memory.view(pinned.at, pinned.size)
        self._open = True

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
        if not release_slot(self._pinned):
            deadline = now() + self._connection.config.client.timeout_ms / 1000
            actor, hit = self._connection.actor, self._pinned.hit
            with contextlib.suppress(CacheError):
                self._connection.reactor.run(pin_by_message(actor, hit, deadline, unpin=True))
        self._connection.closed_view()
