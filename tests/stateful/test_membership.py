"""Membership through failures, returns and restarts of the meta service."""

from dataclasses import dataclass, replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mmc.cache.membership import MembershipTable, MemberState
from mmc.errors import CacheError, Code
from mmc.identifiers import ANY_RANK, Member

RANKS_MAX = 3
SUSPECT_S = 2.0
GIVE_UP_S = 40.0

segments = st.integers(1, 5)
some_ranks = st.sampled_from([0, 1, 2, RANKS_MAX, ANY_RANK])


@dataclass(frozen=True)
class Known:
    """What must be remembered of a rank."""

    segment: int
    heard: float
    state: MemberState
    reported: bool = False


class MembershipMachine(RuleBasedStateMachine):
    """Ranks that join, report, fall silent and return, under one meta service after another."""

    def __init__(self) -> None:
        super().__init__()
        self.table = MembershipTable(RANKS_MAX)
        self.now = 0.0
        self.epoch = 1
        self.ranks: dict[int, Known] = {}
        self.given_up: set[int] = set()
        self.last_term = 0
        self.views = {self.table.view: self.table.members()}

    def expected_rank(self, segment: int, wanted: int) -> int | Code:
        """The number that a joining rank is to have, or why it gets none."""
        for rank, known in self.ranks.items():
            if known.segment == segment:
                return rank
        if wanted == ANY_RANK:
            free = [rank for rank in range(RANKS_MAX) if rank not in self.ranks]
            return free[0] if free else Code.TOO_LARGE
        if wanted >= RANKS_MAX:
            return Code.TOO_LARGE
        if wanted in self.ranks and self.ranks[wanted].state is not MemberState.SUSPECT:
            return Code.EXISTS
        return wanted

    @rule(segment=segments, wanted=some_ranks)
    def join(self, segment: int, wanted: int) -> None:
        """A rank joins, new or returning: it wipes if it was given up and has not reported since."""
        says = Member(wanted, 0, 0, segment, 7, 100, "path", "url")
        expected = self.expected_rank(segment, wanted)
        if isinstance(expected, Code):
            with pytest.raises(CacheError) as caught:
                self.table.admit(says, self.epoch, segment, self.now)
            assert caught.value.code is expected
            return
        member, wipe = self.table.admit(says, self.epoch, segment, self.now)
        assert member.rank == expected
        assert wipe == (segment in self.given_up)
        assert member.term > self.last_term, "terms grow with every admission"
        self.last_term = member.term
        replaced = self.ranks.get(expected)
        if replaced is not None and replaced.segment != segment:
            self.given_up.add(replaced.segment)
        self.ranks[expected] = Known(segment, self.now, MemberState.JOINING)

    @precondition(lambda self: self.ranks)
    @rule(data=st.data())
    def report(self, data: st.DataObject) -> None:
        """A rank has reported all that it holds, and wiped before if it had to."""
        rank = data.draw(st.sampled_from(sorted(self.ranks)))
        segment = self.ranks[rank].segment
        assert self.table.wiped(rank) == (segment in self.given_up)
        self.given_up.discard(segment)
        self.table.finish_report(rank)
        self.ranks[rank] = replace(self.ranks[rank], state=MemberState.LIVE, reported=True)

    @precondition(lambda self: self.ranks)
    @rule(data=st.data())
    def hear(self, data: st.DataObject) -> None:
        """A rank gives a sign of life, and is what it was before it fell silent."""
        rank = data.draw(st.sampled_from(sorted(self.ranks)))
        self.table.heard(rank, self.now)
        known = self.ranks[rank]
        if known.state is MemberState.SUSPECT:
            state = MemberState.LIVE if known.reported else MemberState.JOINING
            known = replace(known, state=state)
        self.ranks[rank] = replace(known, heard=self.now)

    @precondition(lambda self: self.ranks)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """A rank leaves for good."""
        self.lose(data.draw(st.sampled_from(sorted(self.ranks))))

    def lose(self, rank: int) -> None:
        """A rank is no member any more."""
        self.table.give_up(rank)
        self.given_up.add(self.ranks.pop(rank).segment)

    @rule(passed=st.sampled_from([0.0, 0.5, 1.9, 2.0, 20.0, 39.9, 40.0]))
    def judge(self, passed: float) -> None:
        """Time goes on: who was silent is suspect, and who was silent too long is given up."""
        self.now += passed
        lost = self.table.judge(self.now, SUSPECT_S, GIVE_UP_S)
        silent = {rank: self.now - known.heard for rank, known in self.ranks.items()}
        assert lost == sorted(rank for rank in silent if silent[rank] >= GIVE_UP_S)
        for rank, known in self.ranks.items():
            if SUSPECT_S <= silent[rank] < GIVE_UP_S:
                self.ranks[rank] = replace(known, state=MemberState.SUSPECT)
        for rank in lost:
            self.lose(rank)

    @rule(stalled=st.floats(0.0, 1000.0))
    def stall(self, stalled: float) -> None:
        """A meta service that slept restarts all countdowns, and gives nobody up."""
        self.now += stalled
        self.table.restart_countdowns(self.now)
        self.ranks = {rank: replace(known, heard=self.now) for rank, known in self.ranks.items()}
        assert self.table.judge(self.now, SUSPECT_S, GIVE_UP_S) == []

    @rule()
    def begin_epoch(self) -> None:
        """Everyone must join and report again, with full countdowns."""
        self.epoch += 1
        self.table.forget_reports(self.now)
        self.forget()

    @rule()
    def restart(self) -> None:
        """Another meta service takes up what was written down."""
        self.epoch += 1
        written = self.table.written()
        self.table = MembershipTable(RANKS_MAX)
        self.table.restore(written, self.now)
        self.views = {self.table.view: self.table.members()}
        self.forget()

    def forget(self) -> None:
        """All are suspect until they report."""
        self.ranks = {
            rank: Known(known.segment, self.now, MemberState.SUSPECT) for rank, known in self.ranks.items()
        }

    @invariant()
    def members_are_who_they_must_be(self) -> None:
        """The table keeps its invariants, and says of each rank what is known of it."""
        self.table.check()
        said = {
            peer.member.rank: Known(
                peer.member.segment, peer.heard, MemberState(peer.member.state), peer.reported
            )
            for peer in self.table.peers()
        }
        assert said == self.ranks
        assert len(self.table) == len(self.ranks)
        assert self.table.all_reported() == all(known.reported for known in self.ranks.values())

    @invariant()
    def what_is_written_names_everybody(self) -> None:
        """Who is present and who was given up stands in what is written down."""
        written = self.table.written()
        assert {(rank, segment) for rank, segment, gone in written if not gone} == {
            (rank, known.segment) for rank, known in self.ranks.items()
        }
        assert {segment for _, segment, gone in written if gone} == self.given_up

    @invariant()
    def every_change_has_a_view(self) -> None:
        """Clients that know the number of a view know its members."""
        assert self.table.view >= max(self.views)
        assert self.views.setdefault(self.table.view, self.table.members()) == self.table.members()

    @invariant()
    def who_knows_a_view_is_told_what_changed(self) -> None:
        """From whatever view of this life, and only then; else everybody is named."""
        for view, members in self.views.items():
            since, came, went = self.table.changes_since(view)
            assert since == view
            now = {member.rank: member for member in (*members, *came) if member.rank not in went}
            assert tuple(now[rank] for rank in sorted(now)) == self.table.members()
        for view in (0, self.table.view + 1):
            assert self.table.changes_since(view) == (0, self.table.members(), ())


TestMembership = MembershipMachine.TestCase
TestMembership.__doc__ = "Only the silent are given up, and only the given up wipe."
