"""What a client makes of changes of the membership: it is told what is new since the view that it knows."""

import itertools

import pytest

from mmc.actors.client import ClientActor
from mmc.actors.contract import META, Effect, Send
from mmc.identifiers import Member
from mmc.wire.codec import Header, decode_body, decode_header, encode
from mmc.wire.operations import WIRE_VERSION, Message
from mmc.wire.replies import Membership, Welcome
from mmc.wire.requests import MembersQuery
from tests.conversation import CLIENT_LIMITS

SESSION = 5


def member(rank: int, state: int = 1) -> Member:
    """A rank of another host."""
    return Member(rank, 7, state, 100 + rank, 3, 64, f"/p{rank}", "u")


class Told:
    """A client, and a meta service that is spoken by hand."""

    def __init__(self) -> None:
        """It has said hello, and knows ranks 0 and 1 in view 4."""
        numbers = itertools.count(1)
        self.actor = ClientActor(7, CLIENT_LIMITS, 0, lambda: next(numbers), lambda _: None)
        ((number, _),) = self.asked(self.actor.start(1.0))
        welcome = Welcome(SESSION, WIRE_VERSION, 16, 0, "", 4, (member(0), member(1)))
        self._hear(number, welcome, session=0)

    def asked(self, effects: list[Effect]) -> list[tuple[int, Message]]:
        """The requests among these."""
        headers = [(decode_header(e.frames), e.frames) for e in effects if isinstance(e, Send)]
        return [(header.sequence, decode_body(header, frames)) for header, frames in headers]

    def _hear(self, number: int, reply: Message, session: int = SESSION) -> list[tuple[int, Message]]:
        frames = encode(Header(0, session, number, epoch=1), reply)
        return self.asked(self.actor.receive(META, frames, 1.0))

    def change(self, view: int) -> list[tuple[int, Message]]:
        """The membership has changed; what the client asks."""
        self.actor.saw_view(view)
        return self.asked(self.actor.expire(1.0))

    def tell(self, number: int, membership: Membership) -> list[tuple[int, Message]]:
        """Answer; what the client asks then."""
        return self._hear(number, membership)


@pytest.fixture
def told() -> Told:
    """A client that knows ranks 0 and 1."""
    return Told()


def test_it_says_what_it_knows_and_takes_what_is_new(told: Told) -> None:
    """Rank 0 has gone, rank 1 is another, rank 2 has come."""
    ((number, question),) = told.change(7)
    assert question == MembersQuery(4)
    assert told.tell(number, Membership(7, 4, (member(2), member(1, 2)), (0,))) == []
    assert told.actor.members == {1: member(1, 2), 2: member(2)}
    assert told.actor.is_view_current


def test_all_members_take_the_place_of_those_before(told: Told) -> None:
    """A meta service that does not know the view names everybody."""
    ((number, _),) = told.change(7)
    told.tell(number, Membership(7, 0, (member(3),), ()))
    assert told.actor.members == {3: member(3)}


def test_what_is_older_than_what_is_known_changes_nothing(told: Told) -> None:
    """Two questions may be on their way, and their answers overtake one another."""
    told.actor.refresh_members()
    told.actor.refresh_members()
    (first, _), (second, _) = told.asked(told.actor.expire(1.0))
    told.tell(second, Membership(9, 4, (member(2),), ()))
    told.tell(first, Membership(8, 4, (), (1,)))
    assert told.actor.members == {0: member(0), 1: member(1), 2: member(2)}


def test_changes_since_a_view_that_it_never_knew_are_not_taken(told: Told) -> None:
    """The question was asked in an epoch whose views had other numbers: it asks again."""
    ((number, _),) = told.change(12)
    ((_, again),) = told.tell(number, Membership(12, 11, (member(2),), ()))
    assert again == MembersQuery(4)
    assert told.actor.members == {0: member(0), 1: member(1)}
    assert not told.actor.is_view_current
