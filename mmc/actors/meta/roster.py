"""Ranks coming, reporting, living and going, as the meta service sees them.

1. An admission, a departure or a giving up is persisted before anyone is told of it.
2. A rank that joins reports what it has published; what was listed for it and is not in the report is
   gone.  One that had been given up is told to wipe instead, so that nothing removed returns.
3. A rank that knows an epoch as high as this service's, without having been admitted in it, was a
   member of a cluster that this service knows nothing of: the epoch moves beyond it.  It moves a bounded
   way: a number that no service can have reached is a damaged one, and would leave none to come.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING

import msgpack

from mmc.actors.contract import Audit, Note, Persist
from mmc.cache.membership import WRITTEN, MembershipTable, Peer
from mmc.errors import Code, error_for
from mmc.identifiers import ANY_RANK, LAST_EPOCH, Location, Member, pack_versions
from mmc.wire.replies import Admitted, Codes, Pulse

if TYPE_CHECKING:
    from mmc.actors.contract import Effect
    from mmc.actors.meta.naming import Naming
    from mmc.actors.reception import Request
    from mmc.limits import MetaLimits
    from mmc.wire.operations import Message
    from mmc.wire.requests import Heartbeat, Join, Report

_EPOCH_SHIFT = 32
_FURTHEST = 1 << 20
_REPORTED_LEASE_PERCENT = 102
_LATE_S = 0.5
_SEGMENTS = 1 << 64


def is_membership(written: bytes) -> bool:
    """Whether this is what :meth:`Roster.persisted` gives, and not what became of it on a disk."""
    try:
        data = msgpack.unpackb(written, use_list=False)
    except (ValueError, msgpack.exceptions.UnpackException):
        return False
    match data:
        case (int(epoch), tuple(rows)) if 0 < epoch < LAST_EPOCH and all(map(_is_row, rows)):
            present = [row for row in rows if row[2] != 1]
            kinds = (0, 1)
            return all(len({row[at] for row in present}) == len(present) for at in kinds)
    return False


def _is_row(row: object) -> bool:
    match row:
        case (int(rank), int(segment), int(written)) if written in WRITTEN:
            return 0 <= rank < ANY_RANK and 0 <= segment < _SEGMENTS
    return False


class Roster:
    """The members of the cluster and their sessions."""

    def __init__(self, limits: MetaLimits, written: bytes, now: float) -> None:
        """``written`` is what was last persisted, or empty."""
        self._limits = limits
        self.table = MembershipTable(limits.ranks_max)
        self._admitted: set[int] = set()
        self._judged = now
        self._judge_every = limits.suspect_ms / 4000
        self.epoch = 1
        if written:
            epoch, rows = msgpack.unpackb(written, use_list=False)
            self.epoch = epoch + 1
            self.table.restore(rows, now)
        else:
            self.table.begin_blind()

    def persisted(self) -> Persist:
        """The membership and the epoch, to be written down."""
        data = msgpack.packb((self.epoch, self.table.written()))
        assert isinstance(data, bytes)
        return Persist(data)

    def outdated_by(self, join: Join) -> bool:
        """Whether a joining rank comes from an epoch that this service must move beyond.

        Raises:
            CacheError: -3000, no service has ever been in that epoch.
        """
        epoch = join.term >> _EPOCH_SHIFT
        if not self._is_possible(epoch):
            raise error_for(Code.INVALID_ARGUMENT, f"a rank of epoch {epoch}")
        return epoch >= self.epoch and join.segment not in self._admitted

    def is_behind(self, epoch: int) -> bool:
        """Whether somebody has heard of an epoch that this service does not know: it must move beyond."""
        return self.epoch < epoch and self._is_possible(epoch)

    def _is_possible(self, epoch: int) -> bool:
        return epoch < min(LAST_EPOCH, self.epoch + _FURTHEST)

    def begin_epoch(self, epoch: int, now: float) -> None:
        """Everyone must join and report again."""
        self.epoch = epoch
        self._admitted.clear()
        self.table.forget_reports(now)
        self.table.doubt(now + (self._limits.serve_ms + self._limits.grace_ms) / 1000)

    def join(self, request: Request, join: Join, naming: Naming, now: float) -> tuple[Message, list[Effect]]:
        """Admit a rank.

        Raises:
            CacheError: -3006 its rank is taken; -3013 there are too many; -3000 it is meant for another
                cluster.
        """
        assert request.session is not None
        self.table.agree(join.rank, join.world, join.pool)
        wanted = Member(
            join.rank,
            0,
            0,
            join.segment,
            join.boot,
            join.capacity,
            join.path,
            join.control_url,
            join.data_url,
        )
        before = {peer.member.rank: peer.member.segment for peer in self.table.peers()}
        member, wipe = self.table.admit(wanted, self.epoch, request.session.number, now)
        gone: list[Effect] = []
        if before.get(member.rank, member.segment) != member.segment:
            naming.lose_rank(member.rank, now)
            gone.append(self._gone(member.rank, "was replaced by another segment"))
        self._admitted.add(member.segment)
        naming.begin_report(member.rank)
        limits = self._limits
        reply = Admitted(
            member.rank,
            member.term,
            wipe,
            limits.serve_ms,
            limits.evict_threshold_high_percent,
            limits.evict_threshold_low_percent,
        )
        note = self._note(
            "rank admitted", member.rank, f"at {join.path}, wipe {wipe}", ("segment", f"{join.segment:016x}")
        )
        return reply, [self.persisted(), *gone, note]

    def peer_of(self, request: Request) -> Peer:
        """The rank that a request comes from.

        Raises:
            CacheError: -3018, this session is not, or not any more, a member's.
        """
        assert request.session is not None
        peer = self.table.peer_in(request.session.number)
        if peer is None:
            raise error_for(Code.NO_SUCH_RANK, "this session has not joined")
        return peer

    def wiped(self, peer: Peer) -> list[Effect]:
        """A rank that reports has wiped, if it had to: that is written down before it is answered."""
        return [self.persisted()] if self.table.wiped(peer.member.rank) else []

    def report(self, peer: Peer, report: Report, naming: Naming, now: float) -> Message:
        """Take up a part of a rank's report.

        Raises:
            CacheError: -3018, it is a report of an earlier term.
        """
        rank = peer.member.rank
        if report.term != peer.member.term:
            raise error_for(Code.NO_SUCH_RANK, "a report of an earlier term")
        longest_ms = self._limits.lease_max_ms * _REPORTED_LEASE_PERCENT // 100
        codes = []
        for key, version, size, place, leased_ms in zip(
            report.keys,
            pack_versions(report.versions),
            report.sizes,
            map(Location, repeat(rank), report.records, report.generations),
            report.leased_ms,
            strict=True,
        ):
            leased_until = now + min(leased_ms, longest_ms) / 1000 if leased_ms else 0.0
            codes.append(int(naming.report(key, version, size, place, leased_until, now)))
        if report.last:
            naming.finish_report(rank)
            self.table.finish_report(rank)
        return Codes(tuple(codes))

    def heartbeat(self, peer: Peer, heartbeat: Heartbeat, naming: Naming, *, copying: bool) -> Message:
        """Let a rank serve on; tell it how many events it should have seen, and whether to copy."""
        peer.counters = heartbeat.counters
        numbers = naming.outboxes.of(peer.member.rank).numbers
        return Pulse(self._limits.serve_ms, numbers[False], numbers[True], peer.drains, copying)

    def leave(self, rank: int, naming: Naming, now: float, why: str) -> list[Effect]:
        """The rank is no member any more."""
        self.table.give_up(rank)
        naming.lose_rank(rank, now)
        return [self.persisted(), self._gone(rank, why)]

    def note(self, event: str, rank: int) -> Note:
        """What was decided about a rank, for both logs."""
        return self._note(event, rank, "", ("reason", "asked for"))

    def _gone(self, rank: int, why: str) -> Note:
        return self._note("rank gone", rank, why, ("reason", why))

    def _note(self, event: str, rank: int, detail: str, about: tuple[str, str]) -> Note:
        """A change of the membership, for both logs."""
        return Note(event, f"rank {rank} {detail}", Audit((("rank", rank), ("epoch", self.epoch), about)))

    def judge(self, naming: Naming, now: float) -> list[Effect]:
        """Suspect and give up the silent, unless it was this service that slept."""
        effects: list[Effect] = []
        if now - self._judged > _LATE_S + self._judge_every:
            self.table.restart_countdowns(now)
        self._judged = now
        give_up_s = (self._limits.serve_ms + self._limits.grace_ms) / 1000
        for rank in self.table.judge(now, self._limits.suspect_ms / 1000, give_up_s):
            effects += self.leave(rank, naming, now, "was silent for too long")
        return effects

    def next_deadline(self) -> float:
        """When the next judgement is due."""
        return self._judged + self._judge_every
