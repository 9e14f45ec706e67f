"""What one put says to a data server, and in how many messages."""

import socket
import threading
from typing import Any

import pytest
from xxhash import xxh3_64_intdigest

from mmc.actors.client.draft import Draft
from mmc.config import load_config
from mmc.errors import Code
from mmc.identifiers import Member, ObjectVersion
from mmc.transfer.connections import Connections
from mmc.transfer.exchange import Exchange
from mmc.transfer.stream import Stream
from mmc.transfer.uploading import Uploading
from mmc.wire import blocks, replies
from mmc.wire.blocks import EARLY_BYTES
from mmc.wire.codec import Header
from mmc.wire.operations import Message
from mmc.zeromq.clock import now
from tests.unit.transfer.test_stream import drive

PATIENCE_S = 60.0
LIMITS = load_config().data


class Taking(threading.Thread):
    """A data server that takes one put, and keeps what it was told."""

    def __init__(self, size: int) -> None:
        """Of an object of so many bytes."""
        super().__init__(daemon=True)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.content = bytearray(size)
        self.heard: list[Message] = []

    def run(self) -> None:
        """Begin, bytes, landed, publish."""
        stream = Stream(self.listening.accept()[0], LIMITS.step_bytes)
        for answer in (blocks.Begun((0,), (5,), (6,)), None, replies.Codes((0,))):
            self.heard.append(drive(stream, stream.receive_message())[1])
            if answer is not None:
                drive(stream, stream.send_message(Header(0), answer))
            if len(self.heard) == 1:
                drive(stream, stream.fill(memoryview(self.content)))
        stream.close()


@pytest.mark.parametrize("size", [1, EARLY_BYTES, EARLY_BYTES + 1, 3 * LIMITS.step_bytes + 7])
def test_a_put_is_three_messages_and_two_answers(size: int) -> None:
    """Over one connection; the digest, of pieces that follow one another, is that of the whole."""
    server = Taking(size)
    server.start()
    url = f"tcp://127.0.0.1:{server.listening.getsockname()[1]}"
    member = Member(0, 0, 0, 77, 1, 1, "/p", "u", url)
    content = memoryview(bytes(at * 31 % 251 for at in range(1000)) * (size // 1000 + 1))[:size]
    draft = Draft(b"k", ObjectVersion(1, 2, 3, 0), size)
    connections = Connections(LIMITS, now)
    counted: dict[str, Any] = {}
    upload = Uploading(
        member,
        [draft],
        {b"k": [content[: size // 3], content[size // 3 :]]},
        now() + PATIENCE_S,
        connections,
        counted.__setitem__,
    )
    Exchange([upload.beginning(now() + PATIENCE_S)], connections, LIMITS, now).perform()
    landing = upload.landing()
    assert landing is not None
    Exchange([landing], connections, LIMITS, now).perform()
    Exchange([upload.publishing([0], 9)], connections, LIMITS, now).perform()
    upload.end()
    server.join(PATIENCE_S)
    assert upload.codes == [Code.OK]
    assert upload.places == [(5, 6)]
    assert counted == {"remote_written_bytes": size}
    begin, landed, publish = server.heard
    assert begin == blocks.Begin(77, 1, 2, 3, (0,), (b"k",), (size,))
    assert landed == blocks.Landed((xxh3_64_intdigest(content),))
    assert publish == blocks.Publish(9, (0,))
    assert server.content == content
    connections.close()
    server.listening.close()


def test_where_nothing_was_granted_nothing_is_sent() -> None:
    """Digests of nothing would end the connection: its server does not wait for any."""
    member = Member(0, 0, 0, 77, 1, 1, "/p", "u", "tcp://127.0.0.1:9")
    draft = Draft(b"k", ObjectVersion(1, 2, 3, 0), 8)
    connections = Connections(LIMITS, now)
    upload = Uploading(
        member, [draft], {b"k": [memoryview(bytes(8))]}, now() + 0.1, connections, lambda _name, _amount: None
    )
    Exchange([upload.beginning(now() + 0.1)], connections, LIMITS, now).perform()
    assert upload.codes == [Code.UNREACHABLE]
    assert upload.landing() is None
    assert upload.abandoning() is None
    upload.end()
    connections.close()
