"""Messages that no honest peer sends: valid ones with wild fields, damaged ones, and mere bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.wire.codec import PLANS, Header, encode
from mmc.wire.shapes import Raw

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mmc.wire.operations import Message
    from mmc.wire.sequence import Frames
    from tests.fuzz.choices import Choices, Known

_CODES = (0, -1, -3000, -3003, -3004, -3007, -3009, -3010, -3014, -3016, -3018, -3101, -3104, 7, 1 << 62)
_TEXTS = ("", "u", "tcp://127.0.0.1:1", "a\0b", "x" * 300, "\u20ac", "/dev/shm/../etc")
Draw = "Callable[[Choices, Known], object]"


def _text(choices: Choices, _known: Known) -> str:
    return choices.one_of(_TEXTS)


def _code(choices: Choices, _known: Known) -> int:
    return choices.one_of(_CODES)


def _word(choices: Choices, known: Known) -> int:
    return choices.word(known)


def _words(count: int) -> Callable[[Choices, Known], tuple[int, ...]]:
    return lambda choices, known: tuple(choices.word(known) for _ in range(count))


def _some(item: Callable[[Choices, Known], object]) -> Callable[[Choices, Known], object]:
    return lambda choices, known: tuple(item(choices, known) for _ in range(choices.count()))


def _counter(choices: Choices, known: Known) -> tuple[str, int]:
    return choices.one_of(("gets", "hits", "x")), choices.word(known)


def _member(choices: Choices, known: Known) -> tuple[object, ...]:
    return (*_words(6)(choices, known), _text(choices, known), _text(choices, known))


_SCALARS: dict[str, Callable[[Choices, Known], object]] = {
    "uint": _word,
    "bool": lambda choices, _: bool(choices.byte() & 1),
    "code": _code,
    "text": _text,
    "raw frame": lambda choices, _: Raw(choices.raw(4 * choices.count())),
}
_ITEMS: dict[str, Callable[[Choices, Known], object]] = {
    "uint list": _word,
    "code list": _code,
    "key list": lambda choices, known: choices.key(known),
    "list of lists of (rank, record, generation)": _some(_words(3)),
    "list of (epoch, client, counter, position)": _words(4),
    "list of (rank, term)": _words(2),
    "list of members": _member,
    "list of (name, uint)": _counter,
    "list of (rank, list of (name, uint))": lambda choices, known: (
        choices.word(known),
        _some(_counter)(choices, known),
    ),
}


def draw_message(choices: Choices, known: Known, kind: type[Message]) -> Message:
    """A message of a kind with whatever in its fields, lists that belong together of one length or not."""
    plan = PLANS[kind.operation]
    common = choices.count()
    is_uneven = choices.is_rare(16)
    values: list[object] = []
    for name, shape in zip(plan.names, plan.shapes, strict=True):
        if shape.name in _SCALARS:
            values.append(_SCALARS[shape.name](choices, known))
            continue
        length = common if name in kind.aligned and not is_uneven else choices.count()
        values.append(tuple(_ITEMS[shape.name](choices, known) for _ in range(length)))
    return kind(*values)


def draw_header(choices: Choices, known: Known) -> Header:
    """A header of any numbers, of our wire version unless it is rare."""
    numbers = [choices.word(known) for _ in range(6)]
    return Header(0, *numbers, *((choices.byte(),) if choices.is_rare(16) else ()))


def damage(choices: Choices, frames: Frames) -> Frames:
    """The same frames, flipped, cut, longer, fewer, repeated or in another order."""
    damaged = list(frames)
    for _ in range(1 + choices.below(3)):
        which = choices.below(len(damaged))
        frame = damaged[which]
        at = choices.below(len(frame) + 1)
        match choices.below(6):
            case 0 if at < len(frame):
                damaged[which] = frame[:at] + bytes([frame[at] ^ (choices.byte() or 1)]) + frame[at + 1 :]
            case 1:
                damaged[which] = frame[:at]
            case 2:
                damaged[which] = frame[:at] + choices.raw(4) + frame[at:]
            case 3 if len(damaged) > 1:
                del damaged[which]
            case 4:
                damaged.insert(which, frame)
            case _:
                damaged[which], damaged[0] = damaged[0], damaged[which]
    return tuple(damaged)


def draw_frames(choices: Choices, known: Known, kinds: Sequence[type[Message]], header: Header) -> Frames:
    """Frames of one of these kinds under this header; sometimes damaged, and sometimes mere bytes."""
    if choices.is_rare(16):
        return tuple(choices.raw(choices.below(12)) for _ in range(choices.count()))
    frames = encode(header, draw_message(choices, known, choices.one_of(kinds)))
    return damage(choices, frames) if choices.is_rare(8) else frames
