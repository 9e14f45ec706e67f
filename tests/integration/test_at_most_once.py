"""At most once, as seen by a raw ZeroMQ socket through the real broker."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
import zmq

from mmc.errors import Code
from mmc.wire.codec import RETRY, Header, decode_body, decode_header, encode
from mmc.wire.operations import Operation, PeerKind
from mmc.wire.replies import Claimed, Failure, Found, Welcome
from mmc.wire.requests import Claim, Hello, Lookup
from tests.integration.processes import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmc.wire.operations import Message

_PATIENCE_MS = 5000
_RECORDS = itertools.count()


class RawClient:
    """A DEALER socket that says exactly what it is told to."""

    def __init__(self, url: str) -> None:
        """Connect and say hello."""
        self.context = zmq.Context[zmq.Socket[bytes]]()
        self.socket = self.context.socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(url)
        self.session = self.epoch = 0
        reply = self.ask(Hello(7, PeerKind.CLIENT, 1, 1, 0), sequence=1)
        welcome = decode_body(decode_header(reply), reply)
        assert isinstance(welcome, Welcome)
        self.session, self.epoch = welcome.session, decode_header(reply).epoch
        self.members = welcome.members

    def ask(self, message: Message, sequence: int, flags: int = 0) -> tuple[bytes, ...]:
        """Send a message under a number; returns the frames of the answer."""
        header = Header(0, self.session, sequence, flags, self.epoch, 5000)
        return self.send(encode(header, message))

    def send(self, frames: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Send frames; returns the frames of the answer."""
        self.socket.send_multipart(frames)
        assert self.socket.poll(_PATIENCE_MS), "no answer"
        return tuple(self.socket.recv_multipart())

    def claim(self, key: bytes) -> Claim:
        """A put of one key, as far as the meta service sees it."""
        record = next(_RECORDS)
        return Claim(self.epoch, 1, (0,), (key,), (10,), (((0, record, 2),),))

    def is_known(self, key: bytes, sequence: int) -> bool:
        """Whether the meta service has an entry for a key."""
        frames = self.ask(Lookup((key,)), sequence)
        found = decode_body(decode_header(frames), frames)
        assert isinstance(found, Found)
        return found.codes[0] != Code.NOT_FOUND

    def close(self) -> None:
        """Close the socket."""
        self.context.destroy(0)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One real cluster for all tests of this file."""
    with Cluster(ranks=1) as cluster:
        yield cluster


@pytest.fixture
def raw(cluster: Cluster) -> Iterator[RawClient]:
    """A raw client with a session of its own."""
    client = RawClient(cluster.meta_url)
    yield client
    client.close()


def code_of(frames: tuple[bytes, ...]) -> int:
    """The code of a refusal."""
    failure = decode_body(decode_header(frames), frames)
    assert isinstance(failure, Failure)
    return failure.code


def test_a_put_sent_twice_is_a_duplicate(raw: RawClient) -> None:
    """The same number again answers -3009; with the retry flag, the identical reply."""
    claim = raw.claim(b"once")
    first = raw.ask(claim, 1)
    claimed = decode_body(decode_header(first), first)
    assert isinstance(claimed, Claimed)
    assert claimed.codes == (Code.OK,)
    assert code_of(raw.ask(claim, 1)) == Code.DUPLICATE_SEQUENCE
    assert raw.ask(claim, 1, RETRY) == first


@pytest.mark.parametrize("sequence", [0, 1026, 5000, 2**63])
def test_a_number_outside_the_window_is_not_executed(raw: RawClient, sequence: int) -> None:
    """A number that the window never held answers -3010, and nothing happens."""
    answer = raw.ask(raw.claim(b"outside"), sequence, RETRY)
    assert code_of(answer) == Code.UNKNOWN_SEQUENCE
    assert not raw.is_known(b"outside", 1)


def test_another_epoch_is_not_executed(raw: RawClient) -> None:
    """A request of another epoch, or an unknown session, answers -3010, and nothing happens."""
    for epoch, session in ((raw.epoch + 1, raw.session), (raw.epoch, raw.session + 1)):
        frames = encode(Header(0, session, 1, 0, epoch, 5000), raw.claim(b"epoch"))
        assert code_of(raw.send(frames)) == Code.UNKNOWN_SEQUENCE
    assert not raw.is_known(b"epoch", 1)


def test_garbage_gets_a_coded_reply_and_ends_nothing(raw: RawClient) -> None:
    """Malformed frames answer -3000, an unknown operation -3015, and the service goes on."""
    header = encode(Header(0, raw.session, 1, 0, raw.epoch), Lookup(()))[0]
    for frames in ((b"",), (b"\xc1",), (header,), (header, b"\xff"), (b"x" * 1000, b"")):
        assert code_of(raw.send(frames)) == Code.INVALID_ARGUMENT
    unknown = Header(99, raw.session, 1, 0, raw.epoch)
    frames = (
        encode(unknown, Lookup(()))[0].replace(bytes([Operation.LOOKUP]), bytes([99]), 1),
        b"",
    )
    assert code_of(raw.send(frames)) in (Code.UNKNOWN_OPERATION, Code.INVALID_ARGUMENT)
    assert not raw.is_known(b"anything", 1)
