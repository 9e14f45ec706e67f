"""What an actor is: it takes a message, or the passing of time, and returns what it wants done.

An actor has ``receive(source, frames, now)``, ``expire(now)`` and ``next_deadline()``.  It opens no socket,
reads no clock and draws no chance that was not handed to it; the runtime (or the simulator) carries
out the effects that it returns, in their order.  ``now`` is in seconds of one clock of the host.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from mmc.wire.sequence import Frames

META = -1
"""The address of the meta service, behind its broker."""

EVENTS = -2
"""The source of events."""

Address = int | bytes
"""Where a message goes to or comes from: ``META``, a rank's number, or the route of a client."""

Draw = Callable[[], int]
"""A source of random 63-bit numbers."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message."""

    to: Address
    frames: Frames


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish an event."""

    topic: bytes
    frames: Frames


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Receive from this URL the events of these topics, and no others."""

    url: str
    topics: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Persist:
    """Write this down, safe from a crash, before the effects that follow."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Audit:
    """What the audit log keeps of a note: a line of these fields, or such a line for each of the keys."""

    fields: tuple[tuple[str, int | str], ...]
    keys: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Note:
    """Something worth a line in the log; the runtime limits how many there are.

    A note with an ``audit`` is for the audit log too, which gets every one of them; without a ``detail``
    it is for the audit log alone.
    """

    event: str
    detail: str
    audit: Audit | None = None


Effect = Send | Publish | Subscribe | Persist | Note


class Actor(Protocol):
    """The interface of every service."""

    def receive(self, source: Address, frames: Frames, now: float) -> list[Effect]:
        """Take one message; whatever it holds, this returns."""
        ...

    def expire(self, now: float) -> list[Effect]:
        """Do what is due by now."""
        ...

    def next_deadline(self) -> float | None:
        """When :meth:`expire` is to be called next."""
        ...
