"""Copies of readable objects, whose names are removed, evicted, leased or lost meanwhile."""

import pytest

from mmc.errors import Code
from mmc.wire.operations import CommandKind
from mmc.wire.replies import Claimed, Codes, Found
from mmc.wire.requests import Acknowledge, Claim, Lease, Leave, Lookup, Pressure, Remove
from mmc.wire.shapes import Raw
from tests.unit.actors.spoken_cluster import CLIENT, SpokenCluster

KEY = b"key"
NONE = Raw(b"")


@pytest.fixture
def cluster() -> SpokenCluster:
    """A key is readable in record 3 of rank 0, and a copy of it is granted record 5 of rank 1."""
    cluster = SpokenCluster(3)
    cluster.put(KEY, 1, (0, 3))
    assert cluster.replicate(KEY, 1, 1, 5) == Code.OK
    return cluster


def places(cluster: SpokenCluster) -> list[int]:
    """The ranks of the places that readers are told."""
    found = cluster.tell(CLIENT, Lookup((KEY,)))
    assert isinstance(found, Found)
    return [place[0] for place in found.places[0]]


def answers(cluster: SpokenCluster) -> list[Codes]:
    """The codes that the client was told."""
    return [message for message in cluster.heard[CLIENT] if isinstance(message, Codes)]


def test_a_copy_counts_when_its_rank_has_confirmed_it(cluster: SpokenCluster) -> None:
    """No reader is told of it before."""
    assert places(cluster) == [0]
    assert cluster.confirm(1, 5, 1) == Code.OK
    assert places(cluster) == [0, 1]


def test_what_cannot_be_copied_is_refused() -> None:
    """Another version, another copy under way, a rank that has a replica, no such rank, no such name."""
    cluster = SpokenCluster(3)
    cluster.put(KEY, 1, (0, 3))
    assert cluster.replicate(KEY, 2, 1, 5) == Code.NOT_FOUND
    assert cluster.replicate(b"other", 1, 1, 5) == Code.NOT_FOUND
    assert cluster.replicate(KEY, 1, 0, 5) == Code.EXISTS
    assert cluster.replicate(KEY, 1, 7, 5) == Code.NO_SUCH_RANK
    assert cluster.replicate(KEY, 1, 1, 5) == Code.OK
    assert cluster.replicate(KEY, 1, 2, 5) == Code.WRONG_STATE


def test_a_removal_waits_for_a_copy_that_may_still_be_published(cluster: SpokenCluster) -> None:
    """It is not answered, and the key is pending for puts, until the copy is gone for good (S8)."""
    assert cluster.tell(CLIENT, Remove((KEY,))) is None
    cluster.acknowledge(0, 3)
    for _ in range(2):
        assert cluster.commands(1)[5][1] == CommandKind.REMOVE
        cluster.acknowledge(1, 5, Code.WRONG_STATE)
        assert not answers(cluster)
        claimed = cluster.tell(CLIENT, Claim(1, 9, (0,), (KEY,), (10,), (((2, 1, 2),),)))
        assert isinstance(claimed, Claimed)
        assert claimed.codes == (Code.WRONG_STATE,)
        assert not cluster.commands(1)
        cluster.pass_time(0.3)
    cluster.acknowledge(1, 5, Code.NOT_FOUND)
    assert answers(cluster) == [Codes((0,))]
    assert not places(cluster)


def test_a_copy_that_is_published_late_does_not_bring_its_name_back(cluster: SpokenCluster) -> None:
    """Its rank is told to invalidate it, whether by the removal or by the answer to its confirmation."""
    cluster.tell(CLIENT, Remove((KEY,)))
    cluster.acknowledge(0, 3)
    assert cluster.confirm(1, 5, 1) == Code.OK  # it stays until the command that is on its way
    assert not places(cluster)
    cluster.acknowledge(1, 5)
    assert answers(cluster)[-1] == Codes((0,))
    assert cluster.confirm(1, 5, 1) == Code.NOT_FOUND


def test_what_is_being_copied_is_not_evicted(cluster: SpokenCluster) -> None:
    """It would come back with the copy; a moment later it may go."""
    said = cluster.tell(b"rank 0", Pressure(10, 0, (3,), NONE, NONE))
    assert isinstance(said, Codes)
    assert said.codes[1] == Code.LEASED
    cluster.confirm(1, 5, 1)
    said = cluster.tell(b"rank 0", Pressure(10, 0, (3,), NONE, NONE))
    assert isinstance(said, Codes)
    assert said.codes[1] == Code.OK


def test_a_copy_stands_in_for_the_last_replica(cluster: SpokenCluster) -> None:
    """The rank of the copy decides whether there is one (S2)."""
    cluster.tell(b"rank 0", Leave())
    assert places(cluster) == [1]
    cluster.pass_time(0.3)
    assert cluster.commands(1)[5][1] == CommandKind.CHECK
    cluster.acknowledge(1, 5)
    assert places(cluster) == [1]


def test_a_copy_that_was_abandoned_is_forgotten(cluster: SpokenCluster) -> None:
    """Its rank is asked after a while, and the object stays where it was."""
    cluster.pass_time(0.3)
    assert cluster.commands(1)[5][1] == CommandKind.CHECK
    cluster.acknowledge(1, 5, Code.NOT_FOUND)
    assert not cluster.actor.naming.copying
    assert places(cluster) == [0]
    assert cluster.replicate(KEY, 1, 2, 5) == Code.OK


def test_a_copy_whose_rank_is_asked_counts_too(cluster: SpokenCluster) -> None:
    """Its confirmation may be lost."""
    cluster.pass_time(0.3)
    cluster.acknowledge(1, 5, Code.OK)
    assert places(cluster) == [0, 1]


def test_a_copy_keeps_the_lease_of_its_key(cluster: SpokenCluster) -> None:
    """Its rank is told of what is left of it."""
    cluster.tell(CLIENT, Lease((KEY,), 5000))
    cluster.acknowledge(0, 3)
    cluster.confirm(1, 5, 1)
    assert cluster.commands(1)[5][1] == CommandKind.LEASE


def test_a_copy_on_a_rank_that_is_gone_is_forgotten(cluster: SpokenCluster) -> None:
    """The object stays where it was."""
    cluster.tell(b"rank 1", Leave())
    assert not cluster.actor.naming.copying
    assert places(cluster) == [0]


def test_a_record_that_is_given_out_again_holds_no_copy(cluster: SpokenCluster) -> None:
    """A claim under a later generation says that the copy was abandoned."""
    claimed = cluster.tell(CLIENT, Claim(1, 9, (0,), (b"new",), (10,), (((1, 5, 4),),)))
    assert isinstance(claimed, Claimed)
    assert claimed.codes == (Code.OK,)
    assert not cluster.actor.naming.copying


def test_what_is_told_late_of_an_earlier_use_of_a_record_is_not_about_the_copy() -> None:
    """A claim of the record has said that the earlier use is over; the answer to a command says so again."""
    cluster = SpokenCluster(2)
    claimed = cluster.tell(CLIENT, Claim(1, 1, (0,), (b"old",), (10,), (((1, 5, 2),),)))
    assert isinstance(claimed, Claimed)
    cluster.put(KEY, 2, (0, 3))
    cluster.pass_time(0.3)
    number, _ = cluster.commands(1)[5]
    assert cluster.replicate(KEY, 2, 1, 5, generation=4) == Code.OK
    cluster.tell(b"rank 1", Acknowledge((number,), (int(Code.NOT_FOUND),)))
    assert cluster.confirm(1, 5, 2, generation=4) == Code.OK
    assert places(cluster) == [0, 1]


def test_what_is_being_removed_is_not_copied() -> None:
    """Also where the removal came before the object was readable."""
    cluster = SpokenCluster(2)
    claimed = cluster.tell(CLIENT, Claim(1, 1, (0,), (KEY,), (10,), (((0, 3, 2),),)))
    assert isinstance(claimed, Claimed)
    assert cluster.tell(CLIENT, Remove((KEY,))) is None
    assert cluster.confirm(0, 3, 1) == Code.OK
    assert cluster.replicate(KEY, 1, 1, 5) == Code.WRONG_STATE
    cluster.acknowledge(0, 3)
    assert answers(cluster) == [Codes((0,))]
