"""What a client makes of the meta service's word where it cannot look for itself."""

import itertools

import pytest

from mmc.actors.client import ClientActor
from mmc.actors.client.asking import locate
from mmc.actors.client.calls import Call
from mmc.actors.client.far import Far
from mmc.actors.contract import META, Effect, Send
from mmc.errors import Code
from mmc.identifiers import Member
from mmc.segments.layout import AT_DEAD
from mmc.segments.reader import Hit
from mmc.wire.codec import Header, decode_body, decode_header, encode
from mmc.wire.operations import WIRE_VERSION, Message
from mmc.wire.replies import Found, Membership, Welcome
from mmc.wire.requests import Hello, Lookup, MembersQuery
from tests.conversation import CLIENT_LIMITS
from tests.heap import BOOT, IDENTITY, TERM, heap_segment

SESSION = 5


def answer(message: Message, members: tuple[Member, ...], view: int) -> Message:
    """A meta service that knows of one claimed key, in this view of the membership."""
    match message:
        case Hello():
            return Welcome(SESSION, WIRE_VERSION, 16, 0, "", 1, members)
        case Lookup():
            return Found((int(Code.WRONG_STATE),), ((1, 2, 3, 4),), (10,), (0,), (((0, 1, 2),),), view)
        case MembersQuery():
            return Membership(1, 0, members, ())
        case _:
            raise AssertionError(message)


def converse(
    actor: ClientActor,
    effects: list[Effect],
    call: Call[list[Hit | Far | Code]] | None = None,
    members: tuple[Member, ...] = (),
    view: int = 1,
) -> None:
    """Answer whatever is asked until nothing is."""
    while effects:
        effect = effects.pop(0)
        if isinstance(effect, Send):
            header = decode_header(effect.frames)
            reply = answer(decode_body(header, effect.frames), members, view)
            session = 0 if isinstance(reply, Welcome) else SESSION
            frames = encode(Header(0, session, header.sequence, epoch=1), reply)
            effects += actor.receive(META, frames, 1.0)
        if not effects and call is not None and not call.done and call.can_advance:
            effects += actor.advance(call, 1.0)


def test_a_segment_that_was_given_up_shows_nobody_that_a_key_is_missing() -> None:
    """What is claimed there may have been published: -3014, until the rank is known to be gone."""
    segment = heap_segment()
    segment.words[AT_DEAD] = 1
    member = Member(0, TERM, 1, IDENTITY, BOOT, 65536, "/rank", "u")
    numbers = itertools.count(1)
    actor = ClientActor(7, CLIENT_LIMITS, 0, lambda: next(numbers), lambda _: segment)
    converse(actor, actor.start(1.0), members=(member,))
    assert list(actor.ranks) == [0]
    call, effects = actor.begin(locate(actor, [b"key"], 1.0), 1.0)
    converse(actor, effects, call, (member,))
    assert call.done
    assert call.result() == [Code.UNREACHABLE]


@pytest.mark.parametrize(("view", "code"), [(1, Code.NOT_FOUND), (2, Code.UNREACHABLE)])
def test_a_client_that_knows_an_older_membership_shows_nobody_that_a_key_is_missing(
    view: int, code: Code
) -> None:
    """The rank may have another segment by now: in that the key may have been published."""
    member = Member(0, TERM, 1, IDENTITY, BOOT, 65536, "/rank", "u")
    numbers = itertools.count(1)
    segment = heap_segment()
    actor = ClientActor(7, CLIENT_LIMITS, 0, lambda: next(numbers), lambda _: segment)
    converse(actor, actor.start(1.0), members=(member,))
    call, effects = actor.begin(locate(actor, [b"key"], 1.0), 1.0)
    converse(actor, effects, call, (member,), view)
    assert call.done
    assert call.result() == [code]


def test_what_is_claimed_out_of_sight_may_be_there_already() -> None:
    """A put may have been acknowledged whose rank has not said so yet: only its record tells, so -3014."""
    numbers = itertools.count(1)
    actor = ClientActor(7, CLIENT_LIMITS, 0, lambda: next(numbers), lambda _: None)
    converse(actor, actor.start(1.0))
    call, effects = actor.begin(locate(actor, [b"key"], 5.0), 1.0)
    converse(actor, effects, call)
    assert call.done
    assert call.result() == [Code.UNREACHABLE]
