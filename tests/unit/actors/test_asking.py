"""What a client makes of the meta service's word where it cannot look for itself."""

import itertools

from mmc.actors.client import ClientActor
from mmc.actors.client.asking import locate
from mmc.actors.client.calls import Call
from mmc.actors.contract import META, Effect, Send
from mmc.errors import Code
from mmc.segments.reader import Hit
from mmc.wire.codec import Header, decode_body, decode_header, encode
from mmc.wire.operations import WIRE_VERSION, Message
from mmc.wire.replies import Found, Membership, Welcome
from mmc.wire.requests import Hello, Lookup, MembersQuery
from tests.conversation import CLIENT_LIMITS

SESSION = 5


def answer(message: Message) -> Message:
    """A meta service that knows of one claimed key, on a rank of another host."""
    match message:
        case Hello():
            return Welcome(SESSION, WIRE_VERSION, 16, 0, "", 1, ())
        case Lookup():
            return Found((int(Code.WRONG_STATE),), ((1, 2, 3, 4),), (10,), (0,), (((0, 1, 2),),), 1)
        case MembersQuery():
            return Membership(1, ())
        case _:
            raise AssertionError(message)


def converse(actor: ClientActor, effects: list[Effect], call: Call[list[Hit | Code]] | None = None) -> None:
    """Answer whatever is asked until nothing is."""
    while effects:
        effect = effects.pop(0)
        if isinstance(effect, Send):
            header = decode_header(effect.frames)
            reply = answer(decode_body(header, effect.frames))
            session = 0 if isinstance(reply, Welcome) else SESSION
            frames = encode(Header(0, session, header.sequence, epoch=1), reply)
            effects += actor.receive(META, frames, 1.0)
        if not effects and call is not None and not call.done and call.can_advance:
            effects += actor.advance(call, 1.0)


def test_what_is_claimed_out_of_sight_may_be_there_already() -> None:
    """A put may have been acknowledged whose rank has not said so yet: only its record tells, so -3014."""
    numbers = itertools.count(1)
    actor = ClientActor(7, CLIENT_LIMITS, 0, lambda: next(numbers), lambda _: None)
    converse(actor, actor.start(1.0))
    call, effects = actor.begin(locate(actor, [b"key"], 5.0), 1.0)
    converse(actor, effects, call)
    assert call.done
    assert call.result() == [Code.UNREACHABLE]
