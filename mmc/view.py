"""Views: an object's bytes in place, without a copy, pinned for as long as anything uses them."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import numpy as np

from mmc.actors.client.reading import Pinned, pin, pin_known, release
from mmc.errors import Code
from mmc.zeromq.clock import access_clock, now

if TYPE_CHECKING:
    from types import TracebackType

    from mmc.connection import Connection

_OCTET = np.dtype(np.uint8)


class _Window(np.ndarray):
    """The bytes of a view: whatever is made of them keeps this alive, and its end is the end of the pin."""

    __slots__ = ("connection", "opened", "pinned")
    connection: Connection
    opened: object
    pinned: Pinned | bytes

    def __del__(self) -> None:
        """Runs wherever the last use goes, and waits for nothing; an array made of this one pins nothing."""
        pinned = getattr(self, "pinned", None)
        if pinned is not None and not sys.is_finalizing():
            let_go(self.connection, self.opened, pinned)


class View:
    """A read-only window on one object.

    ``memory`` is the object's bytes, also what a ``with`` statement gives.  They stay what they are, even if
    the object is evicted or removed, until the view is closed and every array made from ``memory`` is
    gone; only then can the space be used again.  Of an object on another host it is a copy, made once.
    """

    def __init__(self, memory: memoryview) -> None:
        """Made by :meth:`Client.view`."""
        self.memory = memory

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
        """Let go of ``memory``; nothing happens the second time."""
        self.memory.release()


def open_view(connection: Connection, key: bytes, timeout_s: float) -> View:
    """Find and pin an object.

    Raises:
        CacheError: -3007 there is none; -3014, -3017, -3004 nobody could tell; -3016 too many views are open;
            -3018 its rank does not answer; -3019 the client is closed.
    """
    opened = connection.opened_view()
    pinned: Pinned | bytes | Code | None = None
    try:
        pinned = pin_here(connection, key)
        if pinned is None:
            pinned = connection.reactor.run(pin(connection.actor, key, now() + timeout_s))
        return hold(connection, opened, pinned, key)
    except BaseException:  # boundary: clears away and raises again
        let_go(connection, opened, pinned)
        raise


def pin_here(connection: Connection, key: bytes) -> Pinned | None:
    """What is pinned without a message, if anything is."""
    connection.actor.gets += 1
    return pin_known(connection.actor, key, access_clock())


def hold(connection: Connection, opened: object, pinned: Pinned | bytes | Code, key: bytes) -> View:
    """The view of what was found, which from now on ends what was begun for it.

    Raises:
        CacheError: there is none, and ``pinned`` says why.
    """
    if isinstance(pinned, Pinned):
        hit = pinned.hit
        memory = hit.segment.memory.view(hit.at, hit.size)
    elif isinstance(pinned, bytes):
        memory = memoryview(pinned)
    else:
        raise connection.error(pinned, f"view of {key!r}")
    window = _Window(memory.nbytes, _OCTET, memory)
    view = View(window.data)
    connection.actor.hits += 1
    window.connection, window.opened = connection, opened
    window.pinned = pinned
    return view


def let_go(connection: Connection, opened: object, pinned: Pinned | bytes | Code | None) -> None:
    """Nothing uses the bytes any more."""
    if connection.process == os.getpid():  # a forked child's copy pins nothing
        if isinstance(pinned, Pinned):
            release(pinned)
        connection.closed_view(opened)
