"""Two ends of a connection in memory, with all that :class:`mmc.transfer.stream.Stream` uses of a socket."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class MemorySocket:
    """One end: bytes come out of ``coming``, and go to the other end as long as that has room for them."""

    family = socket.AF_UNIX

    def __init__(self, room: int, watch: Callable[[memoryview], None]) -> None:
        """At most ``room`` bytes wait to be received; ``watch`` sees each buffer that they are to go to."""
        self.coming = bytearray()
        self.has_ended = False
        """Whether nothing more comes than what has."""
        self.is_closed = False
        self._room = room
        self._watch = watch
        self.other = self

    @property
    def room(self) -> int:
        """Bytes that may still be sent to this end."""
        return max(0, self._room - len(self.coming))

    @property
    def is_readable(self) -> bool:
        """Whether receiving would not wait."""
        return bool(self.coming) or self.has_ended

    @property
    def is_writable(self) -> bool:
        """Whether sending would not wait."""
        return self.other.is_closed or self.other.room > 0

    def as_socket(self) -> socket.socket:
        """This, to who asks for a socket."""
        return cast("socket.socket", self)

    # What a stream uses

    def settimeout(self, seconds: float) -> None:
        """It never blocks."""
        assert not seconds

    def fileno(self) -> int:
        """It has no descriptor, but a number."""
        return -1 if self.is_closed else id(self)

    def recv_into(self, target: memoryview) -> int:
        """Receive what is there, as far as there is space for it."""
        self._use()
        if not self.is_readable:
            raise BlockingIOError
        count = min(len(target), len(self.coming))
        if count:
            self._watch(target)
            target[:count] = self.coming[:count]
            del self.coming[:count]
        return count

    def send(self, part: memoryview) -> int:
        """Send what the other end has room for."""
        self._use()
        if self.other.is_closed:
            raise ConnectionResetError("the peer has closed the connection")
        count = min(len(part), self.other.room)
        if not count:
            raise BlockingIOError
        self.other.coming += part[:count]
        return count

    def sendmsg(self, parts: Sequence[memoryview]) -> int:
        """Send what the other end has room for."""
        sent = 0
        for part in parts:
            if sent and not self.other.room:
                break
            count = self.send(part)
            sent += count
            if count < len(part):
                break
        return sent

    def recv(self, _size: int, _flags: int) -> bytes:
        """Look whether there is anything."""
        self._use()
        if not self.is_readable:
            raise BlockingIOError
        return bytes(self.coming[:1])

    def shutdown(self, _how: int) -> None:
        """End both directions."""
        self.has_ended = self.other.has_ended = True

    def close(self) -> None:
        """Be gone; nothing happens the second time."""
        self.is_closed = True
        self.coming.clear()
        self.other.has_ended = True

    def _use(self) -> None:
        if self.is_closed:
            raise OSError("the socket is closed")


def connected(room: int, watch: Callable[[memoryview], None]) -> tuple[MemorySocket, MemorySocket]:
    """Both ends of a connection, the watched one first."""
    watched, other = MemorySocket(room, watch), MemorySocket(room, lambda _: None)
    watched.other, other.other = other, watched
    return watched, other
