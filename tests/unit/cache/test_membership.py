"""Ranks coming and going, by example; tests/stateful/test_membership.py goes on."""

import pytest

from mmc.cache.membership import MembershipTable, MemberState
from mmc.errors import CacheError, Code
from mmc.identifiers import ANY_RANK, Member

EPOCH = 5
SUSPECT_S = 2.0
GIVE_UP_S = 40.0


def member(segment: int, rank: int = ANY_RANK) -> Member:
    """What a rank says of itself."""
    return Member(rank, 0, 0, segment, 77, 1 << 30, f"mmc-{segment}.dram", "tcp://host:1")


def admit(
    table: MembershipTable, segment: int, rank: int = ANY_RANK, now: float = 0.0
) -> tuple[Member, bool]:
    """Admit a segment's rank."""
    return table.admit(member(segment, rank), EPOCH, 100 + segment, now)


def state_of(table: MembershipTable, rank: int) -> MemberState:
    """What a rank is."""
    peer = table.peer(rank)
    assert peer is not None
    return MemberState(peer.member.state)


@pytest.fixture
def table() -> MembershipTable:
    """A cluster of at most four ranks, with nobody in it."""
    return MembershipTable(4)


def test_ranks_that_ask_for_none_are_numbered_from_zero(table: MembershipTable) -> None:
    """A rank that asks for any number gets the lowest that is free."""
    assert [admit(table, segment)[0].rank for segment in (11, 12, 13)] == [0, 1, 2]
    table.give_up(1)
    assert admit(table, 14)[0].rank == 1


def test_a_rank_keeps_what_it_said_of_itself(table: MembershipTable) -> None:
    """Clients are told of a rank what it said, under its number and term."""
    admitted, wipe = admit(table, 11, 3)
    assert admitted == member(11, 3)._replace(term=EPOCH << 32 | 1, state=MemberState.JOINING)
    assert not wipe
    assert table.members() == (admitted,)


def test_a_rank_is_known_by_the_session_that_it_joined_in(table: MembershipTable) -> None:
    """A session is the rank's that joined in it, until that joins anew or goes."""
    admit(table, 11)
    joined = table.peer(0)
    assert table.peer_in(111) is joined
    assert table.peer_in(112) is None
    table.admit(member(11), EPOCH, 500, 0.0)
    assert table.peer_in(111) is None
    assert table.peer_in(500) is table.peer(0)
    table.give_up(0)
    assert table.peer_in(500) is None


def test_terms_grow_with_every_admission(table: MembershipTable) -> None:
    """No two admissions have one term, and the later is the higher, in a later epoch too."""
    terms = [admit(table, segment)[0].term for segment in (11, 12, 11, 12, 11)]
    later, _ = table.admit(member(11), EPOCH + 1, 1, 0.0)
    terms.append(later.term)
    assert terms == sorted(set(terms))


def test_a_segment_has_one_rank(table: MembershipTable) -> None:
    """A rank that joins again has the number it had, whatever it asks for now."""
    admit(table, 11, 2)
    assert admit(table, 11, 3)[0].rank == 2
    assert len(table) == 1


def test_a_living_rank_s_number_is_not_given_away(table: MembershipTable) -> None:
    """The number of a rank that is heard is refused with -3006 to any other segment."""
    admit(table, 11, 2)
    with pytest.raises(CacheError, match="rank 2 is taken by a living service") as caught:
        admit(table, 12, 2)
    assert caught.value.code is Code.EXISTS
    table.finish_report(2)
    with pytest.raises(CacheError):
        admit(table, 12, 2)


def test_a_suspect_s_number_can_be_taken_over(table: MembershipTable) -> None:
    """Whoever replaces a silent rank gives it up: its segment wipes if it returns."""
    admit(table, 11, 2)
    table.judge(SUSPECT_S, SUSPECT_S, GIVE_UP_S)
    taken, wipe = admit(table, 12, 2, SUSPECT_S)
    assert (taken.rank, taken.segment, wipe) == (2, 12, False)
    assert (2, 11, 1) in table.written()
    returned, wipe = admit(table, 11, ANY_RANK, SUSPECT_S)
    assert (returned.rank, wipe) == (0, True)


@pytest.mark.parametrize("rank", [4, 1000])
def test_a_rank_number_has_a_limit(table: MembershipTable, rank: int) -> None:
    """A number beyond the largest cluster is refused with -3013."""
    with pytest.raises(CacheError, match=f"rank {rank}: a cluster has ranks 0 to 3") as caught:
        admit(table, 11, rank)
    assert caught.value.code is Code.TOO_LARGE


def test_a_full_cluster_takes_nobody_in(table: MembershipTable) -> None:
    """With every number taken, another rank is refused with -3013, and nothing changes."""
    for segment in range(4):
        admit(table, segment)
    before = table.members()
    with pytest.raises(CacheError, match="more than 4 ranks") as caught:
        admit(table, 9)
    assert caught.value.code is Code.TOO_LARGE
    assert table.members() == before


def test_a_rank_is_live_once_it_has_reported(table: MembershipTable) -> None:
    """A rank is joining until its report is complete, and all have reported when each has."""
    assert table.all_reported()
    admit(table, 11)
    admit(table, 12)
    assert not table.all_reported()
    assert state_of(table, 0) is MemberState.JOINING
    table.finish_report(0)
    assert state_of(table, 0) is MemberState.LIVE
    assert not table.all_reported()
    table.finish_report(1)
    assert table.all_reported()


@pytest.mark.parametrize("reported", [False, True])
def test_a_suspect_that_is_heard_is_what_it_was(table: MembershipTable, *, reported: bool) -> None:
    """A silent rank is suspect until it is heard, and then joining or live as before."""
    admit(table, 11)
    if reported:
        table.finish_report(0)
    before = state_of(table, 0)
    assert table.judge(SUSPECT_S - 0.1, SUSPECT_S, GIVE_UP_S) == []
    assert state_of(table, 0) is before
    assert table.judge(SUSPECT_S, SUSPECT_S, GIVE_UP_S) == []
    assert state_of(table, 0) is MemberState.SUSPECT
    table.heard(0, SUSPECT_S)
    assert state_of(table, 0) is before


def test_only_the_silent_are_given_up(table: MembershipTable) -> None:
    """A rank is given up when it was silent for the whole time, and not a moment before."""
    admit(table, 11)
    admit(table, 12)
    table.heard(1, 10.0)
    assert table.judge(GIVE_UP_S - 0.1, SUSPECT_S, GIVE_UP_S) == []
    assert table.judge(GIVE_UP_S, SUSPECT_S, GIVE_UP_S) == [0]
    assert table.judge(GIVE_UP_S + 10.0, SUSPECT_S, GIVE_UP_S) == [0, 1]


def test_a_meta_service_that_stalled_gives_nobody_up(table: MembershipTable) -> None:
    """Once the countdowns are restarted, everybody has the whole time again."""
    admit(table, 11)
    admit(table, 12)
    table.restart_countdowns(1000.0)
    assert table.judge(1000.0 + GIVE_UP_S - 0.1, SUSPECT_S, GIVE_UP_S) == []
    assert len(table) == 2


def test_a_given_up_segment_wipes_when_it_returns_and_only_then(table: MembershipTable) -> None:
    """A segment that was given up must wipe until its rank has reported, and not at the admission after."""
    admit(table, 11)
    table.give_up(0)
    assert len(table) == 0
    assert not admit(table, 12)[1]
    assert admit(table, 11)[1]
    returned, wipe = admit(table, 11)
    assert wipe
    restarted = MembershipTable(4)
    restarted.restore(table.written(), 0.0)
    assert admit(restarted, 11)[1]
    assert table.wiped(returned.rank)
    assert not table.wiped(returned.rank)
    assert not admit(table, 11)[1]


def test_what_is_written_survives_a_restart(table: MembershipTable) -> None:
    """A new meta service knows who was there and who was given up, and trusts nobody's report."""
    admit(table, 11, 2)
    table.finish_report(2)
    admit(table, 12, 3)
    table.give_up(3)
    restarted = MembershipTable(4)
    restarted.restore(table.written(), 100.0)
    assert restarted.written() == table.written()
    assert state_of(restarted, 2) is MemberState.SUSPECT
    assert not restarted.all_reported()
    assert restarted.judge(100.0 + GIVE_UP_S - 0.1, SUSPECT_S, GIVE_UP_S) == []
    assert admit(restarted, 12)[1]
    assert not admit(restarted, 11)[1]


def test_a_new_epoch_wants_everybody_s_report_again(table: MembershipTable) -> None:
    """When an epoch begins, all are suspect, none has reported, and the countdowns are full."""
    admit(table, 11)
    table.finish_report(0)
    view = table.view
    table.forget_reports(50.0)
    peer = table.peer(0)
    assert peer is not None
    assert (peer.reported, peer.session) == (False, 0)
    assert state_of(table, 0) is MemberState.SUSPECT
    assert table.view > view
    assert table.judge(50.0 + GIVE_UP_S - 0.1, SUSPECT_S, GIVE_UP_S) == []


def test_the_given_up_are_remembered_up_to_a_limit() -> None:
    """The oldest of very many given up segments is forgotten, and the table stays bounded."""
    table = MembershipTable(1)
    for segment in range(5000):
        admit(table, segment)
        table.give_up(0)
    given_up = [segment for _, segment, gone in table.written() if gone]
    assert given_up == list(range(5000 - 4096, 5000))
