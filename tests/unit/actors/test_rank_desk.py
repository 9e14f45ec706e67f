"""A rank's desk: whom it lets in, and what it says when it is about to go."""

import itertools
from collections.abc import Sequence

from mmc.actors.contract import Send
from mmc.actors.local import LocalActor
from mmc.config import load_config
from mmc.errors import Code
from mmc.identifiers import ANY_RANK
from mmc.wire.codec import Header, decode_body, decode_header, encode
from mmc.wire.operations import Message, PeerKind
from mmc.wire.replies import Codes, Failure, Reserved, Welcome
from mmc.wire.requests import Hello, Join, KeepAlive, Pin, Reserve, Return, Unpin
from tests.heap import BOOT, IDENTITY, heap_segment

ROUTE = b"client"


class Everybody:
    """A watch under which all clients live."""

    def adopt(self, client: int) -> bool:
        """It lives."""
        return client > 0

    def is_dead(self, client: int) -> bool:
        """It lives."""
        return client <= 0

    def forget(self, client: int) -> None:
        """Nothing is kept."""


class Desk:
    """A rank's actor, asked by hand."""

    def __init__(self) -> None:
        config = load_config()
        numbers = itertools.count(1000)
        wanted = Join(ANY_RANK, 0, IDENTITY, BOOT, 65536, 8, "/p", "u", 0, 0)
        self.actor = LocalActor(
            heap_segment(),
            config.local,
            config.wire,
            config.client,
            lambda: next(numbers),
            Everybody(),
            wanted,
        )
        self.actor.start(0.0)
        self._numbers = itertools.count(1)
        self.session = 0

    def ask(self, message: Message, now: float = 1.0, number: int = 0) -> Message | None:
        """The answer, if there is one at once; ``number``: the request's, if not the next."""
        said = self.said(message, now, number)
        return said[0] if said else None

    def said(self, message: Message, now: float = 1.0, number: int = 0, below: int = 1) -> list[Message]:
        """All that is sent to the client; it has heard every answer ``below`` a number."""
        header = Header(0, self.session, number or next(self._numbers), 0, 1, 5000, below)
        return self.told_in(self.actor.receive(ROUTE, encode(header, message), now))

    def told_in(self, effects: Sequence[object]) -> list[Message]:
        """What is sent to the client."""
        sent = [effect.frames for effect in effects if isinstance(effect, Send) and effect.to == ROUTE]
        return [decode_body(decode_header(frames), frames) for frames in sent]

    def enter(self) -> None:
        """Open a session."""
        welcome = self.ask(Hello(7, PeerKind.CLIENT, 1, 1, IDENTITY))
        assert isinstance(welcome, Welcome)
        self.session = welcome.session
        self._numbers = itertools.count(1)


def test_whoever_means_another_segment_is_not_let_in() -> None:
    """An address may pass from a dead rank to another: reserves of this one are of no use to its clients."""
    desk = Desk()
    refused = desk.ask(Hello(7, PeerKind.CLIENT, 1, 1, IDENTITY + 1))
    assert isinstance(refused, Failure)
    assert refused.code == Code.NO_SUCH_RANK
    assert isinstance(desk.ask(Hello(7, PeerKind.CLIENT, 1, 1, IDENTITY)), Welcome)


def test_a_rank_that_stops_says_so() -> None:
    """-3003 to what waits for space, and to whatever comes after."""
    desk = Desk()
    desk.enter()
    assert isinstance(desk.ask(KeepAlive(())), Codes)
    assert isinstance(desk.ask(Reserve(1, 1, (60000,))), Message)
    assert desk.ask(Reserve(2, 1, (60000,))) is None
    (waiting,) = desk.told_in(desk.actor.leave(2.0))
    assert isinstance(waiting, Failure)
    assert waiting.code == Code.NOT_SERVING
    refused = desk.ask(KeepAlive(()))
    assert isinstance(refused, Failure)
    assert refused.code == Code.NOT_SERVING


def test_a_client_asks_for_pins_through_the_rank_s_slots_only() -> None:
    """A slot of the client's own, or of another row, answers -3000; so no pin is ever overwritten."""
    desk = Desk()
    desk.enter()
    for slot in (0, 2, 4):
        for message in (Pin((slot,), (0,), (0,)), Unpin((slot,))):
            refused = desk.ask(message)
            assert isinstance(refused, Failure)
            assert refused.code == Code.INVALID_ARGUMENT
    assert desk.ask(Pin((3,), (0,), (0,))) == Codes((int(Code.OK),))
    assert desk.ask(Pin((3,), (0,), (2,))) == Codes((int(Code.NOT_FOUND),))
    assert desk.ask(Unpin((3,))) == Codes((int(Code.OK),))


def test_a_pin_that_comes_after_its_end_is_none() -> None:
    """The network may turn them round; whoever asked for it is gone, and nobody would ever end it."""
    desk = Desk()
    desk.enter()
    early, late = 5, 6
    assert desk.ask(Unpin((3,)), number=late) == Codes((int(Code.OK),))
    assert desk.ask(Pin((3,), (0,), (0,)), number=early) == Codes((int(Code.NOT_FOUND),))
    assert desk.ask(Pin((3,), (0,), (0,)), number=late + 1) == Codes((int(Code.OK),))


def test_a_reserve_does_not_wait_where_nothing_could_come_after_it() -> None:
    """What its client holds idle may be what it lacks: -3003, and room for a return before it asks again."""
    desk = Desk()
    desk.enter()
    granted = desk.ask(Reserve(1, 1, (60000,)))
    assert isinstance(granted, Reserved)
    (record,) = granted.records
    waits = 2
    last = waits + load_config().wire.window_requests - 1
    assert desk.ask(Reserve(2, 1, (60000,)), number=waits) is None
    (_, refused) = desk.said(KeepAlive(()), number=last, below=waits)
    assert isinstance(refused, Failure)
    assert refused.code == Code.NOT_SERVING
    desk.said(Return((record,), (0,)), number=last + 1, below=last)
    (regranted,) = desk.said(Reserve(3, 1, (60000,)), number=last + 2, below=last)
    assert isinstance(regranted, Reserved)
