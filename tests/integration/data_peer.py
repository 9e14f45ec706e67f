"""A client of data servers that does one step at a time, for tests of what may happen between two of them."""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING, Self, TypeVar

from xxhash import xxh3_64_intdigest

from mmc.transfer.addresses import resolve
from mmc.transfer.stream import Stream
from mmc.wire import blocks
from mmc.wire.codec import Header

if TYPE_CHECKING:
    from types import TracebackType

    from mmc.client import Client
    from mmc.transfer.stream import Waits
    from mmc.wire.operations import Message

T = TypeVar("T")
PATIENCE_S = 10.0
_RECEIVE_BUFFER_BYTES = 1 << 16
"""Small, so that a peer that reads nothing is noticed soon."""


def drive(stream: Stream, talk: Waits[T]) -> T:
    """Carry a conversation through, within bounds."""
    poll = select.poll()
    while True:
        try:
            events = next(talk)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return] # what the generator returns
        poll.register(stream, events)
        assert poll.poll(PATIENCE_S * 1000), "the data server says nothing"


class DataPeer:
    """One connection to the data server of a rank."""

    def __init__(self, client: Client, rank: int = 0) -> None:
        """``client`` knows where it is."""
        member = client.connection.actor.members[rank]
        self.segment = member.segment
        family, address = resolve(member.data_url)
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        self.socket.connect(address)
        self.stream = Stream(self.socket, 1 << 16)

    def say(self, message: Message, deadline_ms: int = 10000) -> None:
        """Send a message."""
        header = Header(message.operation, deadline_ms=deadline_ms)
        drive(self.stream, self.stream.send_message(header, message))

    def send(self, content: bytes) -> None:
        """Send bytes."""
        drive(self.stream, self.stream.send(memoryview(content)))

    def hear(self) -> Message:
        """The next message."""
        return drive(self.stream, self.stream.receive_message())[1]

    def receive(self, target: memoryview) -> None:
        """Receive into all of a buffer."""
        drive(self.stream, self.stream.fill(target))

    def ask(self, message: Message) -> Message:
        """Send a message and hear what answers it."""
        self.say(message)
        return self.hear()

    def begin(self, key: bytes, content: bytes, deadline_ms: int = 10000) -> blocks.Begun:
        """Begin to write an object, which nobody claims, and send its early bytes."""
        self.say(blocks.Begin(self.segment, 1, 77, 1, (0,), (key,), (len(content),)), deadline_ms)
        self.send(content[: blocks.EARLY_BYTES])
        begun = self.hear()
        assert isinstance(begun, blocks.Begun)
        return begun

    def land(self, content: bytes) -> None:
        """Send the rest of an object, and its digest."""
        self.send(content[blocks.EARLY_BYTES :])
        self.say(blocks.Landed((xxh3_64_intdigest(content),)))

    def has_ended(self) -> bool:
        """Whether the data server closes the connection, within bounds; what it says before is dropped."""
        self.socket.settimeout(PATIENCE_S)
        try:
            while self.socket.recv(1 << 16):
                pass
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
        return True

    def __enter__(self) -> Self:
        """The peer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.stream.close()
