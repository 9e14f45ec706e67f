"""Messages to frames and back: ``[header][body][raw ...]``, header and body in msgpack.

Whatever bytes arrive, :func:`decode_header` and :func:`decode_body` return a valid message or raise
:class:`~mmc.errors.RemoteProtocolError` (an unknown operation or version: its own code).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from dataclasses import fields
from operator import attrgetter, call, itemgetter
from typing import Any, NamedTuple, get_type_hints

import msgpack

from mmc.errors import Code, RemoteProtocolError
from mmc.identifiers import Member
from mmc.wire import blocks, replies, requests
from mmc.wire.operations import OLDEST_VERSION, WIRE_VERSION, Message
from mmc.wire.sequence import Frames
from mmc.wire.shapes import MAX_KEYS, MAX_TEXT, Shape

RETRY = 1
"""Header flag: this number was sent before."""

MAX_HEADER_BYTES = 128
_HEADER_FIELDS = 8
_INTEGERS = {int}
_PACKER = msgpack.Packer()
"""One for all threads, since it packs under the interpreter's lock: each takes 256 KiB when it is made."""
_FOUND_FIELDS: bytes = _PACKER.pack_array_header(6)


class Header(NamedTuple):
    """What precedes every message.

    ``deadline_ms`` is what the sender has left; ``epoch`` the receiver's, as far as known.
    """

    operation: int
    session: int = 0
    sequence: int = 0
    flags: int = 0
    epoch: int = 0
    deadline_ms: int = 0
    acknowledged_below: int = 0
    version: int = WIRE_VERSION


class _Plan(NamedTuple):
    """How one kind of message is taken apart, and built from its decoded fields.

    ``raw`` says of each field whether it travels in a frame of its own; ``lists`` takes those fields whose
    lists have one length.
    """

    kind: type[Message]
    names: tuple[str, ...]
    values_of: Callable[[Message], tuple[object, ...]]
    shapes: tuple[Shape, ...]
    tests: tuple[Callable[[object], bool], ...]
    raw: tuple[bool, ...]
    raw_count: int
    members_at: int
    lists: Callable[[Sequence[Any]], tuple[Sized, ...]] | None


def _plan(kind: type[Message]) -> _Plan:
    hints = get_type_hints(kind, include_extras=True)
    names = tuple(field.name for field in fields(kind))  # type: ignore[arg-type] # all are dataclasses
    shapes = tuple(hints[name].__metadata__[0] for name in names)
    raw = tuple(shape.name == "raw frame" for shape in shapes)
    members_at = next((i for i, s in enumerate(shapes) if s.name == "list of members"), -1)
    lists = itemgetter(*map(names.index, kind.aligned)) if len(kind.aligned) > 1 else None
    tests = tuple(shape.holds for shape in shapes)
    return _Plan(kind, names, _getter(names), shapes, tests, raw, sum(raw), members_at, lists)


def _getter(names: tuple[str, ...]) -> Callable[[Message], tuple[object, ...]]:
    """The values of these attributes; of one alone ``attrgetter`` makes no tuple, and of none nothing."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda message: tuple(getattr(message, name) for name in names)


PLANS: dict[int, _Plan] = {
    kind.operation: _plan(kind)
    for kind in (
        *requests.REQUESTS_TO_META,
        *requests.REQUESTS_TO_RANK,
        *replies.REPLIES,
        *replies.EVENTS,
        *blocks.REQUESTS_TO_DATA,
        *blocks.REPLIES_OF_DATA,
    )
}


def encode(header: Header, message: Message) -> Frames:
    """The frames of a message; the operation is taken from the message."""
    return (_pack((message.operation, *header[1:])), *encode_body(message))


def encode_body(message: Message) -> Frames:
    """The frames behind the header."""
    if type(message) is replies.PackedFound:
        return (_found(message),)
    plan = PLANS[message.operation]
    values = plan.values_of(message)
    if not plan.raw_count:
        return (_pack(values),)
    raws = tuple(value for value, raw in zip(values, plan.raw, strict=True) if raw)
    packed = _pack(tuple(value for value, raw in zip(values, plan.raw, strict=True) if not raw))
    return (packed, *raws)  # type: ignore[arg-type] # the shape of these fields is bytes


def _found(found: replies.PackedFound) -> bytes:
    """The body of a ``Found``; the items of two of its lists are packed already."""
    pack, row_count = _PACKER.pack, _PACKER.pack_array_header(len(found.codes))
    return b"".join(
        (
            _FOUND_FIELDS,
            pack(found.codes),
            row_count,
            *found.versions,
            pack(found.sizes),
            pack(found.leased),
            row_count,
            *found.places,
            pack(found.view),
        )
    )


def encode_header(header: Header) -> bytes:
    """The first frame alone."""
    return _pack(header)


def _pack(values: Sequence[object]) -> bytes:
    packed = _PACKER.pack(values)
    assert isinstance(packed, bytes)
    return packed


def decode_header(frames: Sequence[bytes]) -> Header:
    """The header of arriving frames.

    Raises:
        RemoteProtocolError: not a header, or (also -3000) a wire version that is not spoken.
    """
    if not frames or len(frames[0]) > MAX_HEADER_BYTES:
        raise RemoteProtocolError("a message begins with a header frame of at most 128 bytes")
    values = _unpack(frames[0], _HEADER_FIELDS)
    if type(values) is not tuple or len(values) != _HEADER_FIELDS:
        raise RemoteProtocolError(f"a header has {_HEADER_FIELDS} fields")
    if set(map(type, values)) != _INTEGERS or min(values) < 0:
        raise RemoteProtocolError("header fields are unsigned integers")
    header = Header._make(values)
    if not OLDEST_VERSION <= header.version <= WIRE_VERSION:
        raise RemoteProtocolError(
            f"wire version {header.version} is not spoken here: {OLDEST_VERSION} to {WIRE_VERSION}"
        )
    return header


def decode_body(header: Header, frames: Sequence[bytes]) -> Message:
    """The message behind a header.

    Raises:
        RemoteProtocolError: the operation is unknown (-3015), or the body is not of its form.
    """
    plan = PLANS.get(header.operation)
    if plan is None:
        raise RemoteProtocolError(f"operation {header.operation} is unknown", Code.UNKNOWN_OPERATION)
    if len(frames) != 2 + plan.raw_count:
        raise RemoteProtocolError(f"{plan.kind.__name__} has {2 + plan.raw_count} frames")
    values: Any = _unpack(frames[1], MAX_KEYS)
    if type(values) is not tuple or len(values) != len(plan.names) - plan.raw_count:
        raise RemoteProtocolError(f"{plan.kind.__name__} has {len(plan.names)} fields")
    if plan.raw_count:
        values = _with_raw(values, plan, frames[2:])
    if not all(map(call, plan.tests, values)):
        raise _not_of_its_form(plan, values)
    if plan.lists is not None and len(set(map(len, plan.lists(values)))) > 1:
        lists = ", ".join(plan.kind.aligned)
        raise RemoteProtocolError(f"the lists {lists} of {plan.kind.__name__} differ in length")
    if plan.members_at >= 0:
        members = tuple(map(Member._make, values[plan.members_at]))
        values = (*values[: plan.members_at], members, *values[plan.members_at + 1 :])
    return plan.kind(*values)


def _not_of_its_form(plan: _Plan, values: Sequence[object]) -> RemoteProtocolError:
    name, shape = next(
        (name, shape.name)
        for name, shape, value in zip(plan.names, plan.shapes, values, strict=True)
        if not shape.holds(value)
    )
    return RemoteProtocolError(f"{plan.kind.__name__}.{name} is not of shape {shape}")


def _with_raw(values: tuple[Any, ...], plan: _Plan, raws: Sequence[bytes]) -> tuple[Any, ...]:
    """The fields in their order, from those of the body and those in frames of their own."""
    packed, separate = iter(values), iter(raws)
    return tuple(next(separate) if raw else next(packed) for raw in plan.raw)


def _unpack(frame: bytes, longest: int) -> object:
    try:
        return msgpack.unpackb(
            frame,
            use_list=False,
            max_array_len=longest,
            max_map_len=0,
            max_ext_len=0,
            max_str_len=MAX_TEXT,
            max_bin_len=MAX_TEXT,
        )
    except (ValueError, TypeError, RecursionError) as reason:
        raise RemoteProtocolError(f"not msgpack: {reason}") from None
