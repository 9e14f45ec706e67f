"""Membership: which ranks there are, which term each is in, and which have gone silent.

A rank is *joining* (admitted, its report not complete), *live*, *draining* (live, and to take no new objects)
or *suspect* (silent for ``suspect_s``).
One that is silent beyond the time that it may serve, plus a grace, is *given up*: it is no member any
more, and its segment is remembered so that it must wipe should it return, until it reports, which it does
when it has wiped.  Admissions, departures and givings up are written down before they take effect;
silence is not.  All countdowns restart in full
when a meta service starts or finds that its own loop was late: one that stalled gives nobody up.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from mmc.errors import AlreadyExists, CacheError, Code, error_for
from mmc.identifiers import ANY_RANK, Member, Term

if TYPE_CHECKING:
    from collections.abc import Iterable

_REMEMBERED = 4096


class MemberState(IntEnum):
    """What a rank is to the meta service."""

    JOINING = 0
    LIVE = 1
    SUSPECT = 2
    DRAINING = 3


class _Written(IntEnum):
    """What is written down of a rank."""

    PRESENT = 0
    GIVEN_UP = 1
    DRAINING = 2


WRITTEN = frozenset(_Written)
"""The values that the third of a written row may have."""


@dataclass(slots=True)
class Peer:
    """What the meta service remembers of a rank beyond what clients are told."""

    member: Member
    heard: float
    session: int
    reported: bool
    wipes: bool = False
    counters: tuple[tuple[str, int], ...] = ()
    drains: bool = False
    drained: bool = False

    @property
    def takes_objects(self) -> bool:
        """Whether objects may be copied to it."""
        return self.reported and self.member.state == MemberState.LIVE


class MembershipTable:
    """All ranks of a cluster."""

    def __init__(self, ranks_max: int) -> None:
        """Nobody yet."""
        self._ranks_max = ranks_max
        self._world = 0
        self._pool = 0
        self._peers: dict[int, Peer] = {}
        self._unreported: set[int] = set()
        self._given_up: dict[int, int] = {}
        self._admissions = 0
        self._is_blind = False
        self._doubts_until = 0.0
        self._in_session: dict[int, int] = {}
        self._changed_in: dict[int, int] = {}
        self.view = 1

    def __len__(self) -> int:
        """How many members there are."""
        return len(self._peers)

    def peer(self, rank: int) -> Peer | None:
        """The rank, if it is a member."""
        return self._peers.get(rank)

    def peer_in(self, session: int) -> Peer | None:
        """The rank that joined in this session, if any did and still is a member by it."""
        rank = self._in_session.get(session)
        return None if rank is None else self._peers[rank]

    def peers(self) -> list[Peer]:
        """Every member, in rank order."""
        return [self._peers[rank] for rank in sorted(self._peers)]

    def members(self) -> tuple[Member, ...]:
        """What clients are told."""
        return tuple(peer.member for peer in self.peers())

    def changes_since(self, view: int) -> tuple[int, tuple[Member, ...], tuple[int, ...]]:
        """What whoever knows a view of this epoch has to be told, to know the present one.

        Returns:
            That view, the members that came or changed since, and the numbers of those that went; or 0 and
            all members, where there was no such view.
        """
        if not 1 <= view <= self.view:
            return 0, self.members(), ()
        came, went = [], []
        for rank, at in reversed(self._changed_in.items()):
            if at <= view:
                break
            peer = self._peers.get(rank)
            if peer is not None:
                came.append(peer.member)
            else:
                went.append(rank)
        return view, tuple(came), tuple(went)

    def _change(self, rank: int) -> None:
        """Begin a view in which this rank is another, has come, or has gone."""
        self.view += 1
        self._changed_in.pop(rank, None)
        self._changed_in[rank] = self.view

    def all_reported(self) -> bool:
        """Whether every member has reported in this epoch, and nobody doubts who the members are."""
        return not (self._unreported or self._is_blind or self._doubts_until)

    def begin_blind(self) -> None:
        """Nothing was written down: until a rank reports, nobody can tell whether there are any."""
        self._is_blind = True

    def doubt(self, until: float) -> None:
        """What was written down was lost: until then members may come back that nobody knows of."""
        self._doubts_until = until

    def admit(self, wanted: Member, epoch: int, session: int, now: float) -> tuple[Member, bool]:
        """Admit a rank, new or returning.

        Args:
            wanted: what the rank says of itself; ``rank`` may be ``ANY_RANK``.
            epoch: the meta service's.
            session: the session it joined by.
            now: seconds.

        Returns:
            The member, and whether it must wipe its segment because it had been given up, and has not
            reported since.

        Raises:
            CacheError: -3006, the rank is another living segment's; -3013, too many ranks.
        """
        rank = self._number_for(wanted)
        old = self._peers.get(rank)
        if old is not None and old.member.segment != wanted.segment:
            self._remember(old.member.segment, rank)
        wipe = wanted.segment in self._given_up
        self._admissions += 1
        term = Term(epoch, self._admissions).packed()
        member = wanted._replace(rank=rank, term=term, state=MemberState.JOINING)
        drains = old is not None and old.member.segment == wanted.segment and old.drains
        self._peers[rank] = Peer(member, now, session, reported=False, wipes=wipe, drains=drains)
        self._unreported.add(rank)
        if old is not None:
            self._end_session(old)
        self._in_session[session] = rank
        self._change(rank)
        return member, wipe

    def _end_session(self, peer: Peer) -> None:
        """What is said in the session of this rank is said by nobody, unless another has joined in it."""
        if self._in_session.get(peer.session) == peer.member.rank:
            del self._in_session[peer.session]

    def wiped(self, rank: int) -> bool:
        """The rank reports, and so has wiped if it had to; whether that is news to be written down."""
        peer = self._peers[rank]
        if not peer.wipes:
            return False
        peer.wipes = False
        self._given_up.pop(peer.member.segment, None)
        return True

    def agree(self, rank: int, world: int, pool: int) -> None:
        """A rank says what cluster it is meant for; the first to say so decides, while there are members.

        Args:
            rank: the wanted number, or ``ANY_RANK``.
            world: how many ranks the cluster may have; 0: unsaid.
            pool: the cluster's number.

        Raises:
            CacheError: -3000, the others said something else, or the rank is not in that world.
        """
        if not world:
            return
        if not self._peers:
            self._world = self._pool = 0
        if world > self._ranks_max:
            raise error_for(Code.INVALID_ARGUMENT, f"worldSize {world}: at most {self._ranks_max}")
        if rank != ANY_RANK and rank >= world:
            raise error_for(Code.INVALID_ARGUMENT, f"rank {rank} in a world of {world}")
        if self._world and (world, pool) != (self._world, self._pool):
            said = f"worldSize {world}, createId {pool}"
            raise error_for(Code.INVALID_ARGUMENT, f"{said}: the cluster has {self._world} and {self._pool}")
        self._world, self._pool = world, pool

    def _number_for(self, wanted: Member) -> int:
        for rank, peer in self._peers.items():
            if peer.member.segment == wanted.segment:
                return rank
        if wanted.rank != ANY_RANK:
            if wanted.rank >= self._ranks_max:
                sentence = (
                    f"rank {wanted.rank}: a cluster has ranks 0 to {self._ranks_max - 1} (meta.ranks_max)"
                )
                raise CacheError(sentence, Code.TOO_LARGE)
            taken = self._peers.get(wanted.rank)
            if taken is not None and taken.member.state != MemberState.SUSPECT:
                raise AlreadyExists(
                    f"rank {wanted.rank} is taken by a living service: give another --rank, or none"
                )
            return wanted.rank
        most = self._world or self._ranks_max
        for rank in range(most):
            if rank not in self._peers:
                return rank
        raise error_for(Code.TOO_LARGE, f"more than {most} ranks")

    def finish_report(self, rank: int) -> None:
        """The rank has reported everything: it is live."""
        peer = self._peers[rank]
        peer.reported = True
        self._unreported.discard(rank)
        self._is_blind = False
        self._set_state(peer, _state_of(peer))

    def heard(self, rank: int, now: float) -> None:
        """The rank gave a sign of life."""
        peer = self._peers[rank]
        peer.heard = now
        if peer.member.state == MemberState.SUSPECT:
            self._set_state(peer, _state_of(peer))

    def drain(self, rank: int, *, drains: bool) -> None:
        """The rank is to take no new objects, or has normal duty again."""
        peer = self._peers[rank]
        peer.drains = drains
        if peer.member.state in (MemberState.LIVE, MemberState.DRAINING):
            self._set_state(peer, _state_of(peer))

    def give_up(self, rank: int) -> None:
        """The rank left, or was silent for too long."""
        peer = self._peers.pop(rank)
        self._unreported.discard(rank)
        self._remember(peer.member.segment, rank)
        self._end_session(peer)
        self._change(rank)

    def _remember(self, segment: int, rank: int) -> None:
        self._given_up[segment] = rank
        if len(self._given_up) > _REMEMBERED:
            del self._given_up[next(iter(self._given_up))]

    def judge(self, now: float, suspect_s: float, give_up_s: float) -> list[int]:
        """Suspect the silent; returns those to be given up."""
        lost = []
        if self._doubts_until <= now:
            self._doubts_until = 0.0
        for peer in self.peers():
            silent = now - peer.heard
            if silent >= give_up_s:
                lost.append(peer.member.rank)
            elif silent >= suspect_s:
                self._set_state(peer, MemberState.SUSPECT)
        return lost

    def restart_countdowns(self, now: float) -> None:
        """Nobody was silent before now."""
        for peer in self._peers.values():
            peer.heard = now

    def _set_state(self, peer: Peer, state: MemberState) -> None:
        if peer.member.state != state:
            peer.member = peer.member._replace(state=int(state))
            self._change(peer.member.rank)

    def written(self) -> tuple[tuple[int, int, int], ...]:
        """What is to be written down: rows of (rank, segment, 1 when given up, 2 when it drains)."""
        present = [
            (
                peer.member.rank,
                peer.member.segment,
                int(_Written.DRAINING if peer.drains else _Written.PRESENT),
            )
            for peer in self.peers()
        ]
        lost = ((rank, segment, int(_Written.GIVEN_UP)) for segment, rank in self._given_up.items())
        return (*present, *lost)

    def restore(self, rows: Iterable[tuple[int, int, int]], now: float) -> None:
        """Take up what was written: the members are suspect until they report."""
        for rank, segment, written in rows:
            if written == _Written.GIVEN_UP:
                self._given_up[segment] = rank
                continue
            member = Member(rank, 0, MemberState.SUSPECT, segment, 0, 0, "", "")
            drains = written == _Written.DRAINING
            self._peers[rank] = Peer(member, now, 0, reported=False, drains=drains)
            self._unreported.add(rank)
        for peer in self._peers.values():
            peer.wipes = peer.member.segment in self._given_up

    def forget_reports(self, now: float) -> None:
        """A new epoch: everyone must join and report again."""
        self._in_session.clear()
        for peer in self._peers.values():
            peer.reported = False
            self._unreported.add(peer.member.rank)
            peer.session = 0
            self._set_state(peer, MemberState.SUSPECT)
        self.restart_countdowns(now)

    def check(self) -> None:
        """Invariants: one rank a segment, no segment given up and present unless it wipes, terms differ."""
        segments = [peer.member.segment for peer in self.peers()]
        assert len(segments) == len(set(segments))
        wiping = {peer.member.segment for peer in self.peers() if peer.wipes}
        assert set(segments) & set(self._given_up) <= wiping
        assert self._unreported == {peer.member.rank for peer in self.peers() if not peer.reported}
        terms = [peer.member.term for peer in self.peers() if peer.member.term]
        assert len(terms) == len(set(terms))
        assert all(self._peers[rank].session == session for session, rank in self._in_session.items())
        views = list(self._changed_in.values())
        assert views == sorted(set(views))
        assert views[-1:] in ([], [self.view])


def _state_of(peer: Peer) -> MemberState:
    """The state of a rank that is heard of."""
    if not peer.reported:
        return MemberState.JOINING
    return MemberState.DRAINING if peer.drains else MemberState.LIVE
