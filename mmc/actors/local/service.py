"""A local service as an actor: it joins the meta service, serves clients, and obeys events.

1. *Joining*: hello, join, the new term, a report of everything published; then it is live.  Whenever the
   session is lost or the meta service does not know it, it joins again; same-host reads go on.
2. What it says to the meta service is asked again until answered: confirmations and acknowledgements are
   repeated if their request fails, so that nothing hangs on one message.
3. What was invalidated by command is reused only once its acknowledgement was answered.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mmc.actors.contract import EVENTS, META, Note, Subscribe
from mmc.actors.link import Link, Ticket
from mmc.actors.local.desk import Desk
from mmc.actors.local.keeper import Keeper, Published
from mmc.actors.local.obedience import Obedience, Outcome
from mmc.actors.local.reporting import Reporting
from mmc.actors.reception import Reception
from mmc.errors import Code, RemoteProtocolError
from mmc.identifiers import ANY_RANK
from mmc.segments.layout import AT_RANK, AT_SERVE_UNTIL
from mmc.wire import replies, requests
from mmc.wire.codec import decode_body, decode_header
from mmc.wire.operations import CommandKind, PeerKind
from mmc.wire.topics import GapDetector, evict_topic, lease_topic

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmc.actors.contract import Address, Draw, Effect
    from mmc.actors.local.desk import Watch
    from mmc.limits import ClientLimits, LocalLimits, WireLimits
    from mmc.segments.layout import Segment
    from mmc.wire.operations import Message
    from mmc.wire.sequence import Frames

RANK_LIVE = "rank live"
JOIN_REFUSED = "join refused"
HELLO_REFUSED = "hello refused"
"""Notes that the service around this actor acts on."""

_PATIENCE_S = 10.0
_REJOIN_S = 0.5
_LONGEST_SERVE_MS = 1 << 40


class LocalActor:
    """One rank."""

    def __init__(
        self,
        segment: Segment,
        limits: LocalLimits,
        wire: WireLimits,
        asking: ClientLimits,
        draw: Draw,
        watch: Watch,
        wanted: requests.Join,
    ) -> None:
        """``wanted`` says what the rank is; ``watch`` knows which clients are alive.

        Raises:
            ValueError: the segment is damaged.
        """
        self._limits = limits
        self._wanted = wanted
        self.keeper = Keeper(segment, limits)
        self.obedience = Obedience(self.keeper)
        self._link = Link(META, draw(), PeerKind.RANK, asking, draw, self._on_open, Code.META_UNREACHABLE)
        reception = Reception(wire, requests.REQUESTS_TO_RANK, 1, draw)
        self.desk = Desk(self.keeper, reception, watch, limits, self._ask)
        self.rank: int | None = None
        self.term = 0
        self.is_live = False
        self.refusal: Code | None = None
        self.refusal_sentence = ""
        self.has_left = False
        self._events_url = ""
        self._join_number = 0
        self._reporting = Reporting(self.keeper, limits.report_records)
        self._rejoin_at: float | None = None
        self._heartbeat_at = 0.0
        self._reap_at = 0.0
        self._confirmations = 0
        self._gaps = {False: GapDetector(), True: GapDetector()}
        self._resyncing = False
        self._effects: list[Effect] = []
        self._now = 0.0
        self.beside: Callable[[], tuple[tuple[str, int], ...]] = tuple
        """Counters of what serves the segment beside this actor."""
        self.on_copies_wanted: Callable[[], None] = _nothing
        """Called when objects of this rank are to be copied to others."""

    # The interface of an actor

    def start(self, now: float) -> list[Effect]:
        """Begin to join."""
        self._now = now
        self._reap_at = now
        self._link.greet(now)
        return self._flush()

    def receive(self, source: Address, frames: Frames, now: float) -> list[Effect]:
        """Take a reply of the meta service, an event, or a client's request."""
        self._now = now
        if source == META:
            self._link.receive(frames, now)
            self.is_live = self.is_live and self._link.is_open
        elif source == EVENTS:
            self._receive_event(frames, now)
        else:
            self._effects += self.desk.receive(source, frames, now)
        return self._flush()

    def expire(self, now: float) -> list[Effect]:
        """Heartbeat, look for the dead, end what is past its deadline."""
        self._now = now
        self._link.expire(now)
        if self._rejoin_at is not None and self._rejoin_at <= now:
            self._rejoin_at = None
            if self._link.is_open:
                self._join(now)
            else:
                self._link.greet(now)
        if self._link.is_refused and self._rejoin_at is None:
            self._rejoin_at = now + _REJOIN_S
            self._effects.append(Note(HELLO_REFUSED, "the meta service takes no more sessions"))
        if self.is_live and self._heartbeat_at <= now:
            self._heartbeat_at = now + self._limits.heartbeat_ms / 1000
            self._beat(now)
        if self._reap_at <= now:
            self._reap_at = now + self._limits.reap_ms / 1000
            self.desk.reap()
        self._effects += self.desk.expire(now)
        return self._flush()

    def next_deadline(self) -> float:
        """When :meth:`expire` has something to do."""
        times = (
            self._link.next_deadline(),
            self._rejoin_at,
            self._heartbeat_at if self.is_live else None,
            self._reap_at,
            self.desk.next_deadline(),
        )
        return min(time for time in times if time is not None)

    def leave(self, now: float) -> list[Effect]:
        """Tell the meta service that this rank goes for good."""
        self._now = now
        self.is_live = False
        self._effects += self.desk.close()
        self.keeper.segment.words[AT_SERVE_UNTIL] = 0  # seen by whoever sees what the message brings about
        self._ask(requests.Leave(), self._left)
        return self._flush()

    def _left(self, _ticket: Ticket) -> None:
        self.has_left = True

    def _flush(self) -> list[Effect]:
        self._effects += self.desk.serve(self._now)
        self._confirm()
        effects, self._effects = self._effects, []
        return [*effects, *self._link.take_effects()]

    def _ask(self, message: Message, on_done: Callable[[Ticket], None]) -> None:
        self._link.request(message, self._now + _PATIENCE_S, self._now, on_done)

    # Joining

    def _on_open(self, welcome: replies.Welcome, now: float) -> None:
        self._events_url = welcome.events_url
        self._join(now)

    def _join(self, now: float) -> None:
        self._join_number += 1
        self._rejoin_at = None
        number = self._join_number
        self.is_live = False
        wanted = self._wanted
        join = requests.Join(
            wanted.rank if self.rank is None else self.rank,
            self.term or self.keeper.segment.term,
            wanted.segment,
            wanted.boot,
            wanted.capacity,
            wanted.records,
            wanted.path,
            wanted.control_url,
            wanted.world,
            wanted.pool,
            wanted.data_url,
        )
        self._link.request(join, now + _PATIENCE_S, now, lambda t: self._admitted(t, number))

    def _admitted(self, ticket: Ticket, number: int) -> None:
        if number != self._join_number:
            return
        admitted = ticket.reply
        if not isinstance(admitted, replies.Admitted) or admitted.rank >= ANY_RANK:
            if ticket.code != Code.UNKNOWN_SEQUENCE:
                self.refusal = ticket.code
                if ticket.code == Code.EXISTS:  # while it was given up, another took its number
                    self.rank = None
                if isinstance(ticket.reply, replies.Failure):
                    self.refusal_sentence = ticket.reply.sentence
                self._effects.append(Note(JOIN_REFUSED, ticket.code.name))
                self._rejoin_at = self._now + _REJOIN_S
            return
        self.refusal = None
        self.rank, self.term = admitted.rank, admitted.term
        self.keeper.segment.words[AT_RANK] = admitted.rank + 1
        self.desk.relief.high_percent = admitted.high_percent
        self.desk.relief.low_percent = admitted.low_percent
        self.desk.begin_epoch(admitted.term >> 32)
        if admitted.wipe:
            self._effects.append(Note("segment wiped", "the rank had been given up"))
        self.obedience.begin_epoch(admitted.term >> 32)
        self.keeper.acknowledge_all()
        self.keeper.begin_term(admitted.term, wipes=bool(admitted.wipe))
        self.keeper.confirming.clear()
        self._serve_until(admitted.serve_ms, ticket.since)
        topics = (evict_topic(admitted.rank), lease_topic(admitted.rank))
        self._effects.append(Subscribe(self._events_url, topics))
        self._reporting = Reporting(self.keeper, self._limits.report_records)
        self._report(number)

    def _serve_until(self, serve_ms: int, since: float) -> None:
        self.keeper.segment.words[AT_SERVE_UNTIL] = int(since * 1000) + min(serve_ms, _LONGEST_SERVE_MS)

    def _report(self, number: int) -> None:
        for part in self._reporting.parts(self._now):
            self._ask(part, partial(self._reported, number, part))

    def _reported(self, number: int, part: requests.Report, ticket: Ticket) -> None:
        if number != self._join_number:
            return
        if not isinstance(ticket.reply, replies.Codes):
            self._fail_to_join(ticket)
            return
        self._reporting.answered(part, ticket.reply.codes)
        if not part.last:
            self._report(number)
            return
        self.is_live = True
        self._heartbeat_at = self._now
        self._effects.append(Note(RANK_LIVE, f"rank {self.rank}"))

    def _fail_to_join(self, ticket: Ticket) -> None:
        if ticket.code != Code.UNKNOWN_SEQUENCE and self._rejoin_at is None:
            self.is_live = False
            self._rejoin_at = self._now + _REJOIN_S

    # What the meta service is told

    def _beat(self, now: float) -> None:
        counters = (
            *self.desk.counters(),
            ("evictions", self.obedience.evictions),
            ("event_gaps", self._gaps[False].gaps + self._gaps[True].gaps),
            *self.beside(),
        )
        heartbeat = requests.Heartbeat(counters)
        patience = 4 * self._limits.heartbeat_ms / 1000
        self._link.request(heartbeat, now + patience, now, partial(self._beaten, self._join_number))

    def _beaten(self, number: int, ticket: Ticket) -> None:
        pulse = ticket.reply
        if isinstance(pulse, replies.Pulse):
            self._serve_until(pulse.serve_ms, ticket.since)
            self.desk.is_draining = pulse.draining
            if pulse.copying:
                self.on_copies_wanted()
            epoch = self._link.epoch
            behind_evict = self._gaps[False].behind(epoch, pulse.evict_number)
            behind_lease = self._gaps[True].behind(epoch, pulse.lease_number)
            if behind_evict or behind_lease:
                self._resync()
        elif ticket.code == Code.NO_SUCH_RANK and number == self._join_number:
            self._fail_to_join(ticket)

    def _confirm(self) -> None:
        """Pass on what has been seen published, a message at a time; what is reported goes first."""
        if not self.keeper.confirming or not self.is_live or self._confirmations:
            return
        part = self.keeper.confirming[: self._limits.report_records]
        del self.keeper.confirming[: len(part)]
        self._confirmations += 1
        message = requests.Confirmed(
            tuple(one.record for one in part),
            tuple(one.generation for one in part),
            tuple(one.version for one in part),
        )
        number = self._join_number
        self._ask(message, lambda ticket: self._confirmed(ticket, part, number))

    def _confirmed(self, ticket: Ticket, part: list[Published], number: int) -> None:
        self._confirmations -= 1
        if number != self._join_number:
            return
        if isinstance(ticket.reply, replies.Codes):
            self.keeper.retire_refused(part, ticket.reply.codes)
        elif ticket.code != Code.UNKNOWN_SEQUENCE:
            self.keeper.confirming += part

    # Events

    def _receive_event(self, frames: Frames, now: float) -> None:
        try:
            header = decode_header(frames)
            event = decode_body(header, frames)
        except RemoteProtocolError as error:
            self._effects.append(Note("malformed event", error.sentence))
            return
        if not isinstance(event, replies.Commands) or header.epoch != self._link.epoch:
            return
        if event.rank != self.rank or event.term != self.term:
            return
        is_lease = event.kinds[:1] in ((CommandKind.LEASE,), (CommandKind.UNLEASE,))
        if self._gaps[is_lease].saw(header.epoch, event.number):
            self._resync()
        self._obey(event, now)

    def _obey(self, commands: replies.Commands, now: float) -> None:
        """Do what is commanded; commands that come during a report come again.

        What went would be listed by a part of the report that arrives after the acknowledgement.
        """
        if not self.is_live:
            return
        outcomes = self.obedience.carry_out(commands, int(now * 1000))
        if not outcomes:
            return
        self._acknowledge(outcomes)

    def _acknowledge(self, outcomes: list[Outcome]) -> None:
        """Say what became of commands, until that was heard or the session is lost.

        In another session it must not be said: there the same numbers may stand for other commands.
        """
        if not self._link.is_open:
            return
        message = requests.Acknowledge(
            tuple(outcome.id for outcome in outcomes),
            tuple(int(outcome.code) for outcome in outcomes),
        )
        self._ask(message, lambda ticket: self._acknowledged(ticket, outcomes))

    def _acknowledged(self, ticket: Ticket, outcomes: list[Outcome]) -> None:
        if isinstance(ticket.reply, replies.Codes):
            for outcome in outcomes:
                if outcome.code in (Code.OK, Code.NOT_FOUND):
                    self.keeper.acknowledged(outcome.record, outcome.id)
        elif ticket.code != Code.UNKNOWN_SEQUENCE:
            self._acknowledge(outcomes)

    def _resync(self) -> None:
        if not self._resyncing:
            self._resyncing = True
            self._ask(requests.Resync(), self._resynced)

    def _resynced(self, ticket: Ticket) -> None:
        self._resyncing = False
        commands = ticket.reply
        if isinstance(commands, replies.Commands) and commands.term == self.term:
            self._obey(commands, self._now)

    def check(self) -> None:
        """Every invariant of the rank."""
        self.keeper.check()
        self.desk.reception.check()


def _nothing() -> None:
    pass
