"""A claim that was granted before a rank reported an object of that key."""

import itertools

import pytest

from mmc.actors.contract import Send
from mmc.actors.meta import MetaActor
from mmc.config import load_config
from mmc.errors import Code
from mmc.identifiers import ANY_RANK
from mmc.wire.codec import Header, decode_body, decode_header, encode
from mmc.wire.operations import CommandKind, Message, PeerKind
from mmc.wire.replies import Admitted, Claimed, Codes, Commands, Found, Welcome
from mmc.wire.requests import Acknowledge, Claim, Hello, Join, Lease, Lookup, Remove, Report, Resync


class Cluster:
    """A meta service, a rank and a client, spoken by hand; whatever is sent is kept by its target."""

    def __init__(self) -> None:
        """Nobody has said hello."""
        config = load_config()
        numbers = itertools.count(1000)
        self._actor = MetaActor(config.meta, config.wire, lambda: next(numbers), 1.0)
        self._sessions: dict[bytes, int] = {}
        self._numbers = itertools.count(1)
        self.term = 0
        self.heard: dict[bytes, list[Message]] = {b"rank": [], b"client": []}

    def tell(self, route: bytes, message: Message) -> Message | None:
        """A request; its answer, if there is one at once."""
        known = len(self.heard[route])
        header = Header(0, self._sessions.get(route, 0), next(self._numbers), 0, self._actor.epoch, 5000)
        for effect in self._actor.receive(route, encode(header, message), 1.0):
            if isinstance(effect, Send):
                assert isinstance(effect.to, bytes)
                self.heard[effect.to].append(decode_body(decode_header(effect.frames), effect.frames))
        return self.heard[route][-1] if len(self.heard[route]) > known else None

    def enter(self, route: bytes, kind: PeerKind, number: int) -> None:
        """Say hello."""
        welcome = self.tell(route, Hello(number, kind, 1, 1, 0))
        assert isinstance(welcome, Welcome)
        self._sessions[route] = welcome.session


def claimed() -> Cluster:
    """A key is claimed in record 5, and its rank has not reported."""
    cluster = Cluster()
    cluster.enter(b"rank", PeerKind.RANK, 1)
    cluster.enter(b"client", PeerKind.CLIENT, 2)
    admitted = cluster.tell(b"rank", Join(ANY_RANK, 0, 77, 1, 1 << 20, 32, "/p", "u", 0, 0))
    assert isinstance(admitted, Admitted)
    granted = cluster.tell(b"client", Claim(1, 1, (0,), (b"key",), (10,), (((0, 5, 2),),)))
    assert isinstance(granted, Claimed)
    assert granted.codes == (Code.OK,)
    cluster.term = admitted.term
    return cluster


def report_older(cluster: Cluster) -> None:
    """The rank reports an object of the key, of another version, in record 3."""
    found = Report((3,), (2,), ((1, 9, 9, 0),), (10,), (b"key",), (0,), cluster.term, last=True)
    assert cluster.tell(b"rank", found) == Codes((0,))


@pytest.fixture
def cluster() -> Cluster:
    """A key is claimed in record 5, and then reported in record 3 with another version."""
    cluster = claimed()
    report_older(cluster)
    return cluster


def commands(cluster: Cluster) -> dict[int, int]:
    """The outstanding commands: the number of each, by its record."""
    told = cluster.tell(b"rank", Resync())
    assert isinstance(told, Commands)
    return dict(zip(told.records, told.ids, strict=True))


def test_a_removal_waits_for_what_a_void_claim_may_have_published(cluster: Cluster) -> None:
    """It answers 0 when neither object of the key can be read (S8)."""
    assert cluster.tell(b"client", Remove((b"key",))) is None
    outstanding = commands(cluster)
    assert sorted(outstanding) == [3, 5]
    answers = len(cluster.heard[b"client"])
    cluster.tell(b"rank", Acknowledge((outstanding[3],), (0,)))
    assert len(cluster.heard[b"client"]) == answers
    cluster.tell(b"rank", Acknowledge((outstanding[5],), (0,)))
    assert cluster.heard[b"client"][answers:] == [Codes((0,))]


def test_a_void_claim_that_is_gone_changes_nothing_for_the_key(cluster: Cluster) -> None:
    """Its end, or its writer's, is no end of the object that is listed."""
    for code in (Code.WRONG_STATE, Code.OK):
        outstanding = commands(cluster)
        cluster.tell(b"rank", Acknowledge(tuple(outstanding.values()), (int(code),) * len(outstanding)))
    removed = cluster.tell(b"client", Remove((b"key",)))
    assert removed is None
    outstanding = commands(cluster)
    assert list(outstanding) == [3]
    cluster.tell(b"rank", Acknowledge((outstanding[3],), (0,)))
    assert cluster.heard[b"client"][-1] == Codes((0,))


def test_a_void_claim_is_not_granted_again_while_it_is_on_its_way_out(cluster: Cluster) -> None:
    """What is commanded to go under it would go under the new grant; an object was there, so -3006."""
    cluster.tell(b"client", Remove((b"key",)))
    cluster.tell(b"rank", Acknowledge((commands(cluster)[3],), (0,)))
    claimed = cluster.tell(b"client", Claim(1, 1, (0,), (b"key",), (10,), (((0, 5, 2),),)))
    assert isinstance(claimed, Claimed)
    assert claimed.codes == (Code.EXISTS,)


def test_a_void_claim_is_not_listed_while_it_is_on_its_way_out(cluster: Cluster) -> None:
    """Its rank may report it before it hears the command: listed, it would stay so when it has gone."""
    cluster.tell(b"client", Remove((b"key",)))
    cluster.tell(b"rank", Acknowledge((commands(cluster)[3],), (0,)))
    told = cluster.tell(b"rank", Resync())
    assert isinstance(told, Commands)
    found = Report((5,), (2,), told.versions, (10,), (b"key",), (0,), cluster.term, last=True)
    assert cluster.tell(b"rank", found) == Codes((Code.NOT_FOUND,))
    cluster.tell(b"rank", Acknowledge((commands(cluster)[5],), (0,)))
    looked_up = cluster.tell(b"client", Lookup((b"key",)))
    assert isinstance(looked_up, Found)
    assert looked_up.codes == (Code.NOT_FOUND,)


def test_a_void_claim_goes_although_it_was_leased(cluster: Cluster) -> None:
    """Who leased the key has the object that is listed; a refusal would leave one that nobody lists."""
    told = cluster.tell(b"rank", Resync())
    assert isinstance(told, Commands)
    assert told.records == (5,)
    assert told.kinds == (CommandKind.REVOKE,)


def test_a_lease_that_a_void_claim_was_given_moves_to_what_is_listed() -> None:
    """It is granted when the ranks of the object that is listed have stored it, and not before."""
    cluster = claimed()
    assert cluster.tell(b"client", Lease((b"key",), 60_000)) is None
    (on_its_way,) = commands(cluster).values()
    report_older(cluster)
    answers = len(cluster.heard[b"client"])
    cluster.tell(b"rank", Acknowledge((on_its_way,), (0,)))
    assert len(cluster.heard[b"client"]) == answers
    told = cluster.tell(b"rank", Resync())
    assert isinstance(told, Commands)
    moved = dict(zip(told.kinds, zip(told.records, told.ids, strict=True), strict=True))
    assert moved[CommandKind.LEASE][0] == 3
    cluster.tell(b"rank", Acknowledge((moved[CommandKind.LEASE][1],), (0,)))
    assert cluster.heard[b"client"][-1] == Codes((Code.OK,))
    assert len(cluster.heard[b"client"]) == answers + 1


def test_a_lease_of_what_is_revoked_is_passed_on(cluster: Cluster) -> None:
    """Its rank reports the void claim, with its lease: what is listed keeps that."""
    told = cluster.tell(b"rank", Resync())
    assert isinstance(told, Commands)
    found = Report((5,), (2,), told.versions, (10,), (b"key",), (60_000,), cluster.term, last=False)
    assert cluster.tell(b"rank", found) == Codes((Code.NOT_FOUND,))
    told = cluster.tell(b"rank", Resync())
    assert isinstance(told, Commands)
    assert (3, CommandKind.LEASE) in zip(told.records, told.kinds, strict=True)
    assert cluster.tell(b"client", Remove((b"key",))) == Codes((Code.LEASED,))
