"""What becomes of the objects of an errand whose connection ends before it is done."""

import pytest

from mmc.actors.client.far import Block, Place
from mmc.errors import Code, RemoteProtocolError
from mmc.identifiers import Member
from mmc.transfer.errands import Fetching
from mmc.transfer.stream import Stream, message_bytes
from mmc.wire import blocks, replies
from mmc.wire.codec import Header
from tests.fuzz.memory_socket import connected

SIZE = 100
MEMBER = Member(0, 0, 0, 1, 1, 1, "/p", "u", "tcp://127.0.0.1:1")


@pytest.mark.parametrize("arrived", [0, SIZE // 2, SIZE, SIZE + SIZE // 2, 2 * SIZE])
def test_what_has_not_arrived_is_not_here(arrived: int) -> None:
    """S1: of two objects that were promised, none is 0 before both and the word about them have come."""
    here, there = connected(1 << 16, lambda _: None)
    wanted = [Block(Place(MEMBER, at, 2, SIZE), [memoryview(bytearray(SIZE))]) for at in range(2)]
    errand = Fetching(MEMBER, wanted, 10.0, lambda _name, _amount: None)
    talk = errand.talk(Stream(here.as_socket(), 1 << 10), lambda: 1.0)
    next(talk)
    promise = message_bytes(Header(0), blocks.Sending((Code.OK, Code.OK)))
    there.send(memoryview(promise + bytes(arrived)))
    there.close()
    with pytest.raises(ConnectionResetError):
        next(talk)
    errand.fail(Code.UNREACHABLE)
    assert [block.code for block in wanted] == [Code.UNREACHABLE] * 2


def test_a_refusal_without_a_reason_is_no_answer() -> None:
    """A data server that refuses with 0 has sent nothing, and nothing is said to be here."""
    here, there = connected(1 << 16, lambda _: None)
    wanted = Block(Place(MEMBER, 0, 2, SIZE), [memoryview(bytearray(SIZE))])
    talk = Fetching(MEMBER, [wanted], 10.0, lambda _name, _amount: None).talk(
        Stream(here.as_socket(), 1 << 10), lambda: 1.0
    )
    next(talk)
    there.send(memoryview(message_bytes(Header(0), replies.Failure(0, "no"))))
    with pytest.raises(RemoteProtocolError):
        next(talk)
    assert wanted.code == Code.UNREACHABLE
