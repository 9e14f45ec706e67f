"""The meta service and a rank against words that no honest peer says."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest

from mmc.actors.contract import Effect, Send
from mmc.actors.meta import MetaActor
from mmc.config import load_config
from mmc.errors import Code
from mmc.identifiers import ANY_RANK
from mmc.wire.codec import Header, decode_body, decode_header, encode
from mmc.wire.operations import CommandKind, Message, PeerKind
from mmc.wire.replies import Admitted, Claimed, Codes, Commands, Failure, Found, Welcome
from mmc.wire.requests import (
    Acknowledge,
    Claim,
    Confirmed,
    Hello,
    Join,
    Lease,
    Lookup,
    Report,
    Resync,
    Unlease,
)

_UINT64_MAX = (1 << 64) - 1


class Peer:
    """A session with a meta actor, spoken by hand."""

    def __init__(self, actor: MetaActor, kind: PeerKind, client: int, *, epoch: int = 0) -> None:
        """Say hello, as one who knows of an epoch."""
        self._actor = actor
        self._numbers = itertools.count(1)
        self._route = b"route %d" % client
        self._session = 0
        hello = encode(Header(0, sequence=1, epoch=epoch or actor.epoch), Hello(client, kind, 1, 1, 0))
        welcome = self._answer(actor.receive(self._route, hello, 1.0))
        assert isinstance(welcome, Welcome)
        self._session = welcome.session
        self._numbers = itertools.count(1)

    def ask(self, message: Message, now: float = 1.0) -> Message:
        """The answer to a request."""
        answer = self.tell(message, now)
        assert answer is not None
        return answer

    def tell(self, message: Message, now: float = 1.0) -> Message | None:
        """The answer to a request, if there is one at once."""
        header = Header(0, self._session, next(self._numbers), 0, self._actor.epoch, 5000)
        return self._answer(self._actor.receive(self._route, encode(header, message), now))

    def _answer(self, effects: Sequence[Effect]) -> Message | None:
        for effect in effects:
            if isinstance(effect, Send) and effect.to == self._route:
                return decode_body(decode_header(effect.frames), effect.frames)
        return None


@pytest.fixture
def actor() -> MetaActor:
    """A meta service at the beginning of its first epoch."""
    config = load_config()
    numbers = itertools.count(1000)
    return MetaActor(config.meta, config.wire, lambda: next(numbers), 1.0)


def joined(actor: MetaActor, reports: Report) -> Peer:
    """A live rank 0 that reported something."""
    rank = Peer(actor, PeerKind.RANK, 1)
    admitted = rank.ask(Join(ANY_RANK, 0, 77, 1, 1 << 20, 32, "/p", "u", 0, 0))
    assert isinstance(admitted, Admitted)
    assert isinstance(rank.ask(replace(reports, term=admitted.term)), Codes)
    return rank


def one_object(leased_ms: int = 0) -> Report:
    """A report of one object, ``key``, in record 3 under generation 2."""
    return Report((3,), (2,), ((1, 9, 9, 0),), (10,), (b"key",), (leased_ms,), 0, last=True)


def code_of(client: Peer) -> Code:
    """What a lookup of ``key`` answers."""
    found = client.ask(Lookup((b"key",)))
    assert isinstance(found, Found)
    return Code(found.codes[0])


def test_a_claim_of_a_past_segment_displaces_no_confirmed_object(actor: MetaActor) -> None:
    """A client that slept through a cold restart of its rank names a record that is another object's now."""
    joined(actor, one_object())
    client = Peer(actor, PeerKind.CLIENT, 2)
    assert code_of(client) == Code.OK
    claimed = client.ask(Claim(1, 1, (0,), (b"stranger",), (10,), (((0, 3, 40),),)))
    assert isinstance(claimed, Claimed)
    assert claimed.codes == (Code.NO_SUCH_RANK,)
    assert code_of(client) == Code.OK
    actor.check()


@pytest.mark.parametrize("term", [_UINT64_MAX, ((1 << 31) - 1) << 32])
def test_an_epoch_beyond_counting_is_refused(actor: MetaActor, term: int) -> None:
    """A rank of an impossible epoch is refused, and the service goes on in its own."""
    rank = Peer(actor, PeerKind.RANK, 1)
    refused = rank.ask(Join(ANY_RANK, term, 77, 1, 1 << 20, 32, "/p", "u", 0, 0))
    assert isinstance(refused, Failure)
    assert refused.code == Code.INVALID_ARGUMENT
    assert actor.epoch == 1
    joined(actor, one_object())


@pytest.mark.parametrize("epoch", [(1 << 31) - 2, 1 << 30])
def test_nobody_moves_the_epoch_to_where_no_rank_may_return(actor: MetaActor, epoch: int) -> None:
    """An epoch that no service can have reached is not believed, and ranks come back as before."""
    stranger = Peer(actor, PeerKind.CLIENT, 2, epoch=epoch)
    assert actor.epoch == 1
    refused = stranger.ask(Join(ANY_RANK, epoch << 32, 78, 1, 1 << 20, 32, "/p", "u", 0, 0))
    assert isinstance(refused, Failure)
    assert refused.code == Code.INVALID_ARGUMENT
    joined(actor, one_object())
    rank = Peer(actor, PeerKind.RANK, 1)
    assert isinstance(rank.ask(Join(0, 1 << 32 | 1, 77, 1, 1 << 20, 32, "/p", "u", 0, 0)), Admitted)


def test_a_reported_lease_for_ever_is_cut_to_the_longest(actor: MetaActor) -> None:
    """A lease beyond all limits, from a damaged record, neither lasts for ever nor ends the service."""
    rank = joined(actor, one_object(leased_ms=_UINT64_MAX))
    client = Peer(actor, PeerKind.CLIENT, 2)
    assert client.tell(Lease((b"key",), 1000)) is None
    commands = rank.ask(Resync())
    assert isinstance(commands, Commands)
    assert commands.kinds == (CommandKind.LEASE,)
    rank.ask(Acknowledge(commands.ids, (0,)))
    assert client.tell(Unlease((b"key",))) is None
    commands = rank.ask(Resync())
    assert isinstance(commands, Commands)
    assert commands.kinds == (CommandKind.UNLEASE,)
    longest_ms = load_config().meta.lease_max_ms
    assert commands.arguments[0] <= longest_ms * 1.02
    actor.check()


def test_what_is_confirmed_while_a_rank_reports_is_not_dropped(actor: MetaActor) -> None:
    """A claim confirmed between a rank's joining and the end of its report is part of what it holds."""
    rank = joined(actor, one_object())
    client = Peer(actor, PeerKind.CLIENT, 2)
    client.ask(Claim(1, 1, (0,), (b"new",), (10,), (((0, 5, 2),),)))
    assert isinstance(rank.ask(Join(0, 0, 77, 1, 1 << 20, 32, "/p", "u", 0, 0)), Admitted)
    assert rank.ask(Confirmed((5,), (2,), ((1, 2, 1, 0),))) == Codes((0,))
    rank.ask(one_object())
    found = client.ask(Lookup((b"new", b"key")))
    assert isinstance(found, Found)
    assert found.codes == (0, 0)
    actor.check()


def test_leases_on_a_rank_that_stands_still_take_bounded_room() -> None:
    """Beyond ``commands_max`` that it has not acknowledged a lease is undecided at once, and then granted."""
    config = load_config()
    numbers = itertools.count(1000)
    limits = replace(config.meta, commands_max=3)
    actor = MetaActor(limits, config.wire, lambda: next(numbers), 1.0)
    rank = joined(actor, one_object())
    client = Peer(actor, PeerKind.CLIENT, 2)
    assert [client.tell(Lease((b"key",), 1000)) for _ in range(3)] == [None] * 3
    assert client.tell(Lease((b"key",), 1000)) == Codes((int(Code.TIMED_OUT),))
    commands = rank.ask(Resync())
    assert isinstance(commands, Commands)
    rank.ask(Acknowledge(commands.ids, (0,) * len(commands.ids)))
    assert client.tell(Lease((b"key",), 1000)) is None
    actor.check()
