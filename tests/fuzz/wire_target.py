"""Frames that arrive: each is a message that could have been sent, or refused with the one error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.errors import RemoteProtocolError
from mmc.wire.codec import PLANS, Header, decode_body, decode_header, encode, encode_header
from tests.fuzz.choices import Choices, Known
from tests.fuzz.hostile_frames import draw_frames, draw_header
from tests.strategies import KINDS

if TYPE_CHECKING:
    from mmc.wire.operations import Message
    from mmc.wire.sequence import Frames

_OPERATIONS = tuple(sorted(PLANS))


def run(data: bytes) -> None:
    """Decode what the bytes stand for; what is taken for a message is encoded, and decoded to itself."""
    choices = Choices(data)
    match choices.below(4):
        case 0:
            frames: Frames = tuple(choices.raw(choices.byte()) for _ in range(1 + choices.count()))
        case 1:
            header = Header(choices.one_of(_OPERATIONS))
            frames = (encode_header(header), choices.raw(1 << 16))
        case 2:
            header = Header(choices.one_of(_OPERATIONS))
            frames = (encode_header(header), choices.raw(choices.byte()), choices.raw(8), choices.raw(8))
        case _:
            known = Known(_OPERATIONS, (b"key",))
            frames = draw_frames(choices, known, KINDS, draw_header(choices, known))
    judged = _decoded(frames)
    if judged is not None:
        again = encode(*judged)
        assert _decoded(again) == judged


def _decoded(frames: Frames) -> tuple[Header, Message] | None:
    try:
        header = decode_header(frames)
        return header, decode_body(header, frames)
    except RemoteProtocolError:
        return None
