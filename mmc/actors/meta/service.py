"""The meta service as an actor: one request in, its effects out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.actors.contract import Audit, Note, Publish
from mmc.actors.meta.answers import claim_names, confirm_records, grant_copies, list_keys, lookup
from mmc.actors.meta.batches import Batch, Batches, removals
from mmc.actors.meta.moving import Moving
from mmc.actors.meta.naming import Naming
from mmc.actors.meta.relieving import relieve
from mmc.actors.meta.roster import Roster
from mmc.actors.meta.traffic import Traffic
from mmc.actors.reception import Reception
from mmc.cache.membership import MemberState
from mmc.cache.names import NameState
from mmc.cache.tally import Tally
from mmc.errors import CacheError, Code, told_code
from mmc.identifiers import unpack_version
from mmc.wire import replies, requests
from mmc.wire.codec import Header, encode
from mmc.wire.operations import WIRE_VERSION, DrainState, Message, PeerKind
from mmc.wire.topics import MEMBER, evict_topic, lease_topic

if TYPE_CHECKING:
    from mmc.actors.contract import Address, Draw, Effect
    from mmc.actors.reception import Request
    from mmc.cache.commands import Command
    from mmc.cache.membership import Peer
    from mmc.cache.names import Entry
    from mmc.limits import MetaLimits, WireLimits
    from mmc.wire.sequence import Frames

_TALLIED = 4


class MetaActor:
    """One active meta service."""

    def __init__(  # the service's surroundings
        self,
        limits: MetaLimits,
        wire: WireLimits,
        draw: Draw,
        now: float,
        *,
        events_url: str = "",
        written: bytes = b"",
    ) -> None:
        """``written`` is what an earlier one persisted; ``events_url`` is told to whoever says hello."""
        self._limits = limits
        self._events_url = events_url
        self.roster = Roster(limits, written, now)
        self.naming = Naming(limits)
        self.moving = Moving(limits, self.roster.table, self.naming)
        self.reception = Reception(wire, requests.REQUESTS_TO_META, self.roster.epoch, draw)
        self._batches = Batches()
        self._traffic = Traffic()
        self._tally = Tally(_TALLIED * wire.sessions_max)
        self._complete: list[Batch] = []
        self._member_number = 0
        self._told_view = 0
        self._tick_at = now
        self._started = now

    @property
    def epoch(self) -> int:
        """The term of this service."""
        return self.roster.epoch

    def start(self) -> list[Effect]:
        """What is to be done before anything is received."""
        return [self.roster.persisted(), self._new_epoch("the service starts")]

    def receive(self, source: Address, frames: Frames, now: float) -> list[Effect]:
        """Take one request."""
        request, effects = self.reception.receive(source, frames, now)
        if request is None:
            return effects
        self._traffic.asked(request.message)
        try:
            effects = self._execute(request, now)
        except CacheError as error:
            self._traffic.failed(request.message)
            effects = self.reception.fail(request, error.code, error.sentence)
        return [*effects, *self._flush(self.naming.outboxes.take_fresh(), now)]

    def _execute(self, request: Request, now: float) -> list[Effect]:
        match request.message:
            case requests.Hello() as hello:
                return self._welcome(request, hello, now)
            case requests.Lookup(keys):
                return self.reception.reply(request, lookup(self.naming, self.roster.table, keys, now))
            case requests.Claim() as claim:
                return self.reception.reply(request, self._claim(request, claim, now))
            case requests.Remove(keys):
                return self._remove(request, keys, now)
            case requests.Lease(keys, ttl_ms):
                return self._lease(request, keys, ttl_ms)
            case requests.Unlease() as unlease:
                return self._unlease(request, unlease, now)
            case requests.MembersQuery(view):
                return self.reception.reply(request, self._membership(view))
            case requests.StatusQuery():
                return self.reception.reply(request, self._status(now))
            case requests.ListKeys() as asked:
                return self.reception.reply(request, list_keys(self.naming, self.roster.table, asked))
            case requests.KeepAlive(counters):
                return self._keep_alive(request, dict(counters))
            case requests.Goodbye():
                return self._part(request)
            case requests.Replicate() as copies:
                return self.reception.reply(
                    request, grant_copies(self.naming, self.roster.table, copies, now)
                )
            case requests.CopiesWanted() as wanted:
                return self.reception.reply(request, self.moving.plan(wanted, now))
            case requests.Drain() as drain:
                return self._drain(request, drain)
            case requests.Join() as join:
                return self._join(request, join, now)
            case _:
                return self._execute_for_rank(request, now)

    def _execute_for_rank(self, request: Request, now: float) -> list[Effect]:
        peer = self.roster.peer_of(request)
        rank = peer.member.rank
        self.roster.table.heard(rank, now)
        reply: Message = replies.Codes(())
        effects: list[Effect] = []
        match request.message:
            case requests.Report() as report:
                reply = self.roster.report(peer, report, self.naming, now)
                effects = self.roster.wiped(peer)
                if report.last:
                    self.moving.repair()
            case requests.Heartbeat() as heartbeat:
                copying = self.moving.is_wanted(rank, now)
                reply = self.roster.heartbeat(peer, heartbeat, self.naming, copying=copying)
            case requests.Confirmed() as confirmed:
                reply = confirm_records(self.naming, rank, confirmed, now)
            case requests.Acknowledge(ids, codes):
                for number, code in zip(ids, codes, strict=True):
                    self.naming.acknowledge(rank, number, told_code(code), now)
            case requests.Pressure() as pressure:
                reply = relieve(self.naming, self._limits, rank, pressure)
            case requests.Resync():
                outstanding = list(self.naming.outboxes.of(rank).outstanding.values())
                reply = _commands(peer, 0, outstanding[: self._limits.commands_per_event])
            case requests.Leave():
                effects = self.roster.leave(rank, self.naming, now, "left")
                self.moving.repair()
            case _:
                raise AssertionError(f"no case for {type(request.message).__name__}")
        return [*effects, *self.reception.reply(request, reply)]

    def _welcome(self, request: Request, hello: requests.Hello, now: float) -> list[Effect]:
        is_behind = self.roster.is_behind(request.epoch)
        effects = self._begin_epoch(request.epoch + 1, now) if is_behind else []
        session = self.reception.open(hello, now)
        welcome = replies.Welcome(
            session.number,
            min(WIRE_VERSION, hello.newest_version),
            self.reception.window_requests,
            0,
            self._events_url,
            self.roster.table.view,
            self.roster.table.members() if hello.kind == PeerKind.CLIENT else (),
            self._limits.lease_ttl_ms,
        )
        return [*effects, *self.reception.reply(request, welcome)]

    def _keep_alive(self, request: Request, counters: dict[str, int]) -> list[Effect]:
        assert request.session is not None
        if counters:
            self._tally.tell(request.session.client, counters.get("gets", 0), counters.get("hits", 0))
        return self.reception.reply(request, replies.Codes(()))

    def _part(self, request: Request) -> list[Effect]:
        assert request.session is not None
        effects = self.reception.reply(request, replies.Codes(()))
        self.reception.close(request.session)
        self._tally.forget(request.session.client)
        return effects

    def _membership(self, view: int) -> replies.Membership:
        return replies.Membership(self.roster.table.view, *self.roster.table.changes_since(view))

    def _claim(self, request: Request, claim: requests.Claim, now: float) -> replies.Claimed:
        assert request.session is not None
        return claim_names(self.naming, self.roster.table, request.session.client, claim, now)

    def _remove(self, request: Request, keys: tuple[bytes, ...], now: float) -> list[Effect]:
        self.naming.leases.expire(now)
        batch = Batch(request, len(keys), self._complete)
        known = self.roster.table.all_reported()
        for index, key in enumerate(keys):
            entry = self.naming.names.get(key)
            if not known:
                batch.settle(index, Code.NO_SUCH_RANK)
            elif entry is None:
                batch.settle(index, Code.NOT_FOUND)
            elif self.naming.is_leased(key):
                batch.settle(index, Code.LEASED)
            elif not all(self._is_sound(place.rank) for place in self.naming.places_of(entry)):
                batch.settle(index, Code.NO_SUCH_RANK)
            else:
                self.naming.remove(entry, (batch, index))
        self._batches.open(batch)
        return []

    def _is_sound(self, rank: int) -> bool:
        peer = self.roster.table.peer(rank)
        return peer is not None and peer.reported and peer.member.state != MemberState.SUSPECT

    def _lease(self, request: Request, keys: tuple[bytes, ...], ttl_ms: int) -> list[Effect]:
        assert request.session is not None
        ttl_ms = ttl_ms or self._limits.lease_ttl_ms
        if ttl_ms > self._limits.lease_max_ms:
            return self.reception.fail(
                request,
                Code.INVALID_ARGUMENT,
                f"a lease lasts at most lease_max_ms = {self._limits.lease_max_ms}",
            )
        batch = Batch(request, len(keys), self._complete)
        for index, key in enumerate(keys):
            entry = self._leasable(key, batch, index)
            if entry is not None:
                self.naming.leasing.lease(entry, request.session.number, ttl_ms, (batch, index))
        self._batches.open(batch)
        return []

    def _unlease(self, request: Request, unlease: requests.Unlease, now: float) -> list[Effect]:
        assert request.session is not None
        batch = Batch(request, len(unlease.keys), self._complete)
        for index, key in enumerate(unlease.keys):
            entry = self._leasable(key, batch, index)
            if entry is None:
                continue
            ended = {request.session.number}
            if unlease.abandoned:
                holders = self.naming.leases.holders(key)
                ended.update(number for number in holders if self.reception.has_parted(number))
            self.naming.leasing.unlease(entry, ended, (batch, index), now)
        self._batches.open(batch)
        return []

    def _leasable(self, key: bytes, batch: Batch, index: int) -> Entry | None:
        entry = self.naming.names.get(key)
        if entry is None:
            known = self.roster.table.all_reported()
            batch.settle(index, Code.NOT_FOUND if known else Code.UNREACHABLE)
        elif entry.state is NameState.LEAVING:
            batch.settle(index, Code.WRONG_STATE)
        elif not self.naming.leasing.may_command(entry):
            batch.settle(index, Code.TIMED_OUT)
        else:
            return entry
        return None

    def _join(self, request: Request, join: requests.Join, now: float) -> list[Effect]:
        assert request.session is not None
        if self.roster.outdated_by(join):
            effects = self.reception.fail(request, Code.UNKNOWN_SEQUENCE, "a new epoch begins")
            return [*effects, *self._begin_epoch((join.term >> 32) + 1, now)]
        reply, effects = self.roster.join(request, join, self.naming, now)
        return [*effects, *self.reception.reply(request, reply)]

    def _drain(self, request: Request, asked: requests.Drain) -> list[Effect]:
        report, changes = self.moving.ask(asked)
        effects = self.reception.reply(request, report)
        if not changes:
            return effects
        began = "drain begins" if report.state != DrainState.CANCELLED else "drain cancelled"
        return [self.roster.persisted(), self.roster.note(began, asked.rank), *effects]

    def _begin_epoch(self, epoch: int, now: float) -> list[Effect]:
        """What was written down was lost, and somebody knows a later epoch: everybody starts again."""
        self.roster.begin_epoch(epoch, now)
        self.reception.restart(epoch)
        self.naming = Naming(self._limits)
        self.moving = Moving(self._limits, self.roster.table, self.naming)
        return [self.roster.persisted(), self._new_epoch(f"somebody knew epoch {epoch - 1}")]

    def _new_epoch(self, why: str) -> Note:
        audit = Audit((("epoch", self.epoch), ("reason", why)))
        return Note("new epoch", f"epoch {self.epoch}: {why}", audit)

    def _status(self, now: float) -> replies.StatusReport:
        counters = {
            "epoch": self.epoch,
            "uptime_ms": int((now - self._started) * 1000),
            "view": self.roster.table.view,
            "sessions": len(self.reception),
            "objects": len(self.naming.names),
            "unconfirmed": len(self.naming.claims),
            "leased": len(self.naming.leases),
            "evictions": self.naming.evictions,
            "gets": self._tally.gets,
            "hits": self._tally.hits,
            **self.moving.counters(),
            **self._traffic.counters(),
            **self.reception.counters,
        }
        ranks = tuple(
            (peer.member.rank, (*peer.counters, ("state", peer.member.state)))
            for peer in self.roster.table.peers()
        )
        return replies.StatusReport(tuple(counters.items()), ranks)

    def expire(self, now: float) -> list[Effect]:
        """Judge silence, ask about old claims, end what is past its deadline, repeat commands."""
        effects: list[Effect] = []
        if self.roster.next_deadline() <= now:
            gone = self.roster.judge(self.naming, now)
            effects += gone
            if gone:
                self.moving.repair()
        self.naming.check_due_claims(now)
        self.naming.leases.expire(now)
        self._batches.expire(now)
        self.reception.expire(now)
        return [*effects, *self._flush(self.naming.outboxes.ranks(), now)]

    def next_deadline(self) -> float:
        """When :meth:`expire` has something to do."""
        times = (
            self.naming.claims.next_due(),
            self.naming.outboxes.next_due(),
            self.naming.copying.next_due(),
            self._batches.next_deadline(),
        )
        return min(self.roster.next_deadline(), self._tick_at, *[time for time in times if time is not None])

    def _flush(self, ranks: list[int], now: float) -> list[Effect]:
        """Answer what is complete, publish what is due to these ranks and what changed in the membership."""
        effects: list[Effect] = []
        for batch in self._complete:
            codes = tuple(int(code or Code.OK) for code in batch.codes)
            effects += removals(batch)
            effects += self.reception.reply(batch.request, replies.Codes(codes))
        self._complete.clear()
        for rank in ranks:
            effects += self._publish_commands(rank, now)
        view = self.roster.table.view
        if view != self._told_view or self._tick_at <= now:
            self._told_view = view
            self._tick_at = now + self._limits.member_tick_ms / 1000
            self._member_number += 1
            change = replies.MemberChange(self._member_number, view)
            effects.append(Publish(MEMBER, encode(self._event_header(), change)))
        return effects

    def _publish_commands(self, rank: int, now: float) -> list[Effect]:
        peer = self.roster.table.peer(rank)
        outbox = self.naming.outboxes.of(rank)
        effects: list[Effect] = []
        due = outbox.take_due(now)
        if peer is None or not peer.reported:
            return effects
        for is_lease, topic in ((False, evict_topic(rank)), (True, lease_topic(rank))):
            commands = [c for c in due if c.is_lease == is_lease and c.id in outbox.outstanding]
            for start in range(0, len(commands), self._limits.commands_per_event):
                part = commands[start : start + self._limits.commands_per_event]
                number = outbox.next_number(is_lease=is_lease)
                frames = encode(self._event_header(), _commands(peer, number, part))
                effects.append(Publish(topic, frames))
        return effects

    def _event_header(self) -> Header:
        return Header(0, epoch=self.epoch)

    def check(self) -> None:
        """Every invariant of the tables."""
        self.naming.check()
        self.roster.table.check()
        self.reception.check()


def _commands(peer: Peer, number: int, commands: list[Command]) -> replies.Commands:
    return replies.Commands(
        peer.member.rank,
        peer.member.term,
        number,
        tuple(command.id for command in commands),
        tuple(int(command.kind) for command in commands),
        tuple(command.place.record for command in commands),
        tuple(command.place.generation for command in commands),
        tuple(unpack_version(command.entry.version) for command in commands),
        tuple(command.argument for command in commands),
    )
