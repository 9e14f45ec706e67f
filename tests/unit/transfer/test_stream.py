"""The wire of the data path: what is sent arrives, and what is no message is refused."""

import contextlib
import select
import socket
import sys
import threading
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64, xxh3_64_intdigest

from mmc.errors import RemoteProtocolError
from mmc.transfer.stream import Stream, Waits
from mmc.wire import blocks
from mmc.wire.codec import Header
from mmc.wire.operations import Message
from tests.strategies import any_messages

T = TypeVar("T")
STEP = 1 << 12
PATIENCE_MS = 10_000


def drive(stream: Stream, talk: Waits[T]) -> T:
    """Carry a conversation through, within bounds."""
    while True:
        try:
            events = next(talk)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return] # what the generator returns
        poll = select.poll()
        poll.register(stream, events)
        assert poll.poll(PATIENCE_MS), "the other end says nothing"


def pair() -> tuple[Stream, Stream]:
    """Two ends of one connection."""
    left, right = socket.socketpair()
    return Stream(left, STEP), Stream(right, STEP)


def _has_one_body(message: Message) -> bool:
    """Whether a message has no raw frames: those of the data path have none."""
    return type(message).__name__ != "Pressure"


@given(
    said=st.lists(
        st.tuples(any_messages.filter(_has_one_body), st.binary(max_size=3 * STEP)),
        min_size=1,
        max_size=4,
    )
)
def test_messages_and_bytes_arrive_as_they_were_sent(said: list[tuple[Message, bytes]]) -> None:
    """Whatever follows whatever, with bytes between, comes out in its order, and digests agree."""
    here, there = pair()
    heard: list[tuple[Message, bytes]] = []
    digests: list[int] = []

    def listen() -> None:
        for _, content in said:
            _, message = drive(there, there.receive_message())
            target = bytearray(len(content))
            digest = xxh3_64()
            drive(there, there.fill(memoryview(target), digest))
            heard.append((message, bytes(target)))
            digests.append(digest.intdigest())

    listener = threading.Thread(target=listen)
    listener.start()
    for message, content in said:
        early = memoryview(content)[: len(content) // 3]
        header = Header(message.operation, deadline_ms=5)
        drive(here, here.send_message(header, message, early or None))
        drive(here, here.send(memoryview(content)[len(early) :]))
    listener.join()
    assert heard == said
    assert digests == [xxh3_64_intdigest(content) for _, content in said]
    assert here.sent == there.received
    for stream in (here, there):
        stream.close()


@given(noise=st.binary(min_size=1, max_size=300))
def test_noise_is_refused_or_ends(noise: bytes) -> None:
    """Whatever bytes come, they are a message, a protocol error, or too few."""
    here, there = pair()
    drive(here, here.send(memoryview(noise)))
    here.close()
    with contextlib.suppress(RemoteProtocolError, ConnectionResetError):
        drive(there, there.receive_message())
    there.close()


@pytest.mark.parametrize("size", [0, 1, STEP - 1, STEP, 5 * STEP + 3])
def test_bytes_for_nobody_are_dropped(size: int) -> None:
    """What is dropped is gone, and the next message is whole."""
    here, there = pair()
    drive(here, here.send(memoryview(bytes(size))))
    message = blocks.Probe(1, (2,), (3,))
    drive(here, here.send_message(Header(message.operation), message))
    drive(there, there.drop(size))
    assert drive(there, there.receive_message())[1] == message
    here.close()
    there.close()


def test_a_kept_connection_is_idle_until_something_comes() -> None:
    """Bytes that nobody asked for, and the end of the connection, make it unfit to be used again."""
    here, there = pair()
    assert there.is_idle()
    drive(here, here.send(memoryview(b"x")))
    assert not there.is_idle()
    here.close()
    there.close()
    here, there = pair()
    here.close()
    assert not there.is_idle()
    there.close()


class _Measured(socket.socket):
    """A TCP socket whose shortest round trip the kernel found to be ``shortest_us``."""

    shortest_us = 0

    def getsockopt(self, level: int, name: int, size: int = 0) -> bytes:  # type: ignore[override] # one form
        """What the kernel says of it."""
        assert (level, name) == (socket.IPPROTO_TCP, socket.TCP_INFO)
        return bytes(148) + self.shortest_us.to_bytes(4, sys.byteorder) + bytes(size - 152)


@pytest.mark.parametrize(
    ("shortest_us", "distance"), [(0, 0), (63, 0), (64, 1), (127, 1), (128, 2), (999, 4)]
)
def test_distances_are_powers_of_two_of_round_trips(shortest_us: int, distance: int) -> None:
    """Ranks of one rack are equally far, those of another one are not."""
    with _Measured() as measured:
        measured.shortest_us = shortest_us
        assert Stream(measured, STEP).distance() == distance


def test_what_the_kernel_has_not_measured_is_near() -> None:
    """A local socket, and one that has ended."""
    left, right = pair()
    assert left.distance() == 0
    left.close()
    right.close()
    assert left.distance() == 0
