"""The client as an actor: its sessions with the meta service and the ranks of its host.

What users call are operations (:mod:`mmc.actors.client.putting`, :mod:`mmc.actors.client.asking`), which
run on this actor as :class:`~mmc.actors.client.calls.Call`.  Everything here runs under its driver's lock.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from mmc.actors.client.calls import Call
from mmc.actors.client.guessing import Guessing
from mmc.actors.client.membership import changed_by, completed
from mmc.actors.client.ranks import RankHandle
from mmc.actors.client.room import Room
from mmc.actors.contract import EVENTS, META, Subscribe
from mmc.actors.link import Link, Ticket
from mmc.cache.membership import MemberState
from mmc.errors import CacheError, Code, RemoteProtocolError
from mmc.segments.reader import Reader
from mmc.wire import replies, requests
from mmc.wire.codec import decode_body, decode_header
from mmc.wire.operations import PeerKind
from mmc.wire.topics import MEMBER, GapDetector

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mmc.actors.client.calls import Operation
    from mmc.actors.client.far import Carrier, Far
    from mmc.actors.contract import Address, Draw, Effect
    from mmc.identifiers import Member
    from mmc.limits import ClientLimits
    from mmc.segments.layout import Segment
    from mmc.wire.operations import Message
    from mmc.wire.sequence import Frames

_CLOCK_PER_S = 16
_GOODBYE_S = 1.0
_TAKE_UP_S = 0.5
T = TypeVar("T")


class ClientActor:
    """One client process's end of the cluster."""

    def __init__(
        self,
        client: int,
        limits: ClientLimits,
        ahead_bytes: int,
        draw: Draw,
        attach: Callable[[Member], Segment | None],
        carrier: Carrier | None = None,
    ) -> None:
        """``client`` is its random id; ``attach`` maps a member's segment if it is on this host.

        It raises a CacheError when that is refused for now; then it is asked again.
        ``carrier`` moves bytes from and to other hosts; None: they are out of reach.
        """
        self.client = client
        self.limits = limits
        self._ahead_bytes = ahead_bytes
        self._draw = draw
        self._attach = attach
        self.carrier = carrier
        self.remembered: dict[bytes, Far] = {}
        self._link = Link(META, client, PeerKind.CLIENT, limits, draw, self._on_open, Code.META_UNREACHABLE)
        self.ranks: dict[int, RankHandle] = {}
        self.members: dict[int, Member] = {}
        self.home_rank: int | None = None
        self.writable_ranks: list[int] = []
        self._far_ranks: list[int] = []
        self.has_elsewhere = False
        self.room = Room()
        self.guessing = Guessing()
        self._parted: dict[int, RankHandle] = {}
        self.reader = Reader({}, limits.locations_max, limits.gather_keys)
        self._view = 0
        self._last_view = 0
        self._viewing = False
        self._gap = GapDetector()
        self._puts = 0
        self._waiting: dict[Call[object], None] = {}
        self._effects: list[Effect] = []
        self.counters: Counter[str] = Counter()
        self.gets = 0
        self.hits = 0
        self._told = (0, 0)
        self._tell_at = 0.0
        self._take_up_at: float | None = None
        self.lease_ttl_ms = 0
        self.now = 0.0

    # The interface of an actor

    def start(self, now: float) -> list[Effect]:
        """Say hello."""
        self.now = now
        self._link.greet(now)
        return self._flush()

    def receive(self, source: Address, frames: Frames, now: float) -> list[Effect]:
        """Take a reply or an event."""
        self.now = now
        if source == META:
            self._link.receive(frames, now)
        elif source == EVENTS:
            self._receive_event(frames)
        elif isinstance(source, int) and source in self.ranks:
            self.ranks[source].link.receive(frames, now)
        return self._flush()

    def expire(self, now: float) -> list[Effect]:
        """Retry, time out, confirm, and return what is idle."""
        self.now = now
        self._link.expire(now)
        if self._has_news() and self._tell_at <= now:
            self._tell()
        if self._take_up_at is not None and self._take_up_at <= now:
            self._take_up_members()
        for handle in list(self.ranks.values()):
            handle.expire(now)
        for call in self._waiting:
            if call.wake_at is not None and call.wake_at <= now:
                call.wake_at = None
        return self._flush()

    def next_deadline(self) -> float | None:
        """When :meth:`expire` has something to do."""
        times = [handle.next_deadline() for handle in self.ranks.values()]
        times += [self._link.next_deadline(), self._take_up_at]
        if self._has_news():
            times.append(self._tell_at)
        times += [call.wake_at for call in self._waiting]
        return min([time for time in times if time is not None], default=None)

    def _flush(self) -> list[Effect]:
        effects, self._effects = self._effects, []
        if self._link.effects:
            effects += self._link.take_effects()
        for handle in self.ranks.values():
            if handle.link.effects:
                effects += handle.link.take_effects()
        return effects

    # Calls

    def begin(self, operation: Operation[T], now: float) -> tuple[Call[T], list[Effect]]:
        """Start an operation."""
        self.now = now
        call = Call(operation)
        call.advance(now, begin=True)
        return call, self._after(call)

    def advance(self, call: Call[T], now: float) -> list[Effect]:
        """Go on with an operation whose wait is over."""
        self.now = now
        call.advance(now)
        return self._after(call)

    def _after(self, call: Call[T]) -> list[Effect]:
        if call.done or call.work:
            self._waiting.pop(call, None)  # type: ignore[arg-type] # any call
        else:
            self._waiting[call] = None  # type: ignore[index] # any call
        return self._flush()

    def cancel(self, call: Call[T], now: float) -> list[Effect]:
        """The caller is gone."""
        self.now = now
        call.cancel()
        return self._after(call)

    def take_ready(self) -> list[Call[object]]:
        """Calls that wait no more: their drivers are to go on with them."""
        ready = [call for call in self._waiting if call.can_advance]
        for call in ready:
            del self._waiting[call]
        return ready

    # Asking

    def ask_meta(self, message: Message, deadline: float) -> Ticket:
        """Ask the meta service."""
        return self._link.request(message, deadline, self.now, _nothing)

    @property
    def epoch(self) -> int:
        """The highest epoch known."""
        return self._link.epoch

    @property
    def is_open(self) -> bool:
        """Whether the meta service has ever answered."""
        return self._view > 0

    def next_put(self) -> int:
        """The number of the next put, which never repeats."""
        self._puts += 1
        return self._puts

    def clock(self) -> int:
        """The access clock."""
        return int(self.now * _CLOCK_PER_S)

    # Telling what reads found: the threads that count hold no lock, so a count may be missing

    def _has_news(self) -> bool:
        return self._link.is_open and (self.gets, self.hits) != self._told

    def _tell(self) -> None:
        self._tell_at = self.now + self.limits.report_ms / 1000
        self._told = (self.gets, self.hits)
        message = requests.KeepAlive((("gets", self.gets), ("hits", self.hits)))
        self._link.request(message, self._tell_at, self.now, self._heard)

    def _heard(self, ticket: Ticket) -> None:
        if ticket.code != Code.OK:
            self._told = (0, 0)

    # Membership

    def _on_open(self, welcome: replies.Welcome, now: float) -> None:
        self._told = (0, 0)
        self._tell_at = now + self.limits.report_ms / 1000
        self.lease_ttl_ms = welcome.lease_ttl_ms
        self._effects.append(Subscribe(welcome.events_url, (MEMBER,)))
        self._take_members(welcome.view, welcome.members)

    def saw_view(self, view: int) -> None:
        """Some reply names a view of the membership: ask for it when it is news."""
        self._last_view = view
        if view != self._view and not self._viewing and self._link.is_open:
            self.refresh_members()

    @property
    def is_view_current(self) -> bool:
        """Whether the membership is known that the last reply named."""
        return self._view == self._last_view

    def refresh_members(self, deadline_s: float = 5.0) -> Ticket:
        """Ask who is there."""
        self._viewing = True
        message = requests.MembersQuery(self._view)
        return self._link.request(message, self.now + deadline_s, self.now, self._membership)

    def _membership(self, ticket: Ticket) -> None:
        self._viewing = False
        told = ticket.reply
        if not isinstance(told, replies.Membership):
            return
        if not told.since:
            self._take_members(told.view, told.members)
        elif told.since > self._view:  # the question was asked in an epoch before
            self.refresh_members()
        elif told.view > self._view:
            self._take_members(told.view, changed_by(self.members, told))

    def _take_members(self, view: int, members: Sequence[Member]) -> None:
        self._view = view
        self.drop_lost()
        self.members = completed(members, self.members)
        for rank, handle in list(self.ranks.items()):
            member = self.members.get(rank)
            if member is None or member.segment != handle.segment.id:
                handle.part()
                self._parted[handle.segment.id] = self.ranks.pop(rank)
            else:
                handle.member = member
        self._take_up_members()
        for identity, handle in list(self._parted.items()):
            if handle.segment.is_dead:
                del self._parted[identity]

    def drop_lost(self) -> None:
        """Never again touch the memory of a segment that was truncated: that would end this process."""
        lost = [rank for rank, handle in self.ranks.items() if handle.segment.find_lost()]
        for identity, handle in list(self._parted.items()):
            if handle.segment.find_lost():
                del self._parted[identity]
        for rank in lost:
            self.ranks.pop(rank).part()
        if lost:
            self._take_up_members()

    def _take_up_members(self) -> None:
        """Use the ranks of this host that are not used yet."""
        self._take_up_at = None
        for member in self.members.values():
            if member.rank not in self.ranks and member.path:
                self._take_up(member)
        self.writable_ranks = self._find_writable()
        self._far_ranks = self._find_far()
        self.has_elsewhere = bool(self._far_ranks)
        segments = {rank: self.ranks[rank].segment for rank in sorted(self.ranks)}
        if segments != self.reader.segments:
            self.reader = Reader(segments, self.limits.locations_max, self.limits.gather_keys)

    def _take_up(self, member: Member) -> None:
        """Use a rank of this host: one that was here before with all that is still held there."""
        handle = self._parted.pop(member.segment, None)
        if handle is not None:
            handle.come_back(member)
            self.ranks[member.rank] = handle
            return
        try:
            segment = self._attach(member)
        except CacheError:
            self._take_up_at = self.now + _TAKE_UP_S
            return
        if segment is not None:
            self.ranks[member.rank] = RankHandle(
                member, segment, self.client, self.limits, self._ahead_bytes, self._draw
            )

    def _find_writable(self) -> list[int]:
        """The ranks of this host that puts may go to: the suspect only when there are no others."""
        writable = [rank for rank, handle in sorted(self.ranks.items()) if handle.segment.memory.writable]
        writable = [rank for rank in writable if self.members[rank].state != MemberState.DRAINING]
        sound = [rank for rank in writable if self.members[rank].state != MemberState.SUSPECT]
        return sound or writable

    # Other hosts

    def far_member(self, rank: int) -> Member | None:
        """A rank of another host whose bytes can be reached."""
        member = self.members.get(rank)
        if member is None or self.carrier is None or rank in self.ranks or not member.data_url:
            return None
        return member if self.carrier.may_reach(member) else None

    def far_ranks(self) -> Sequence[int]:
        """The ranks of other hosts that puts may go to: the suspect only when there are no others."""
        return self._far_ranks

    def _find_far(self) -> list[int]:
        there = [rank for rank in sorted(self.members) if self.far_member(rank) is not None]
        there = [rank for rank in there if self.members[rank].state != MemberState.DRAINING]
        return [rank for rank in there if self.members[rank].state != MemberState.SUSPECT] or there

    def remember(self, key: bytes, far: Far) -> None:
        """Look there first the next time."""
        if len(self.remembered) >= self.limits.locations_max:
            self.remembered.clear()
        self.remembered[key] = far

    def _receive_event(self, frames: Frames) -> None:
        try:
            header = decode_header(frames)
            event = decode_body(header, frames)
        except RemoteProtocolError:
            self.counters["malformed events"] += 1
            return
        if not isinstance(event, replies.MemberChange):
            return
        if header.epoch == self._link.epoch:
            self._gap.saw(header.epoch, event.number)
            self.saw_view(event.view)
        elif not self._viewing and self._link.is_open:
            self.refresh_members()  # in an earlier epoch too: a service that lost its file learns of ours

    # The end

    def give_back_all(self, now: float) -> list[Effect]:
        """Confirm what is published and return every idle reserve."""
        self.now = now
        for handle in self.ranks.values():
            handle.give_back_idle(now)
            handle.flush_confirmations(now)
            handle.expire(now)
        return self._flush()

    def say_goodbye(self, now: float) -> list[Effect]:
        """End every session; no answer is awaited."""
        self.now = now
        if self._has_news():
            self._tell()
        for link in (self._link, *(handle.link for handle in self.ranks.values())):
            if link.is_open:
                link.request(requests.Goodbye(), now + _GOODBYE_S, now, _nothing)
        return self._flush()

    def let_go(self) -> None:
        """Nothing is called any more: no cycle of references keeps segments mapped until it is collected."""
        for handle in (*self.ranks.values(), *self._parted.values()):
            handle.let_go()
        self.ranks.clear()
        self._parted.clear()
        self.reader = Reader({}, 0, 0)

    def is_quiet(self) -> bool:
        """Whether the ranks have been told everything."""
        return all(handle.is_quiet() for handle in self.ranks.values())


def _nothing(_ticket: Ticket) -> None:
    pass
