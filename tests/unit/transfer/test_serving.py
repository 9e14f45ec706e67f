"""What a data server says to requests that nobody can mean."""

import pytest

from mmc.errors import RemoteProtocolError
from mmc.transfer.serving import Serving
from mmc.transfer.stream import READ, Stream, message_bytes
from mmc.wire import blocks
from mmc.wire.codec import Header
from tests.fuzz.data_target import LIMITS, ROOM_BYTES, DataScene
from tests.fuzz.memory_socket import connected
from tests.heap import IDENTITY


@pytest.mark.parametrize(("birth", "position"), [(1 << 32, 0), (1, 1 << 32), ((1 << 64) - 1, 0)])
def test_an_object_version_that_no_record_holds_is_no_request(birth: int, position: int) -> None:
    """It ends its connection as the peer's fault, before anything is reserved."""
    scene = DataScene()
    here, there = connected(ROOM_BYTES, scene.look_at_target)
    begin = blocks.Begin(IDENTITY, birth, 77, 1, (position,), (b"k",), (5,))
    there.send(memoryview(message_bytes(Header(0, deadline_ms=2000), begin)))
    talk = Serving(Stream(here.as_socket(), LIMITS.step_bytes), scene.host).talk()
    assert next(talk) == READ
    with pytest.raises(RemoteProtocolError, match="object version"):
        next(talk)
    assert scene.host.agent is None
