"""A rank as a client has it: its segment, its session, and the reserves held on it.

1. A reserve is a record with space that this client alone may write.  It is *idle* here, or in the hands
   of one put, which either publishes it or gives it back here.
2. Idle reserves are returned to the rank after a while.  What the rank granted without this client
   learning of it (the answer came too late, or never) is *forfeited* by the number of its grant.
   Before they are used up, some more are asked for, so that the next put has not to wait for the rank.
3. Published records are confirmed in batches; returns, forfeits and confirmations are repeated until
   the rank has answered, since each names exactly what it means.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from operator import ge
from typing import TYPE_CHECKING, NamedTuple

from mmc.actors.link import Link, Ticket
from mmc.cache.space import rounded
from mmc.errors import Code
from mmc.segments import records
from mmc.segments.pins import asked_slots, own_slots, slots_of
from mmc.wire import replies, requests
from mmc.wire.operations import PeerKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmc.actors.contract import Draw
    from mmc.identifiers import Member
    from mmc.limits import ClientLimits
    from mmc.segments.layout import Segment
    from mmc.wire.operations import Message

_PATIENCE_S = 5.0
_MOST_WASTE = 4
_CONFIRM_BATCH = 64
_AHEAD_RECORDS = 32
_MOST_AHEAD_RECORDS = 256
_FEWEST_AHEAD = 4
_LITTLE_AHEAD_BYTES = 2 << 20
_AHEAD_SHARE = 2
_REFUSED_S = 0.1


class Reserve(NamedTuple):
    """A record with space, idle since a time."""

    record: int
    capacity: int
    since: float


def _fits(size: int, capacity: int) -> bool:
    """Whether ``size`` bytes fill a reserve without wasting much of it."""
    length = rounded(size)
    return length <= capacity <= _MOST_WASTE * length


class RankHandle:
    """One rank of this host."""

    def __init__(
        self, member: Member, segment: Segment, client: int, limits: ClientLimits,
        ahead_bytes: int, draw: Draw,
    ) -> None:  # fmt: skip
        """``ahead_bytes`` may be held beyond what is needed."""
        self.member = member
        self.segment = segment
        self.rank = member.rank
        self._limits = limits
        self._ahead_bytes = ahead_bytes
        self.link = Link(
            member.rank,
            client,
            PeerKind.CLIENT,
            limits,
            draw,
            self._on_open,
            Code.NO_SUCH_RANK,
            member.segment,
        )
        self.slots: deque[int] | None = None
        self.asked: deque[int] = deque()
        self._row_word = 0
        self._idle: dict[int, list[Reserve]] = {}
        self._grants = draw() >> 20 << 20
        self._disowned: set[Ticket] = set()
        self._refill: Ticket | None = None
        self._refill_from = 0.0
        self._returning: dict[int, int] = {}
        self._forfeiting: dict[int, None] = {}
        self._unpinning: deque[int] = deque()
        self._confirming: dict[int, int] = {}
        self._confirm_at: float | None = None
        self._housekeeping: set[type[Message]] = set()
        self._retry_at: float | None = None

    def _on_open(self, welcome: replies.Welcome, _now: float) -> None:
        if self.slots is None and welcome.row < self.segment.layout.clients:
            writes = self.segment.memory.writable
            self.slots = deque(own_slots(self.segment, welcome.row) if writes else ())
            self.asked = deque(asked_slots(self.segment, welcome.row))
            self._row_word = slots_of(self.segment, welcome.row).start

    def part(self) -> None:
        """The rank is no member any more: nobody waits for its answers."""
        self.link.end()

    def let_go(self) -> None:
        """The client has closed: what refers to this one lets go of it."""
        self.link.let_go()
        self._disowned.clear()
        self._refill = None

    def come_back(self, member: Member) -> None:
        """The segment is a member again; what was held on it still is."""
        self.member = member
        self.rank = member.rank
        self.link.revive(member.rank)

    # Reserves

    def take(self, size: int) -> Reserve | None:
        """An idle reserve that holds ``size`` bytes without wasting much."""
        exact = self._idle.get(rounded(size))
        if exact:
            return exact.pop()
        best = min((c for c, held in self._idle.items() if held and _fits(size, c)), default=None)
        return None if best is None else self._idle[best].pop()

    def keep(self, record: int, capacity: int, now: float) -> None:
        """A reserve is idle again."""
        self._idle.setdefault(capacity, []).append(Reserve(record, capacity, now))

    def ask(self, sizes: list[int], deadline: float, now: float) -> Ticket:
        """Ask the rank for reserves of these sizes, and of some more like the last of them."""
        ahead = self._ahead(sizes[-1], len(sizes))
        return self._ask(len(sizes), [*sizes, *[sizes[-1]] * ahead], deadline, now)

    def refill(self, size: int, count: int, now: float) -> None:
        """Ask for more reserves of a size when few are left after a put of ``count``; nobody waits for them.

        What has been published before is confirmed first, since it counts as held until then.
        """
        if self._refill is not None or now < self._refill_from:
            return
        wanted = self._ahead(size, count)
        left = len(self._idle.get(rounded(size), ()))
        if 2 * left > wanted or not wanted:
            return
        if self._confirming:
            self.flush_confirmations(now)
        ticket = self._ask(0, [size] * (wanted - left), now + _PATIENCE_S, now)
        if not ticket.done:
            self._refill = ticket
            self._disowned.add(ticket)

    def _ahead(self, size: int, count: int) -> int:
        """How many reserves of a size to hold ahead of puts of ``count`` objects."""
        length = rounded(size)
        little = min(_AHEAD_RECORDS, max(_FEWEST_AHEAD, _LITTLE_AHEAD_BYTES // length))
        wanted = max(little, min(2 * count, _MOST_AHEAD_RECORDS))
        return min(wanted, self._ahead_bytes // _AHEAD_SHARE // length)

    def _ask(self, needed: int, sizes: list[int], deadline: float, now: float) -> Ticket:
        self._grants += 1
        grant = self._grants
        message = requests.Reserve(grant, needed, tuple(sizes))
        return self.link.request(message, deadline, now, lambda ticket: self._granted(ticket, message))

    def _granted(self, ticket: Ticket, asked: requests.Reserve) -> None:
        grant = asked.grant
        if isinstance(ticket.reply, replies.Reserved) and not self._can_be(ticket.reply, asked):
            ticket.reply, ticket.code = None, Code.INTERNAL
        if ticket is self._refill:
            self._refill = None
            if not isinstance(ticket.reply, replies.Reserved) or not ticket.reply.records:
                self._refill_from = ticket.since + _REFUSED_S
        if not isinstance(ticket.reply, replies.Reserved | replies.Failure):
            self._forfeiting[grant] = None
        elif ticket in self._disowned:
            self._keep_granted(ticket)
        self._disowned.discard(ticket)

    def _can_be(self, granted: replies.Reserved, asked: requests.Reserve) -> bool:
        """Whether these are records of the segment, each once and large enough, and none is missing."""
        numbers = granted.records
        fits = all(map(ge, granted.capacities, asked.sizes))
        is_whole = len(numbers) >= asked.needed and len(set(numbers)) == len(numbers)
        return fits and is_whole and max(numbers, default=0) < self.segment.layout.records

    def disown(self, ticket: Ticket) -> None:
        """Whoever asked is gone: what is granted is idle."""
        if ticket.done:
            self._keep_granted(ticket)
        else:
            self._disowned.add(ticket)

    def _keep_granted(self, ticket: Ticket) -> None:
        if isinstance(ticket.reply, replies.Reserved):
            for record, capacity in zip(ticket.reply.records, ticket.reply.capacities, strict=True):
                self.keep(record, capacity, ticket.since)

    def idle_reserves(self) -> int:
        """How many reserves are idle here."""
        return sum(map(len, self._idle.values()))

    def give_back_idle(self, before: float) -> None:
        """Return the reserves that are idle since before a time; of each size the first is the oldest."""
        for capacity, held in list(self._idle.items()):
            if held and held[0].since > before:
                continue
            old = [reserve for reserve in held if reserve.since <= before]
            if old:
                self._idle[capacity] = [reserve for reserve in held if reserve.since > before]
                for reserve in old:
                    self.give_back(reserve.record, records.generation_of(self.segment, reserve.record))
            if not self._idle[capacity]:
                del self._idle[capacity]

    def give_back(self, record: int, generation: int) -> None:
        """Return one use of a record: idle, or published in vain.

        What is said late of a use before it, which the rank has ended by itself, does not take its place.
        """
        self._returning[record] = max(generation, self._returning.get(record, 0))

    def confirm(self, record: int, generation: int, now: float) -> None:
        """Tell the rank, soon, that a record is published."""
        self._confirming[record] = generation
        if self._confirm_at is None:
            self._confirm_at = now + self._limits.confirm_delay_ms / 1000

    def pin_message(self, slot: int, record: int, generation: int) -> requests.Pin:
        """The request to pin a record through one of the slots that the rank writes."""
        return requests.Pin((slot - self._row_word,), (record,), (generation,))

    def unpin_soon(self, slot: int) -> None:
        """End a pin that was asked for, or may have been; the slot is free when the rank has said so.

        From any thread.
        """
        self._unpinning.append(slot)

    # Housekeeping

    def expire(self, now: float) -> None:
        """Return, forfeit and confirm what is due; whatever fails is said again."""
        self.give_back_idle(now - self._limits.reserve_idle_ms / 1000)
        if self._retry_at is not None and self._retry_at <= now:
            self._retry_at = None
        due = self._confirm_at is not None and self._confirm_at <= now
        if due or len(self._confirming) >= _CONFIRM_BATCH:
            self.flush_confirmations(now)
        self._say_by_record(self._returning, requests.Return, now)
        if self._forfeiting and self._may_say(requests.Forfeit):
            said = dict(islice(self._forfeiting.items(), self._limits.keys_per_message))
            for grant in said:
                del self._forfeiting[grant]
            self._say(requests.Forfeit(tuple(said)), now, lambda: self._forfeiting.update(said))
        if self._unpinning and self._may_say(requests.Unpin):
            count = min(len(self._unpinning), self._limits.keys_per_message)
            slots = [self._unpinning.popleft() for _ in range(count)]
            message = requests.Unpin(tuple(slot - self._row_word for slot in slots))
            self._say(
                message,
                now,
                lambda: self._unpinning.extend(slots),
                lambda: self.asked.extend(slots),
            )
        self.link.expire(now)

    def flush_confirmations(self, now: float) -> None:
        """Confirm now what has been published."""
        waits = bool(self._confirming) and not self._may_say(requests.Confirm)
        self._confirm_at = now + self._limits.confirm_delay_ms / 1000 if waits else None
        self._say_by_record(self._confirming, requests.Confirm, now)

    def _say_by_record(
        self,
        queue: dict[int, int],
        kind: type[requests.Return | requests.Confirm],
        now: float,
    ) -> None:
        if queue and self._may_say(kind):
            said = dict(islice(queue.items(), self._limits.keys_per_message))
            for record in said:
                del queue[record]
            if kind is requests.Confirm and queue:
                self._confirm_at = now
            message = kind(tuple(said), tuple(said.values()))
            self._say(message, now, lambda: self._keep_saying(queue, said, now))

    def _keep_saying(self, queue: dict[int, int], said: dict[int, int], now: float) -> None:
        """What the rank has not answered is said again, together with what is new."""
        queue.update({**said, **queue})
        if self._confirming and self._confirm_at is None:
            self._confirm_at = now + self._limits.retry_max_ms / 1000

    def _may_say(self, kind: type[Message]) -> bool:
        return kind not in self._housekeeping and self._retry_at is None

    def _say(
        self,
        message: Message,
        now: float,
        again: Callable[[], None],
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        kind = type(message)
        self._housekeeping.add(kind)

        def said(ticket: Ticket) -> None:
            self._housekeeping.discard(kind)
            if not isinstance(ticket.reply, replies.Codes):
                again()
                self._retry_at = now + self._limits.retry_max_ms / 1000
            else:
                heard()

        self.link.request(message, now + _PATIENCE_S, now, said)

    def next_deadline(self) -> float | None:
        """When :meth:`expire` has something to do."""
        times = [self.link.next_deadline(), self._confirm_at, self._retry_at]
        idle_s = self._limits.reserve_idle_ms / 1000
        times += [held[0].since + idle_s for held in self._idle.values() if held]
        if self._retry_at is None and (
            (self._returning and requests.Return not in self._housekeeping)
            or (self._forfeiting and requests.Forfeit not in self._housekeeping)
            or (self._unpinning and requests.Unpin not in self._housekeeping)
        ):
            times.append(0.0)
        return min([time for time in times if time is not None], default=None)

    def is_quiet(self) -> bool:
        """Whether the rank has been told everything."""
        unsaid = self._returning or self._confirming or self._forfeiting or self._unpinning
        return not (unsaid or self._housekeeping)
