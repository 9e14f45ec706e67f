"""Drains and repairs as the meta service sees to them."""

import pytest

from mmc.actors.contract import Persist
from mmc.actors.meta import MetaActor
from mmc.config import load_config
from mmc.errors import Code
from mmc.wire.operations import CommandKind, DrainAct, DrainState, Message
from mmc.wire.replies import Claimed, DrainReport, Failure
from mmc.wire.requests import Claim, Drain, Lease, Leave
from tests.unit.actors.spoken_cluster import CLIENT, SpokenCluster


@pytest.fixture
def cluster() -> SpokenCluster:
    """Two objects on rank 0, one of them on rank 1 as well; rank 0 is to drain."""
    cluster = SpokenCluster(3)
    cluster.put(b"one", 1, (0, 3))
    cluster.put(b"two", 2, (0, 4), (1, 4))
    assert report(cluster).state == DrainState.RUNNING
    return cluster


def asked(cluster: SpokenCluster, act: DrainAct, rank: int = 0) -> Message | None:
    """What is answered."""
    return cluster.tell(CLIENT, Drain(rank, act))


def report(cluster: SpokenCluster, act: DrainAct = DrainAct.BEGIN) -> DrainReport:
    """How the drain of rank 0 is."""
    told = asked(cluster, act)
    assert isinstance(told, DrainReport)
    return told


def counts(cluster: SpokenCluster) -> dict[str, int]:
    """The counters of the drain."""
    return dict(report(cluster, DrainAct.QUERY).counters)


def copy(cluster: SpokenCluster, key: bytes, counter: int, rank: int, record: int) -> None:
    """A mover's copy, from the grant to the confirmation."""
    assert cluster.replicate(key, counter, rank, record) == Code.OK
    assert cluster.confirm(rank, record, counter) == Code.OK


def test_a_source_goes_when_its_copy_counts(cluster: SpokenCluster) -> None:
    """And the rank is drained when nothing is left, which is said with what was moved."""
    pulse = cluster.beat(0)
    assert pulse.draining
    assert pulse.copying
    assert cluster.wanted(0) == (b"one", b"two")
    assert not cluster.commands(0)
    copy(cluster, b"one", 1, 1, 9)
    copy(cluster, b"two", 2, 2, 9)
    assert {kind for _, kind in cluster.commands(0).values()} == {CommandKind.EVICT}
    cluster.acknowledge(0, 3)
    cluster.acknowledge(0, 4)
    told = report(cluster, DrainAct.QUERY)
    assert told.state == DrainState.DRAINED
    assert dict(told.counters)["moved_objects"] == 2
    assert not cluster.beat(0).copying


def test_nothing_is_granted_on_a_drained_rank(cluster: SpokenCluster) -> None:
    """A client that has not heard of it would lose what it puts there."""
    for key, counter, rank, record in ((b"one", 1, 1, 3), (b"two", 2, 2, 4)):
        copy(cluster, key, counter, rank, 9)
        cluster.acknowledge(0, record)
    assert report(cluster, DrainAct.QUERY).state == DrainState.DRAINED
    claimed = cluster.tell(CLIENT, Claim(1, 9, (0,), (b"new",), (10,), (((0, 7, 2),),)))
    assert isinstance(claimed, Claimed)
    assert claimed.codes == (Code.NO_SPACE,)
    assert report(cluster, DrainAct.CANCEL).state == DrainState.CANCELLED
    assert not cluster.beat(0).draining
    cluster.put(b"new", 9, (0, 7))


def test_what_every_other_rank_has_goes_without_a_copy() -> None:
    """There is nowhere to copy it to."""
    cluster = SpokenCluster(2)
    cluster.put(b"two", 2, (0, 4), (1, 4))
    report(cluster)
    assert cluster.wanted(0) == ()
    assert cluster.commands(0)[4][1] == CommandKind.EVICT


def test_a_leased_object_waits_for_the_end_of_its_lease(cluster: SpokenCluster) -> None:
    """It is not handed out, and the drain is not blocked by it."""
    cluster.tell(CLIENT, Lease((b"one",), 2000))
    cluster.acknowledge(0, 3)
    assert cluster.wanted(0) == (b"two",)
    copy(cluster, b"two", 2, 2, 9)
    cluster.acknowledge(0, 4)
    assert cluster.wanted(0) == ()
    assert report(cluster, DrainAct.QUERY).state == DrainState.RUNNING
    cluster.pass_time(3.0)
    assert cluster.wanted(0) == (b"one",)


def test_what_was_leased_when_its_copy_landed_goes_later_and_is_not_copied_again(
    cluster: SpokenCluster,
) -> None:
    """The number of replicas stays what it was."""
    assert cluster.replicate(b"one", 1, 1, 9) == Code.OK
    cluster.tell(CLIENT, Lease((b"one",), 2000))
    cluster.acknowledge(0, 3)
    cluster.confirm(1, 9, 1)
    for rank, record in ((0, 3), (1, 9)):
        assert [kind for _, kind in cluster.commands(rank).values()] == [CommandKind.LEASE]
        cluster.acknowledge(rank, record)
    cluster.pass_time(3.0)
    assert cluster.wanted(0) == (b"two",)
    assert cluster.commands(0)[3][1] == CommandKind.EVICT


def test_a_pass_that_moves_nothing_for_lack_of_space_is_blocked(cluster: SpokenCluster) -> None:
    """It is tried again a second later; other reasons than space do not block."""
    refused = {"one": int(Code.NO_SPACE), "two": int(Code.UNREACHABLE)}
    assert cluster.wanted(0) == (b"one", b"two")
    assert cluster.wanted(0, **refused) == ()
    assert report(cluster, DrainAct.QUERY).state == DrainState.RUNNING
    assert not cluster.beat(0).copying
    cluster.pass_time(1.0)
    assert cluster.beat(0).copying
    assert cluster.wanted(0) == (b"one", b"two")
    assert cluster.wanted(0, one=int(Code.NO_SPACE), two=int(Code.NO_SPACE)) == ()
    assert report(cluster, DrainAct.QUERY).state == DrainState.BLOCKED
    assert counts(cluster)["refused_objects"] == 2
    assert counts(cluster)["left_bytes"] == 20


def test_what_fits_nowhere_is_discarded_when_that_is_asked_for(cluster: SpokenCluster) -> None:
    """And not what could not be copied for another reason."""
    assert report(cluster, DrainAct.DISCARD).state == DrainState.RUNNING
    assert cluster.wanted(0) == (b"one", b"two")
    cluster.wanted(0, one=int(Code.NO_SPACE), two=int(Code.UNREACHABLE))
    assert list(cluster.commands(0)) == [3]
    assert counts(cluster)["discarded_objects"] == 1


@pytest.mark.parametrize("act", [DrainAct.QUERY, DrainAct.CANCEL])
def test_a_rank_that_never_drained_has_no_drain(act: DrainAct) -> None:
    """-3007."""
    told = asked(SpokenCluster(2), act)
    assert isinstance(told, Failure)
    assert told.code == Code.NOT_FOUND


def test_a_rank_that_is_unknown_or_the_last_is_not_drained() -> None:
    """-3018 and -3016, with a sentence; neither changes anything."""
    for ranks, rank, code in ((2, 7, Code.NO_SUCH_RANK), (1, 0, Code.NO_SPACE)):
        cluster = SpokenCluster(ranks)
        told = asked(cluster, DrainAct.BEGIN, rank)
        assert isinstance(told, Failure)
        assert told.code == code
        assert str(rank) in told.sentence
    assert not cluster.beat(0).draining


def test_a_drain_outlives_the_meta_service() -> None:
    """The mark is written down; another service goes on with it, until the rank leaves."""
    cluster = SpokenCluster(2)
    report(cluster)
    written = cluster.actor.roster.persisted()
    assert isinstance(written, Persist)
    again = SpokenCluster(0, written=written.data)
    again.join(0, (b"one", 3, 1))
    again.join(1)
    assert again.beat(0).draining
    assert again.wanted(0) == (b"one",)
    again.tell(b"rank 0", Leave())
    assert report(again, DrainAct.QUERY).state == DrainState.GONE


def test_copies_are_refused_by_a_rank_that_drains(cluster: SpokenCluster) -> None:
    """-3016."""
    cluster.put(b"three", 3, (1, 1))
    assert cluster.replicate(b"three", 3, 0, 9) == Code.NO_SPACE


def test_the_membership_that_was_written_may_say_that_a_rank_drains() -> None:
    """And a service that reads it takes it for what it is."""
    config = load_config()
    first = SpokenCluster(2)
    report(first)
    actor = MetaActor(config.meta, config.wire, lambda: 1, 1.0, written=first.actor.roster.persisted().data)
    peers = {peer.member.rank: peer.drains for peer in actor.roster.table.peers()}
    assert peers == {0: True, 1: False}


def test_lost_replicas_are_made_again() -> None:
    """Where it is asked for: of what has too few, by the rank of the first that is left."""
    cluster = SpokenCluster(4, repair=True)
    cluster.put(b"single", 1, (0, 1))
    cluster.put(b"double", 2, (0, 2), (1, 2))
    cluster.put(b"triple", 3, (1, 3), (2, 3), (0, 3))
    assert cluster.wanted(0) == ()
    cluster.tell(b"rank 1", Leave())
    assert cluster.beat(0).copying
    assert cluster.wanted(0) == (b"double",)
    assert cluster.wanted(2) == (b"triple",)
    copy(cluster, b"double", 2, 3, 9)
    assert cluster.wanted(0) == ()
    assert not cluster.beat(0).copying


def test_without_repair_nothing_is_made_again() -> None:
    """And nothing is remembered of what was asked for."""
    cluster = SpokenCluster(3)
    cluster.put(b"double", 2, (0, 2), (1, 2))
    cluster.tell(b"rank 1", Leave())
    assert not cluster.beat(0).copying
    assert cluster.wanted(0) == ()


def test_after_a_restart_what_was_reported_was_asked_for() -> None:
    """The largest number of replicas that the ranks told of."""
    cluster = SpokenCluster(0, repair=True)
    cluster.join(0, (b"double", 1, 1))
    cluster.join(1, (b"double", 1, 1))
    cluster.join(2)
    cluster.tell(b"rank 1", Leave())
    assert cluster.wanted(0) == (b"double",)
