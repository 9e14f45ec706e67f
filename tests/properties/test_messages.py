"""Encoding and decoding: whatever is sent arrives, and whatever arrives is a message or refused."""

from dataclasses import replace

import msgpack
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from mmc.errors import Code, RemoteProtocolError
from mmc.wire.codec import (
    PLANS,
    Header,
    decode_body,
    decode_header,
    encode,
    encode_header,
)
from mmc.wire.operations import WIRE_VERSION, Message
from mmc.wire.sequence import Frames
from tests.effort import share, times
from tests.strategies import KINDS, any_messages, headers, messages, words

MISALIGNABLE = [kind for kind in KINDS if len(kind.aligned) > 1]

packable: SearchStrategy[object] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        words,
        st.integers(-100, -1),
        st.floats(),
        st.text(max_size=8),
        st.binary(max_size=8),
    ),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=12,
)
"""Whatever msgpack can say."""


def decode(frames: Frames) -> tuple[Header, Message] | RemoteProtocolError:
    """What a receiver makes of frames: a message, or the one error that a peer can cause."""
    try:
        header = decode_header(frames)
        return header, decode_body(header, frames)
    except RemoteProtocolError as error:
        return error


def assert_valid_or_refused(frames: Frames) -> None:
    """A message that is accepted is one that could have been sent; all else is refused."""
    outcome = decode(frames)
    if not isinstance(outcome, RemoteProtocolError):
        header, message = outcome
        assert decode(encode(header, message)) == (header, message)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@share(4)
@given(data=st.data())
def test_every_message_arrives_as_it_was_sent(kind: type[Message], data: st.DataObject) -> None:
    """Every message of every kind, with any header, is decoded to itself."""
    message = data.draw(messages(kind))
    header = data.draw(headers)
    frames = encode(header, message)
    assert decode(frames) == (header._replace(operation=kind.operation), message)
    assert all(type(frame) is bytes for frame in frames)


@times(2)
@given(st.lists(st.binary(max_size=150), max_size=4).map(tuple))
def test_arbitrary_bytes_are_refused(frames: Frames) -> None:
    """Bytes that no peer of ours sends raise nothing but a protocol error."""
    assert_valid_or_refused(frames)


@given(packable, packable, st.lists(st.binary(max_size=20), max_size=2))
def test_arbitrary_values_are_refused(head: object, body: object, raws: list[bytes]) -> None:
    """Well-formed msgpack that is not a message raises nothing but a protocol error."""
    assert_valid_or_refused((msgpack.packb(head), msgpack.packb(body), *raws))


@times(6)
@given(
    st.sampled_from(sorted(PLANS)),
    st.binary(max_size=60) | packable.map(msgpack.packb) | st.lists(packable).map(msgpack.packb),
    st.lists(st.binary(max_size=20), max_size=3),
)
def test_arbitrary_bodies_are_refused(operation: int, body: bytes, raws: list[bytes]) -> None:
    """A valid header before an arbitrary body raises nothing but a protocol error."""
    assert_valid_or_refused((encode_header(Header(operation)), body, *raws))


@st.composite
def mutated(draw: DrawFn) -> Frames:
    """The frames of a valid message, damaged in up to three places."""
    frames = list(encode(draw(headers), draw(any_messages)))
    for _ in range(draw(st.integers(1, 3))):
        which = draw(st.integers(0, len(frames) - 1))
        frame = frames[which]
        at = draw(st.integers(0, len(frame)))
        match draw(st.sampled_from(["flip", "cut", "insert", "drop", "repeat", "swap"])):
            case "flip" if at < len(frame):
                flipped = frame[at] ^ draw(st.integers(1, 255))
                frames[which] = frame[:at] + bytes([flipped]) + frame[at + 1 :]
            case "cut":
                frames[which] = frame[:at]
            case "insert":
                frames[which] = frame[:at] + draw(st.binary(min_size=1, max_size=4)) + frame[at:]
            case "drop" if len(frames) > 1:
                del frames[which]
            case "repeat":
                frames.insert(which, frame)
            case _:
                frames[which], frames[0] = frames[0], frames[which]
    return tuple(frames)


@times(6)
@given(mutated())
def test_damaged_messages_are_valid_or_refused(frames: Frames) -> None:
    """A damaged message is another valid message, or raises nothing but a protocol error."""
    assert_valid_or_refused(frames)


@given(words, any_messages)
def test_other_wire_versions_are_refused(version: int, message: Message) -> None:
    """A message of a wire version that is not spoken is refused before its body is looked at."""
    assume(version != WIRE_VERSION)
    _, *rest = encode(Header(0), message)
    outcome = decode((encode_header(Header(message.operation, version=version)), *rest))
    assert isinstance(outcome, RemoteProtocolError)
    assert outcome.code is Code.INVALID_ARGUMENT


@given(words, any_messages)
def test_other_operations_are_unknown(operation: int, message: Message) -> None:
    """A message of an operation that nobody knows is refused with -3015, whatever its body."""
    assume(operation not in PLANS)
    _, *rest = encode(Header(0), message)
    outcome = decode((encode_header(Header(operation)), *rest))
    assert isinstance(outcome, RemoteProtocolError)
    assert outcome.code is Code.UNKNOWN_OPERATION


@pytest.mark.parametrize("kind", MISALIGNABLE, ids=lambda kind: kind.__name__)
@share(4)
@given(data=st.data())
def test_misaligned_lists_are_refused(kind: type[Message], data: st.DataObject) -> None:
    """A message whose lists belong together and differ in length is refused."""
    message = data.draw(messages(kind))
    name = data.draw(st.sampled_from(kind.aligned))
    values = getattr(message, name)
    assume(values)
    shortened = replace(message, **{name: values[:-1]})  # type: ignore[type-var] # all are dataclasses
    outcome = decode(encode(Header(0), shortened))
    assert isinstance(outcome, RemoteProtocolError)
    assert "differ in length" in outcome.sentence


@given(packable)
def test_shapes_judge_whatever_was_decoded(value: object) -> None:
    """A shape answers yes or no to any value that msgpack can hold, and never raises."""
    decoded = msgpack.unpackb(msgpack.packb(value), use_list=False)
    for plan in PLANS.values():
        assert all(type(shape.holds(decoded)) is bool for shape in plan.shapes)
