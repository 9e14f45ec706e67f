"""One connection between hosts: messages and bytes, moved without ever blocking.

1. What may have to wait is a generator that tries first, and yields ``READ`` or ``WRITE`` when the socket has
   to be waited for.  Whoever drives it waits for several at once, and until a deadline.
   Only an answer is waited for before it is tried: nobody has it yet.
2. Bytes are received straight into where they belong and sent from where they lie.  A digest is fed with each
   part as it comes and goes, while that is in cache.
3. A message is a prefix, a header and a body.  Whatever else arrives is a
   :class:`~mmc.errors.RemoteProtocolError`, and a connection that ended an :class:`OSError`.
4. Most messages are short and have been seen before.  What they mean is remembered.
"""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Generator, Sequence
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING, Protocol, TypeVar

from mmc.errors import RemoteProtocolError
from mmc.wire.codec import MAX_HEADER_BYTES, Header, decode_body, decode_header, encode

if TYPE_CHECKING:
    from mmc.wire.operations import Message

READ, WRITE = int(select.POLLIN), int(select.POLLOUT)
T = TypeVar("T")
Waits = Generator[int, None, T]
"""What waits for sockets: it yields what it waits for."""
Part = bytes | memoryview

_PREFIX = Struct("!4sHI")
_MAGIC = b"MMC\x01"
_LONGEST_BODY = 8 << 20
_AHEAD_BYTES = 4096
_SHORT_BYTES = 32
_REMEMBERED = 256
_SHORTEST_US = Struct("=I")
_SHORTEST_AT = 148
_INFO_BYTES = 152
_NEAR_US = 64
_CLOSED = "the peer has closed the connection"


class Digest(Protocol):
    """A hash that is fed part by part."""

    def update(self, part: memoryview, /) -> None:
        """Take the next part."""
        ...


class Stream:
    """A connected TCP socket."""

    def __init__(self, connected: socket.socket, step_bytes: int) -> None:
        """Bytes are moved in steps of ``step_bytes``."""
        connected.settimeout(0.0)
        if connected.family != socket.AF_UNIX:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self.step = step_bytes
        self._ahead = memoryview(bytearray(_AHEAD_BYTES))
        self._start = 0
        self._end = 0
        self.received = 0
        self.sent = 0

    @property
    def moved(self) -> int:
        """Bytes that came and went."""
        return self.received + self.sent

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self._socket.fileno()

    def distance(self) -> int:
        """How far away the peer is: 0 within 64 us, and one more whenever the round trip is twice as long.

        The kernel measures it; its shortest round trip says little of how much the peer has to do.
        """
        try:
            info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        except OSError:  # it is no TCP socket, or has ended
            return 0
        if len(info) < _INFO_BYTES:
            return 0
        (shortest_us,) = _SHORTEST_US.unpack_from(info, _SHORTEST_AT)
        return int(shortest_us // _NEAR_US).bit_length()

    # Messages

    def send_message(
        self, header: Header, message: Message, payload: memoryview | None = None
    ) -> Waits[None]:
        """Send a message, and in the same go what follows it."""
        yield from self.send_parts((message_bytes(header, message), *((payload,) if payload else ())))

    def send_parts(self, parts: Sequence[Part]) -> Waits[None]:
        """Send messages and bytes, one after the other, at once."""
        yield from self._send_all([memoryview(part) for part in parts if len(part)])

    def receive_message(self, *, at_once: bool = False) -> Waits[tuple[Header, Message]]:
        """The next message; ``at_once``: it comes with what was received last, else the socket is waited for.

        Raises:
            RemoteProtocolError: it is none.
        """
        if not at_once and self._start == self._end:
            yield READ
        prefix = yield from self._take(_PREFIX.size)
        magic, header_bytes, body_bytes = _PREFIX.unpack(prefix)
        if magic != _MAGIC or header_bytes > MAX_HEADER_BYTES or body_bytes > _LONGEST_BODY:
            raise RemoteProtocolError("not a message of a data connection")
        size = header_bytes + body_bytes
        whole = self._cut(size) if self._end - self._start >= size else (yield from self._take(size))
        header = _header_of(whole[:header_bytes])
        body = whole[header_bytes:]
        if body_bytes <= _SHORT_BYTES:
            return header, _short_message(header.operation, body)
        return header, decode_body(header, (b"", body))

    def _take(self, size: int) -> Waits[bytes]:
        """The next so many bytes; what else has come is read ahead."""
        if self._start == self._end and size <= _AHEAD_BYTES:
            self._start = 0
            self._end = 0
            self._end = yield from self._receive(self._ahead)
        if self._end - self._start >= size:
            return self._cut(size)
        whole = bytearray(size)
        yield from self.fill(memoryview(whole))
        return bytes(whole)

    def _cut(self, size: int) -> bytes:
        """So many bytes of those that were read ahead."""
        at = self._start
        self._start += size
        return bytes(self._ahead[at : at + size])

    # Bytes

    def fill(self, target: memoryview, digest: Digest | None = None) -> Waits[None]:
        """Receive into all of a buffer."""
        at = min(len(target), self._end - self._start)
        if at:
            target[:at] = self._ahead[self._start : self._start + at]
            self._start += at
            if digest is not None:
                digest.update(target[:at])
        size, step, receive = len(target), self.step, self._socket.recv_into
        while at < size:
            try:
                count = receive(target[at : at + step])
            except BlockingIOError:
                yield READ
                continue
            if not count:
                raise ConnectionResetError(_CLOSED)
            self.received += count
            if digest is not None:
                digest.update(target[at : at + count])
            at += count

    def drop(self, size: int) -> Waits[None]:
        """Receive so many bytes for nobody."""
        scratch = memoryview(bytearray(min(size, self.step)))
        while size > 0:
            part = scratch[: min(size, len(scratch))]
            yield from self.fill(part)
            size -= len(part)

    def send(self, source: memoryview, digest: Digest | None = None) -> Waits[None]:
        """Send all of a buffer; when this is over the kernel has a copy.

        Each step is hashed behind it, while the peer works on it.
        """
        step = self.step
        for at in range(0, len(source), step):
            part = source[at : at + step]
            yield from self._send_all([part])
            if digest is not None:
                digest.update(part)

    def _receive(self, target: memoryview) -> Waits[int]:
        while True:
            try:
                count = self._socket.recv_into(target)
            except BlockingIOError:
                yield READ
                continue
            if not count:
                raise ConnectionResetError(_CLOSED)
            self.received += count
            return count

    def _send_all(self, parts: Sequence[memoryview]) -> Waits[None]:
        left = list(parts)
        while left:
            try:
                count = self._socket.sendmsg(left) if len(left) > 1 else self._socket.send(left[0])
            except BlockingIOError:
                yield WRITE
                continue
            self.sent += count
            while left and count >= len(left[0]):
                count -= len(left.pop(0))
            if left and count:
                left[0] = left[0][count:]

    # The end

    def is_idle(self) -> bool:
        """Whether nothing has arrived that nobody asked for; not even the end of the connection."""
        if self._end > self._start:
            return False
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def abort(self) -> None:
        """End the connection under whoever uses it; the descriptor stays theirs."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def close(self) -> None:
        """Close; nothing happens the second time."""
        self._socket.close()


@lru_cache(_REMEMBERED)
def _header_of(first: bytes) -> Header:
    return decode_header((first,))


@lru_cache(_REMEMBERED)
def _short_message(operation: int, body: bytes) -> Message:
    return decode_body(Header(operation), (b"", body))


def message_bytes(header: Header, message: Message) -> bytes:
    """A message as it travels."""
    frames = encode(header, message)
    return b"".join((_PREFIX.pack(_MAGIC, len(frames[0]), len(frames[1])), *frames))


def connecting(family: int, address: tuple[object, ...], step_bytes: int) -> Stream:
    """A stream that is about to connect: its first use waits for that, or raises what is in the way.

    Raises:
        OSError: it cannot even begin to.
    """
    begun = socket.socket(family, socket.SOCK_STREAM)
    try:
        begun.settimeout(0.0)
        with contextlib.suppress(BlockingIOError):
            begun.connect(address)
        return Stream(begun, step_bytes)
    except BaseException:  # boundary: clears away and raises again
        begun.close()
        raise
