"""A client and a rank against answers that no honest service gives: each costs its own call, with a code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mmc.actors.client import asking, putting, reading
from mmc.actors.client.calls import Operation
from mmc.actors.contract import META, Send
from mmc.actors.link import Link
from mmc.errors import Code, told_code
from mmc.identifiers import LAST_EPOCH
from mmc.segments.extents import Extent, write_extent
from mmc.segments.layout import AT_RANK, AT_SERVE_UNTIL, AT_TERM
from mmc.wire import replies, requests
from mmc.wire.codec import Header, decode_body, decode_header, encode
from mmc.wire.operations import Message, PeerKind
from mmc.wire.sequence import Frames
from tests.conversation import CLIENT_LIMITS
from tests.fuzz.client_target import ClientScene
from tests.fuzz.rank_target import RankScene

_LARGEST = (1 << 64) - 1
Alter = Callable[[Message], Message]


class Altered(ClientScene):
    """A client whose services answer honestly but for what a test alters."""

    def __init__(self, alter: Alter) -> None:
        """``alter`` is handed every honest answer."""
        self._alter = alter
        super().__init__()

    def honest(self, message: Message) -> Message:
        """The altered answer."""
        return self._alter(super().honest(message))

    def outcome(self, operation: Operation[Any]) -> Any:  # noqa: ANN401 - whatever the operation returns
        """Carry an operation through."""
        call, effects = self.actor.begin(operation, self.now)
        self._take(effects)
        self.calls.append((call, 10.0))
        self._go_on()
        for _ in range(40):
            self.answer_all()
            self.pass_time(0.1)
        assert call.done
        return call.result()

    def put(self) -> Code:
        """The code of a put."""
        (code,) = self.outcome(putting.put(self.actor, [b"new"], [[memoryview(b"x")]], 1, (), 3.0))
        return Code(code)


def altering(kind: type[Message], **changes: object) -> Alter:
    """Answers of this kind have these fields instead of the honest ones."""

    def alter(answer: Message) -> Message:
        return replace(answer, **changes) if isinstance(answer, kind) else answer  # type: ignore[type-var]

    return alter


def test_the_scene_is_honest_unless_it_is_altered() -> None:
    """What the tests below change is what makes the difference."""
    scene = Altered(lambda answer: answer)
    assert scene.put() == Code.OK
    assert scene.outcome(asking.remove(scene.actor, [b"key"], 3.0)) == [Code.OK]


@pytest.mark.parametrize("number", [7, -2, -3012, 1 << 62])
def test_an_undocumented_code_is_a_fault_of_the_peer(number: int) -> None:
    """It becomes -1 wherever a code is told, for its key alone."""
    assert told_code(number) == Code.INTERNAL
    for kind, call in (
        (replies.Found, lambda actor: asking.locate(actor, [b"other"], 3.0)),
        (replies.Codes, lambda actor: asking.remove(actor, [b"other"], 3.0)),
    ):
        scene = Altered(altering(kind, codes=(number,)))
        assert scene.outcome(call(scene.actor)) == [Code.INTERNAL]
    assert Altered(altering(replies.Claimed, codes=(number,))).put() == Code.INTERNAL


@pytest.mark.parametrize("record", [12, 1 << 40, _LARGEST])
def test_a_place_that_is_no_record_is_not_looked_at(record: int) -> None:
    """Clients may claim any record: whoever is told of one that cannot be says that nobody can tell."""
    found = replies.Found((0,), ((1, 2, 3, 4),), (10,), (0,), (((0, record, 2),),), 1)
    scene = Altered(lambda answer: found if isinstance(answer, replies.Found) else answer)
    assert scene.outcome(asking.locate(scene.actor, [b"other"], 3.0)) == [Code.UNREACHABLE]


@pytest.mark.parametrize(
    "granted",
    [
        replies.Reserved((12,), (64,)),
        replies.Reserved((_LARGEST,), (64,)),
        replies.Reserved((1,), (0,)),
        replies.Reserved((), ()),
        replies.Reserved((1, 1), (64, 64)),
    ],
)
def test_a_grant_that_cannot_be_is_not_written_to(granted: replies.Reserved) -> None:
    """Records that are none, twice, too few or too small: the put fails, and the client goes on."""
    scene = Altered(lambda answer: granted if isinstance(answer, replies.Reserved) else answer)
    before = [bytes(scene.memory(rank)._bytes) for rank in (0, 1)]  # noqa: SLF001 - all of it
    assert scene.put() == Code.INTERNAL
    assert [bytes(scene.memory(rank)._bytes) for rank in (0, 1)] == before  # noqa: SLF001 - all of it


def test_a_row_that_cannot_be_has_no_slots_for_pins() -> None:
    """A view is refused with a code, and nothing is stored outside of the table of pins."""
    scene = Altered(altering(replies.Welcome, row=1 << 50))
    assert scene.outcome(reading.pin(scene.actor, b"key", 3.0)) == Code.NO_SPACE


@pytest.mark.parametrize("offset", [(1 << 18) - 60, 1 << 40, _LARGEST])
def test_a_record_whose_bytes_lie_elsewhere_is_not_written_to(offset: int) -> None:
    """Where a stranger has scribbled on the reservation table, a put is refused and writes nothing."""
    scene = Altered(lambda answer: answer)
    for segment in scene.segments.values():
        for record in range(segment.layout.records):
            write_extent(segment, record, Extent(offset, 64, 1))
    assert scene.outcome(putting.put(scene.actor, [b"new"], [[memoryview(b"x" * 64)]], 1, (), 3.0)) == [
        Code.NO_SUCH_RANK
    ]


def test_a_welcome_to_an_epoch_that_cannot_be_is_not_heard() -> None:
    """Whoever believed it would hear no honest service any more."""
    link = Link(META, 7, PeerKind.CLIENT, CLIENT_LIMITS, lambda: 1, lambda *_: None, Code.META_UNREACHABLE)
    link.greet(1.0)
    (hello,) = link.take_effects()
    assert isinstance(hello, Send)
    number = decode_header(hello.frames).sequence
    welcome = replies.Welcome(5, 1, 16, 0, "", 1, ())
    link.receive(encode(Header(0, 5, number, epoch=LAST_EPOCH + 1), welcome), 1.0)
    assert link.epoch == 0
    link.receive(encode(Header(0, 5, number, epoch=1), welcome), 1.0)
    assert link.epoch == 1


class AlteredRank(RankScene):
    """A rank whose meta service answers honestly but for what a test alters."""

    alter: Alter = staticmethod(lambda answer: answer)

    def honest(self, header: Header, message: Message) -> Frames:
        """The altered answer."""
        frames = super().honest(header, message)
        told = decode_header(frames)
        return encode(told, self.alter(decode_body(told, frames)))


def test_a_rank_is_not_told_to_serve_beyond_all_time() -> None:
    """The longest time that fits is stored, and the rank goes on."""
    scene = AlteredRank()
    scene.alter = altering(replies.Pulse, serve_ms=_LARGEST)
    scene.pass_time(1.0)
    scene.answer_all()
    words = scene.actor.keeper.segment.words
    assert scene.now * 1000 < words[AT_SERVE_UNTIL] < _LARGEST


def test_a_number_that_no_rank_has_is_not_taken() -> None:
    """The rank asks again until it is admitted under one that it can have."""
    scene = AlteredRank()
    scene.alter = altering(replies.Admitted, rank=_LARGEST)
    scene.receive(META, encode(Header(0, 9, 0, epoch=2), replies.Codes(())))
    scene.actor._join(scene.now)  # noqa: SLF001 - as whenever it is not known any more
    for _ in range(3):
        scene.pass_time(1.0)
        scene.answer_all()
    assert scene.actor.term == 1 << 32 | 1
    scene.alter = lambda answer: answer
    scene.pass_time(1.0)
    scene.answer_all()
    assert scene.actor.term > 1 << 32 | 1
    assert scene.actor.keeper.segment.words[AT_RANK] == 1


def test_a_rank_comes_back_under_its_own_word_for_its_term() -> None:
    """What a stranger stores in the superblock is not believed by the rank that wrote it."""
    scene = AlteredRank()
    scene.memory.scribble(AT_TERM, _LARGEST)
    joins: list[requests.Join] = []

    def hear(header: Header, message: Message) -> Frames:
        if isinstance(message, requests.Join):
            joins.append(message)
        return RankScene.honest(scene, header, message)

    scene.honest = hear  # type: ignore[method-assign] # to hear what is asked
    scene.actor._join(scene.now)  # noqa: SLF001 - as whenever it is not known any more
    scene.pass_time(0.0)
    scene.answer_all()
    assert [join.term for join in joins] == [1 << 32 | 1]
    assert scene.actor.keeper.segment.term == scene.actor.term
