"""Messages to frames and back, by example."""

from collections.abc import Callable

import msgpack
import pytest

from mmc.errors import Code, RemoteProtocolError
from mmc.identifiers import Location, Member, ObjectVersion
from mmc.wire.codec import (
    MAX_HEADER_BYTES,
    PLANS,
    RETRY,
    Header,
    decode_body,
    decode_header,
    encode,
    encode_header,
)
from mmc.wire.operations import OLDEST_VERSION, WIRE_VERSION, Message, Operation
from mmc.wire.replies import Codes, Failure, Found, Membership, PackedFound, StatusReport
from mmc.wire.requests import Confirm, Hello, Lookup, Pressure, StatusQuery
from mmc.wire.sequence import Frames
from mmc.wire.shapes import MAX_KEYS, MAX_TEXT, Raw


def decode(frames: Frames) -> Message:
    """The message in arriving frames."""
    return decode_body(decode_header(frames), frames)


def test_the_operation_is_the_message_s_own() -> None:
    """A header is sent with the operation of its message, whatever it said before."""
    frames = encode(Header(Operation.HELLO, 7, 8, RETRY, 9, 10, 5), Codes((0,)))
    assert decode_header(frames) == Header(Operation.CODES, 7, 8, RETRY, 9, 10, 5, WIRE_VERSION)


def test_a_header_is_eight_numbers_in_a_frame_of_their_own() -> None:
    """The header's encoding is fixed: a list of eight unsigned integers."""
    header = Header(Operation.LOOKUP, 1, 2, RETRY, 3, 4, 2)
    assert msgpack.unpackb(encode_header(header)) == [2, 1, 2, 1, 3, 4, 2, WIRE_VERSION]


def test_raw_bytes_travel_in_frames_of_their_own() -> None:
    """Raw fields are not in the body, but behind it in their order."""
    touched, clocks = Raw(b"touched"), Raw(b"clocks")
    frames = encode(Header(0), Pressure(1, 2, (7,), touched, clocks))
    assert frames[2:] == (b"touched", b"clocks")
    assert msgpack.unpackb(frames[1]) == [1, 2, [7]]
    assert decode(frames) == Pressure(1, 2, (7,), touched, clocks)


def test_members_arrive_as_members() -> None:
    """A list of members is decoded to members with their fields by name."""
    member = Member(1, 2, 1, 3, 4, 5, "mmc-1.dram", "tcp://127.0.0.1:7000")
    decoded = decode(encode(Header(0), Membership(1, 0, (member,), ())))
    assert isinstance(decoded, Membership)
    assert decoded.members[0].control_url == member.control_url


def test_every_operation_has_one_kind_of_message() -> None:
    """The union is closed: each operation belongs to exactly one kind, and each kind is known."""
    assert set(PLANS) == set(Operation)
    assert all(PLANS[operation].kind.operation == operation for operation in Operation)


@pytest.mark.parametrize("version", [OLDEST_VERSION - 1, WIRE_VERSION + 1])
def test_a_wire_version_that_is_not_spoken_is_refused(version: int) -> None:
    """A message of another wire version is refused with the versions that are spoken."""
    frames = (encode_header(Header(Operation.STATUS, version=version)), b"\x90")
    with pytest.raises(RemoteProtocolError, match=f"version {version} is not spoken here: 1 to 1"):
        decode_header(frames)


@pytest.mark.parametrize("operation", [0, 15, 254, 256, (1 << 64) - 1])
def test_an_unknown_operation_is_refused_as_such(operation: int) -> None:
    """An operation that nobody knows is answered -3015."""
    frames = (encode_header(Header(operation)), b"\x90")
    with pytest.raises(RemoteProtocolError) as caught:
        decode(frames)
    assert caught.value.code is Code.UNKNOWN_OPERATION


def test_lists_that_belong_together_have_one_length() -> None:
    """Aligned lists of different lengths are refused, and the sentence names them."""
    frames = encode(Header(0), Confirm((1, 2), (3,)))
    with pytest.raises(RemoteProtocolError, match="records, generations of Confirm differ"):
        decode(frames)


def test_the_largest_batch_is_16384_keys() -> None:
    """A message may hold 16384 keys and not one more."""
    keys = tuple(b"%d" % number for number in range(1, MAX_KEYS + 1))
    arrives = decode(encode(Header(0), Lookup(keys))) == Lookup(keys)
    assert arrives
    with pytest.raises(RemoteProtocolError):
        decode(encode(Header(0), Lookup((*keys, b"one more"))))


def test_a_list_within_a_list_is_as_limited() -> None:
    """What lies within a list may not be longer either."""
    inner = (("counter", 1),) * MAX_KEYS
    arrives = decode(encode(Header(0), StatusReport((), ((1, inner),)))) == StatusReport((), ((1, inner),))
    assert arrives
    with pytest.raises(RemoteProtocolError):
        decode(encode(Header(0), StatusReport((), ((1, (*inner, inner[0])),))))


@pytest.mark.parametrize("letter", ["x", "\N{LATIN SMALL LETTER E WITH ACUTE}", "\N{SNOWMAN}"])
def test_a_text_may_be_as_long_as_its_shape_allows(letter: str) -> None:
    """Whatever text its shape allows arrives, and a longer one is refused, in any alphabet."""
    shape = PLANS[Operation.FAILURE].shapes[1]
    longest = letter * (MAX_TEXT // len(letter.encode()))
    assert shape.holds(longest)
    arrives = decode(encode(Header(0), Failure(-1, longest))) == Failure(-1, longest)
    assert arrives, letter
    assert not shape.holds(longest + letter)
    with pytest.raises(RemoteProtocolError):
        decode(encode(Header(0), Failure(-1, longest + letter)))


@pytest.mark.parametrize(
    "change",
    [
        lambda _: (),
        lambda frames: frames[:1],
        lambda frames: frames[:-1],
        lambda frames: (*frames, b""),
        lambda frames: (b"", *frames[1:]),
        lambda frames: (frames[0] + b"\x00", *frames[1:]),
        lambda frames: (bytes(MAX_HEADER_BYTES + 1), *frames[1:]),
        lambda frames: (msgpack.packb([Operation.PRESSURE, 2, 3]), *frames[1:]),
        lambda frames: (msgpack.packb([Operation.PRESSURE, 0, 0, 0, 0, 0, 0, 1, 0]), *frames[1:]),
        lambda frames: (msgpack.packb([Operation.PRESSURE, 0, 0, 0, 0, 0, -1, 1]), *frames[1:]),
        lambda frames: (msgpack.packb([Operation.PRESSURE, 0, 0, 0, 0, 0, True, 1]), *frames[1:]),
        lambda frames: (msgpack.packb([Operation.PRESSURE, 0, 0, 0, 0, 0, 1.0, 1]), *frames[1:]),
        lambda frames: (msgpack.packb("a header"), *frames[1:]),
        lambda frames: (frames[0], b"", *frames[2:]),
        lambda frames: (frames[0], msgpack.packb([1, 2, 3]), *frames[2:]),
        lambda frames: (frames[0], msgpack.packb([1, -2]), *frames[2:]),
        lambda frames: (frames[0], msgpack.packb({}), *frames[2:]),
        lambda frames: (frames[0], msgpack.packb(2), *frames[2:]),
        lambda frames: (frames[0], msgpack.packb([1, 2]) + b"\xc0", *frames[2:]),
        lambda frames: (frames[0], b"\xdd\xff\xff\xff\xff", *frames[2:]),
        lambda frames: (frames[0], b"\x91" * 4096, *frames[2:]),
        lambda frames: (frames[0], msgpack.packb([1, msgpack.Timestamp(1)]), *frames[2:]),
    ],
)
def test_what_is_not_a_message_is_refused(change: Callable[[Frames], Frames]) -> None:
    """A message with a frame missing, added, or not of its form is refused as the peer's fault."""
    frames = encode(Header(0), Pressure(1, 2, (7,), Raw(b"touched"), Raw(b"clocks")))
    with pytest.raises(RemoteProtocolError):
        decode(change(frames))


@pytest.mark.parametrize(
    "frames",
    [encode(Header(0), StatusQuery()), encode(Header(0), Hello(1, 2, 3, 4, 5))],
)
def test_a_message_without_raw_bytes_has_two_frames(frames: Frames) -> None:
    """A header and a body are all that most messages have."""
    assert len(frames) == 2


@pytest.mark.parametrize("count", [0, 1, 20])
def test_an_answer_whose_rows_are_packed_is_the_same_bytes(count: int) -> None:
    """What the meta service makes of packed rows is what anyone makes of the rows."""
    versions = tuple(ObjectVersion(1, 1 << 62, number, 0) for number in range(count))
    places = tuple((Location(0, number, 2),) * (number % 3) for number in range(count))
    codes, sizes, leased = (0,) * count, (4096,) * count, (1,) * count
    packed = PackedFound(
        [Code.OK] * count,
        [version.packed() for version in versions],
        list(sizes),
        list(leased),
        [msgpack.packb(row) for row in places],
        7,
    )
    assert encode(Header(0), packed) == encode(Header(0), Found(codes, versions, sizes, leased, places, 7))
