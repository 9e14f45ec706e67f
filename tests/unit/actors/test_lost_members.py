"""A meta service that starts without what an earlier one wrote down."""

import itertools

import pytest

from mmc.actors.contract import Persist, Send
from mmc.actors.meta import MetaActor
from mmc.config import load_config
from mmc.errors import Code
from mmc.identifiers import ANY_RANK
from mmc.wire.codec import Header, decode_body, decode_header, encode
from mmc.wire.operations import PeerKind
from mmc.wire.replies import Admitted, Found, Welcome
from mmc.wire.requests import Hello, Join, Lookup, Report
from tests.unit.actors.test_hostile_words import Peer, code_of

EPOCH = 7


@pytest.fixture
def actor() -> MetaActor:
    """A meta service that believes itself to be the first."""
    config = load_config()
    numbers = itertools.count(1000)
    return MetaActor(config.meta, config.wire, lambda: next(numbers), 1.0)


def report(rank: Peer, term: int) -> None:
    """A rank that holds nothing is live."""
    admitted = rank.ask(Join(ANY_RANK, term, 77, 1, 1 << 20, 32, "/p", "u", 0, 0))
    assert isinstance(admitted, Admitted)
    rank.ask(Report((), (), (), (), (), (), admitted.term, last=True))


def test_nobody_can_tell_before_the_first_rank_has_reported(actor: MetaActor) -> None:
    """A missing key answers -3014 until then, and -3007 after it."""
    client = Peer(actor, PeerKind.CLIENT, 2)
    assert code_of(client) == Code.UNREACHABLE
    report(Peer(actor, PeerKind.RANK, 1), 0)
    assert code_of(client) == Code.NOT_FOUND


def test_it_goes_beyond_the_epoch_that_anybody_knows(actor: MetaActor) -> None:
    """Whoever has seen a later epoch would never believe this one; the new one is written down first."""
    hello = encode(Header(0, 0, 1, 0, EPOCH, 5000), Hello(1, PeerKind.RANK, 1, 1, 0))
    written, *effects = actor.receive(b"rank", hello, 1.0)
    assert isinstance(written, Persist)
    (answer,) = (effect.frames for effect in effects if isinstance(effect, Send))
    header = decode_header(answer)
    assert header.epoch == actor.epoch == EPOCH + 1
    assert isinstance(decode_body(header, answer), Welcome)


def test_members_that_were_forgotten_have_a_grace_to_come_back(actor: MetaActor) -> None:
    """After the loss of what was written down a miss answers -3014 for as long as a rank may be away."""
    rank = Peer(actor, PeerKind.RANK, 1)
    rank.tell(Join(ANY_RANK, EPOCH << 32 | 1, 77, 1, 1 << 20, 32, "/p", "u", 0, 0))
    assert actor.epoch == EPOCH + 1
    report(Peer(actor, PeerKind.RANK, 1), EPOCH << 32 | 1)
    client = Peer(actor, PeerKind.CLIENT, 2)
    assert code_of(client) == Code.UNREACHABLE
    limits = load_config().meta
    later = 1.0 + (limits.serve_ms + limits.grace_ms) / 1000
    for now in (later - 1.0, later):
        actor.roster.table.heard(0, now)
        actor.expire(now)
    found = client.ask(Lookup((b"key",)), later)
    assert isinstance(found, Found)
    assert Code(found.codes[0]) == Code.NOT_FOUND
