"""Peers that speak no protocol, half of one, or ours without meaning it, to sockets of real services."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Self

import zmq

from mmc.errors import Code
from mmc.wire.codec import Header, decode_body, decode_header
from mmc.wire.replies import Failure, Welcome
from tests.fuzz.choices import Choices, Known
from tests.fuzz.hostile_frames import draw_frames, draw_header

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from mmc.wire.operations import Message
    from mmc.wire.sequence import Frames

_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_TYPE = b"\x0bSocket-Type"
_PATIENCE_S = 5.0
_BURST = 50
_LONGEST = 400


def ready_command(kind: bytes) -> bytes:
    """The command that ends a handshake of ZeroMQ's, by a socket of this kind."""
    body = b"\x05READY" + _TYPE + len(kind).to_bytes(4, "big") + kind
    return b"\x04" + bytes([len(body)]) + body


def announced(size: int) -> bytes:
    """The beginning of a frame that claims to have so many bytes."""
    return b"\x02" + size.to_bytes(8, "big")


def subscription(size: int) -> bytes:
    """A subscriber's handshake, and its subscription to a topic of so many bytes."""
    topic = b"\1" + bytes(size)
    return _GREETING + ready_command(b"SUB") + announced(len(topic)) + topic


def openings(kind: bytes, chance: Random) -> list[bytes]:
    """What a stranger says to a socket of ZeroMQ's that expects a peer of this kind."""
    greeted = _GREETING + ready_command(kind)
    noise = chance.randbytes(chance.randrange(1, 300))
    return [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        noise,
        _GREETING[: chance.randrange(64)],
        _GREETING[:12] + noise,
        _GREETING,
        _GREETING + ready_command(b"NONSENSE"),
        _GREETING + b"\x04\xff" + noise,
        greeted + noise,
        greeted + announced((1 << 63) - 1) + noise,
        greeted + announced(1 << 40) + noise,
        greeted + announced(65 << 20) + noise,
        greeted + b"\x01\x00" * 500,
        greeted + b"\x00" + bytes([len(noise) % 256]) + noise,
        greeted + b"\x04\x07\x04PING\x00",
    ]


class Connections:
    """Raw connections to one address, open until the end."""

    def __init__(self, url: str) -> None:
        """None is open yet."""
        host, _, port = url.removeprefix("tcp://").rpartition(":")
        self._address = (host, int(port))
        self._open: list[socket.socket] = []

    def say(self, opening: bytes) -> None:
        """Connect, say this, and say nothing more."""
        connection = socket.create_connection(self._address, _PATIENCE_S)
        self._open.append(connection)
        with contextlib.suppress(ConnectionError):
            connection.sendall(opening)

    def is_dropped(self, opening: bytes) -> bool:
        """Whether whoever says this is soon cut off."""
        self.say(opening)
        connection = self._open[-1]
        try:
            while connection.recv(4096):
                pass
        except ConnectionError:
            return True
        except TimeoutError:
            return False
        return True

    def knock(self) -> None:
        """Ask for a connection, and do not wait for it."""
        connection = socket.socket()
        connection.settimeout(0.0)
        connection.connect_ex(self._address)
        self._open.append(connection)

    def close(self) -> None:
        """Close every other connection, and reset the others."""
        linger = b"\1\0\0\0\0\0\0\0"
        for number, connection in enumerate(self._open):
            if number % 2:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.close()
        self._open.clear()

    def __enter__(self) -> Self:
        """The connections themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close all."""
        self.close()


class Babbler:
    """A DEALER socket that sends whatever chance has it send, and knows what it was answered.

    It never claims to know of a later epoch: that would be believed, and begin one.
    """

    def __init__(self, url: str, kinds: Sequence[type[Message]]) -> None:
        """``kinds`` are the messages that the service answers."""
        self._context = zmq.Context[zmq.Socket[bytes]]()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(url)
        self._kinds = kinds
        self._known = Known((0, 1, 2), (b"key", b"k0"))
        self._session = (0, 0)
        self._number = 0
        self.answers = 0
        self.faults: list[str] = []

    def babble(self, chance: Random, count: int) -> None:
        """Send so many messages, with rests to hear what is answered."""
        for at in range(count):
            choices = Choices(chance.randbytes(_LONGEST))
            header = self._header()
            if choices.is_rare(4):
                wild = draw_header(choices, self._known)
                header = wild._replace(epoch=min(wild.epoch, header.epoch))
            frames = draw_frames(choices, self._known, self._kinds, header)
            self._socket.send_multipart(frames or (b"",))
            if at % _BURST == 0:
                self.hear(0.05)
        self.hear(1.0)

    def _header(self) -> Header:
        self._number += 1
        session, epoch = self._session
        return Header(0, session, self._number, 0, epoch, 100, max(1, self._number - 8))

    def hear(self, seconds: float) -> None:
        """Take what is answered, until nothing is for so long."""
        while self._socket.poll(int(1000 * seconds)):
            self._note(tuple(self._socket.recv_multipart()))

    def _note(self, frames: Frames) -> None:
        header = decode_header(frames)
        answer = decode_body(header, frames)
        self.answers += 1
        if isinstance(answer, Welcome):
            self._session, self._number = (answer.session, header.epoch), 0
        if isinstance(answer, Failure) and answer.code == Code.INTERNAL:
            self.faults.append(answer.sentence)

    def close(self) -> None:
        """Close the socket."""
        self._context.destroy(0)


@contextlib.contextmanager
def babbling(url: str, kinds: Sequence[type[Message]]) -> Iterator[Babbler]:
    """A babbler for a while."""
    with contextlib.closing(Babbler(url, kinds)) as babbler:
        yield babbler
