"""A rank on its way into the cluster."""

import itertools

from mmc.actors.contract import EVENTS, META, Effect, Send
from mmc.actors.local import LocalActor
from mmc.config import load_config
from mmc.errors import Code
from mmc.identifiers import ANY_RANK
from mmc.wire.codec import Header, decode_body, decode_header, encode
from mmc.wire.operations import WIRE_VERSION, CommandKind, Message
from mmc.wire.replies import Admitted, Codes, Commands, Failure, Welcome
from mmc.wire.requests import Acknowledge, Hello, Join, Report
from tests.heap import BOOT, IDENTITY, TERM, heap_segment
from tests.unit.actors.test_rank_desk import Everybody

SESSION = 5


def said(effects: list[Effect]) -> list[tuple[int, Message]]:
    """What the rank tells the meta service, with its numbers."""
    headers = [
        (decode_header(effect.frames), effect.frames) for effect in effects if isinstance(effect, Send)
    ]
    return [(header.sequence, decode_body(header, frames)) for header, frames in headers]


def answer(actor: LocalActor, number: int, reply: Message, session: int = SESSION) -> list[Effect]:
    """The meta service answers."""
    return actor.receive(META, encode(Header(0, session, number, epoch=1), reply), 1.0)


def new_rank() -> LocalActor:
    """A rank that wants any number."""
    config = load_config()
    numbers = itertools.count(1000)
    wanted = Join(ANY_RANK, 0, IDENTITY, BOOT, 65536, 8, "/p", "u", 0, 0)
    return LocalActor(
        heap_segment(), config.local, config.wire, config.client, lambda: next(numbers), Everybody(), wanted
    )


def test_a_rank_obeys_when_its_report_was_taken_up() -> None:
    """What went before would be listed by a part of the report that arrives after the acknowledgement."""
    actor = new_rank()
    ((number, _),) = said(actor.start(1.0))
    effects = answer(actor, number, Welcome(SESSION, WIRE_VERSION, 16, 0, "", 1, ()), session=0)
    ((number, _), *_) = said(effects)
    effects = answer(actor, number, Admitted(3, TERM, False, 1000, 90, 80))  # noqa: FBT003 - it wipes nothing
    ((number, report), *_) = said(effects)
    assert isinstance(report, Report)
    removal = Commands(3, TERM, 1, (1,), (CommandKind.REMOVE,), (0,), (2,), ((1, 7, 1, 0),), (0,))
    event = encode(Header(0, epoch=1), removal)
    assert not said(actor.receive(EVENTS, event, 1.0))
    answer(actor, number, Codes(()))
    ((_, acknowledgement),) = said(actor.receive(EVENTS, event, 1.0))
    assert isinstance(acknowledgement, Acknowledge)


def test_a_rank_whose_number_was_taken_while_it_was_given_up_takes_any() -> None:
    """A rank that need not have a certain number does not ask for ever for the one it had."""
    actor = new_rank()
    ((number, hello),) = said(actor.start(1.0))
    assert isinstance(hello, Hello)
    asked: list[int] = []
    effects = answer(actor, number, Welcome(SESSION, WIRE_VERSION, 16, 0, "", 1, ()), session=0)
    for reply in (
        Admitted(3, TERM, False, 1000, 90, 80),  # noqa: FBT003 - it wipes nothing
        Failure(int(Code.UNKNOWN_SEQUENCE), ""),
        Failure(int(Code.EXISTS), "taken"),
    ):
        effects += actor.expire(3.0) if not effects else []
        ((number, message), *_) = said(effects)
        while isinstance(message, Hello | Report):
            told = Welcome(SESSION, WIRE_VERSION, 16, 0, "", 1, ()) if isinstance(message, Hello) else reply
            effects = answer(actor, number, told, 0 if isinstance(message, Hello) else SESSION)
            ((number, message), *_) = said(effects)
        assert isinstance(message, Join)
        asked.append(message.rank)
        effects = answer(actor, number, reply)
    ((_, message), *_) = said(actor.expire(5.0))
    assert isinstance(message, Join)
    assert [*asked, message.rank] == [ANY_RANK, 3, 3, ANY_RANK]
