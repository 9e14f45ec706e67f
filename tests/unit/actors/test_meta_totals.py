"""The meta service as an actor: listing keys, hits and misses, leases that were left behind."""

from __future__ import annotations

import itertools

import pytest

from mmc.actors.meta import MetaActor
from mmc.config import load_config
from mmc.errors import Code
from mmc.identifiers import ANY_RANK
from mmc.wire.operations import CommandKind, PeerKind
from mmc.wire.replies import Admitted, Codes, Commands, Failure, KeyPage, StatusReport
from mmc.wire.requests import (
    Acknowledge,
    Goodbye,
    Join,
    KeepAlive,
    Lease,
    ListKeys,
    Report,
    Resync,
    StatusQuery,
    Unlease,
)
from tests.unit.actors.test_hostile_words import Peer

OBJECTS = 5


@pytest.fixture
def actor() -> MetaActor:
    """A meta service at the beginning of its first epoch."""
    config = load_config()
    numbers = itertools.count(1000)
    return MetaActor(config.meta, config.wire, lambda: next(numbers), 1.0)


def join(actor: MetaActor, segment: int = 77) -> tuple[Peer, int]:
    """A rank that has not reported, and its term."""
    rank = Peer(actor, PeerKind.RANK, segment)
    admitted = rank.ask(Join(ANY_RANK, 0, segment, 1, 1 << 20, 32, "/p", "u", 0, 0))
    assert isinstance(admitted, Admitted)
    return rank, admitted.term


def report(rank: Peer, term: int) -> None:
    """Report some objects, all but one with records between them."""
    numbers = range(OBJECTS)
    rank.ask(
        Report(
            tuple(3 * n for n in numbers),
            (2,) * OBJECTS,
            tuple((1, 9, n, 0) for n in numbers),
            tuple(10 + n for n in numbers),
            tuple(b"key %d" % n for n in numbers),
            (0,) * OBJECTS,
            term,
            last=True,
        )
    )


def totals(client: Peer) -> tuple[int, int]:
    """The gets and hits that status knows of."""
    status = client.ask(StatusQuery())
    assert isinstance(status, StatusReport)
    counters = dict(status.counters)
    return counters["gets"], counters["hits"]


def test_keys_come_page_by_page(actor: MetaActor) -> None:
    """A page looks at no more records than asked for, and the last one leads to the beginning."""
    report(*join(actor))
    client = Peer(actor, PeerKind.CLIENT, 2)
    first = client.ask(ListKeys(0, 0, 4))
    assert first == KeyPage((b"key 0", b"key 1"), (10, 11), 0, 4)
    last = client.ask(ListKeys(0, 4, 1 << 60))
    assert last == KeyPage((b"key 2", b"key 3", b"key 4"), (12, 13, 14), 0, 0)
    refused = client.ask(ListKeys(0, 0, 0))
    assert isinstance(refused, Failure)
    assert refused.code == Code.INVALID_ARGUMENT


def test_nothing_is_listed_while_a_rank_has_not_reported(actor: MetaActor) -> None:
    """A listing that could be short is refused with -3014."""
    report(*join(actor))
    late, term = join(actor, 78)
    client = Peer(actor, PeerKind.CLIENT, 2)
    refused = client.ask(ListKeys(0, 0, 4))
    assert isinstance(refused, Failure)
    assert refused.code == Code.UNREACHABLE
    late.ask(Report((), (), (), (), (), (), term, last=True))
    assert isinstance(client.ask(ListKeys(0, 0, 4)), KeyPage)


def test_hits_are_counted_once_and_outlive_their_clients(actor: MetaActor) -> None:
    """Totals are cumulative per client, over its sessions, and stay when it has gone."""
    teller = Peer(actor, PeerKind.CLIENT, 2)
    for gets, hits in ((10, 7), (10, 7), (12, 9)):
        teller.ask(KeepAlive((("gets", gets), ("hits", hits))))
    again = Peer(actor, PeerKind.CLIENT, 2)
    again.ask(KeepAlive((("gets", 12), ("hits", 9))))
    again.ask(KeepAlive())
    assert totals(again) == (12, 9)
    teller.ask(Goodbye())
    other = Peer(actor, PeerKind.CLIENT, 3)
    other.ask(KeepAlive((("hits", 1), ("gets", 2), ("else", 1))))
    assert totals(other) == (14, 10)


def command(rank: Peer) -> CommandKind:
    """The one command that a rank is to carry out, which it does."""
    commands = rank.ask(Resync())
    assert isinstance(commands, Commands)
    rank.ask(Acknowledge(commands.ids, (0,)))
    (kind,) = commands.kinds
    return CommandKind(kind)


def test_who_said_goodbye_leaves_leases_that_others_may_end(actor: MetaActor) -> None:
    """A lease outlives its session; another ends it on request only, and only when its holder has parted."""
    rank, term = join(actor)
    report(rank, term)
    holder, other = Peer(actor, PeerKind.CLIENT, 2), Peer(actor, PeerKind.CLIENT, 3)
    holder.tell(Lease((b"key 0",), 60_000))
    assert command(rank) is CommandKind.LEASE
    assert other.ask(Unlease((b"key 0",), abandoned=True)) == Codes((0,))
    assert actor.naming.is_leased(b"key 0")
    holder.ask(Goodbye())
    assert actor.naming.is_leased(b"key 0")
    assert other.ask(Unlease((b"key 0",))) == Codes((0,))
    assert actor.naming.is_leased(b"key 0")
    assert other.tell(Unlease((b"key 0",), abandoned=True)) is None
    assert command(rank) is CommandKind.UNLEASE
    assert not actor.naming.is_leased(b"key 0")
    actor.check()


def test_the_end_of_a_lease_spares_one_that_is_on_its_way(actor: MetaActor) -> None:
    """What a rank is told to keep covers a lease that it may hear of before or after (S4)."""
    rank, term = join(actor)
    report(rank, term)
    first, second = Peer(actor, PeerKind.CLIENT, 2), Peer(actor, PeerKind.CLIENT, 3)
    first.tell(Lease((b"key 0",), 1_000))
    assert command(rank) is CommandKind.LEASE
    second.tell(Lease((b"key 0",), 60_000))
    first.tell(Unlease((b"key 0",)))
    commands = rank.ask(Resync())
    assert isinstance(commands, Commands)
    assert commands.kinds == (CommandKind.LEASE, CommandKind.UNLEASE)
    assert commands.arguments[1] >= 60_000
    rank.ask(Acknowledge(commands.ids, (0, 0)))
    actor.check()
    second.tell(Unlease((b"key 0",)))
    commands = rank.ask(Resync())
    assert isinstance(commands, Commands)
    assert commands.arguments == (0,)
