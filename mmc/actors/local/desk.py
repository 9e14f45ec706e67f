"""The rank's desk for clients: hello, reserve, return, confirm, pin; and who of them is dead."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Protocol

from mmc.actors.local.clearing import Prospect
from mmc.actors.local.relief import Demand, Relief, WaitingReserve
from mmc.cache.records import RecordState
from mmc.errors import CacheError, Code, error_for
from mmc.segments import pins, records
from mmc.wire import replies, requests
from mmc.wire.operations import WIRE_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmc.actors.contract import Address, Effect
    from mmc.actors.link import Ticket
    from mmc.actors.local.keeper import Keeper
    from mmc.actors.reception import Reception, Request
    from mmc.cache.reservations import Holder
    from mmc.limits import LocalLimits
    from mmc.wire.operations import Message
    from mmc.wire.sequence import Frames

_HOPELESS_S = 0.5
_STOPPING = "this rank is stopping"


class Watch(Protocol):
    """Who knows whether clients are alive."""

    def adopt(self, client: int) -> bool:
        """Begin to watch a client; False when it is not alive."""
        ...

    def is_dead(self, client: int) -> bool:
        """Whether the client is known dead."""
        ...

    def forget(self, client: int) -> None:
        """Stop watching."""
        ...


class Desk:
    """Requests of clients, executed on a keeper."""

    def __init__(
        self,
        keeper: Keeper,
        reception: Reception,
        watch: Watch,
        limits: LocalLimits,
        ask_meta: Callable[[Message, Callable[[Ticket], None]], None],
    ) -> None:
        """``ask_meta`` sends a request to the meta service."""
        self.keeper = keeper
        self.reception = reception
        self._watch = watch
        self._ask_meta = ask_meta
        self.relief = Relief(keeper, limits.waiting_reserves_max)
        self._is_closed = False
        self.is_draining = False
        self._pressing = False
        self._press_at: float | None = None
        self._nothing_left = False
        self._hopeless: WaitingReserve | None = None
        self._counts: Counter[str] = Counter()
        self._unpinned: dict[int, tuple[int, int]] = {}
        for holder in keeper.reservations.holders():
            watch.adopt(holder.client)

    def begin_epoch(self, epoch: int) -> None:
        """Sessions of an earlier epoch end."""
        if epoch != self.reception.epoch:
            self.relief.queue.clear()
            self.reception.restart(epoch)

    def receive(self, source: Address, frames: Frames, now: float) -> list[Effect]:
        """Take one request of a client."""
        request, effects = self.reception.receive(source, frames, now)
        if request is None:
            return effects
        if self._is_closed:
            return self.reception.fail(request, Code.NOT_SERVING, _STOPPING)
        try:
            reply = self._execute(request, now)
        except CacheError as error:
            return self.reception.fail(request, error.code, error.sentence)
        return [] if reply is None else self.reception.reply(request, reply)

    def _execute(self, request: Request, now: float) -> Message | None:
        if isinstance(request.message, requests.Hello):
            return self._welcome(request.message, now)
        assert request.session is not None
        holder = self.keeper.reservations.of_client(request.session.client)
        if holder is None:
            raise error_for(Code.UNKNOWN_SEQUENCE, "this client was found dead")
        match request.message:
            case requests.Reserve() as reserve:
                return self._reserve(request, holder, reserve)
            case requests.Return(given, generations):
                return self._return(holder, given, generations)
            case requests.Forfeit(grants):
                return self._forfeit(holder, grants)
            case requests.Confirm(published, generations):
                return self._confirm(holder, published, generations)
            case requests.Pin() as wanted:
                return self._pin(request, holder, wanted)
            case requests.Unpin(slots):
                return self._unpin(request, holder, slots)
            case requests.KeepAlive():
                return replies.Codes(())
            case requests.Goodbye():
                self.reception.close(request.session)
                return replies.Codes(())
            case _:
                raise AssertionError(f"no case for {type(request.message).__name__}")

    def _welcome(self, hello: requests.Hello, now: float) -> Message:
        if hello.target not in (0, self.keeper.segment.id):
            raise error_for(Code.NO_SUCH_RANK, "another rank has this address now")
        if not self._watch.adopt(hello.client):
            raise error_for(Code.NO_SUCH_RANK, "the client holds no lock file beside the segment")
        holder = self.keeper.attach(hello.client)
        if holder is None:
            self._watch.forget(hello.client)
            raise error_for(Code.TOO_LARGE, "clients_max clients use this rank")
        session = self.reception.open(hello, now)
        version = min(WIRE_VERSION, hello.newest_version)
        window = self.reception.window_requests
        return replies.Welcome(session.number, version, window, holder.row, "", 0, ())

    def _reserve(self, request: Request, holder: Holder, reserve: requests.Reserve) -> Message | None:
        capacity = self.keeper.table.space.capacity
        waiting = WaitingReserve(request, holder, reserve)
        if reserve.needed > len(reserve.sizes) or not reserve.sizes:
            raise error_for(Code.INVALID_ARGUMENT, "needed exceeds the sizes")
        if waiting.bytes > capacity or len(waiting.needed) > len(self.keeper.table):
            raise error_for(Code.TOO_LARGE, f"{waiting.bytes} bytes of a pool of {capacity}")
        if self.is_draining:
            raise error_for(Code.NO_SPACE, "this rank is being drained")
        if reserve.grant in holder.forfeited:
            raise error_for(Code.UNKNOWN_SEQUENCE, f"grant {reserve.grant} was forfeited")
        if not reserve.needed and self.relief.queue:
            return replies.Reserved((), ())  # those who wait come first, and this one waits for nothing
        if not self.relief.enqueue(waiting):
            raise error_for(Code.NO_SPACE, "too many reserves wait for space")
        return None

    def close(self) -> list[Effect]:
        """Refuse every request from now on, those that wait too."""
        self._is_closed = True
        effects: list[Effect] = []
        while self.relief.queue:
            request = self.relief.queue.popleft().request
            effects += self.reception.fail(request, Code.NOT_SERVING, _STOPPING)
        return effects

    def serve(self, now: float) -> list[Effect]:
        """Grant what fits, in order; ask for eviction where it does not."""
        if not self.relief.queue:
            self._press(now)
            return []
        effects: list[Effect] = []
        for waiting in self.relief.take_void():
            effects += self.reception.fail(waiting.request, Code.UNKNOWN_SEQUENCE, "forfeited")
        table = self.keeper.table
        for waiting, granted in self.relief.take_granted(now):
            self._counts["waits"] += waiting.is_considered
            capacities = tuple([table[record].capacity for record in granted])
            reply = replies.Reserved(tuple(granted), capacities)
            effects += self.reception.reply(waiting.request, reply)
        self._press(now)
        for waiting in self.relief.take_hopeless():
            effects += self.reception.fail(
                waiting.request, Code.NO_SPACE, "nothing evictable is in one piece"
            )
        for waiting in self.relief.take_blocking():
            effects += self.reception.fail(waiting.request, Code.NOT_SERVING, "nothing could come after this")
        return effects

    def _press(self, now: float) -> None:
        """Ask for eviction, one request at a time, and not at once again when nothing came of it."""
        is_early = self._press_at is not None and now < self._press_at
        if self._pressing or (is_early and not self.relief.is_urgent(now)):
            return
        self._press_at = None
        if not self.relief.is_short(now):
            return
        demand = self.relief.demand(now)
        patient = self._nothing_left and not self.relief.queue
        self._press_at = now + (_HOPELESS_S if patient else self.relief.pause(now))
        if demand:
            self._pressing = True
            self._counts["pressures"] += 1
            self._ask_meta(self.relief.pressure(demand), partial(self._pressed, demand, now))

    def _pressed(self, demand: Demand, since: float, ticket: Ticket) -> None:
        """What came of a request for eviction."""
        self._pressing = False
        codes = ticket.reply.codes if isinstance(ticket.reply, replies.Codes) else (0,)
        self.relief.clearing.heard(demand.named, codes[1:], since)
        self._nothing_left = codes[:1] == (Code.NO_SPACE,)
        self._hopeless = demand.short if self._nothing_left else None
        if self.relief.clearing.has_unnamed or any(codes[1:]):
            self._press_at = None

    def _refuse_hopeless(self) -> list[Effect]:
        """-3016 for the first in the queue, when nothing is on its way back either."""
        head, self._hopeless = self._hopeless, None
        if head is None or head not in self.relief.queue:
            return []
        table = self.keeper.table
        if len(head.needed) <= table.free_records:
            return []
        if table.records_in[RecordState.RESERVED] or table.records_in[RecordState.RETIRED]:
            return []
        self.relief.queue.remove(head)
        return self.reception.fail(head.request, Code.NO_SPACE, "nothing evictable is left")

    def _return(self, holder: Holder, given: tuple[int, ...], generations: tuple[int, ...]) -> Message:
        codes = []
        doomed: dict[int, None] = {}
        for record, generation in zip(given, generations, strict=True):
            mine = record in holder.records and record not in doomed
            if mine and records.generation_of(self.keeper.segment, record) == generation:
                doomed[record] = None
                codes.append(int(Code.OK))
            else:
                codes.append(int(Code.NOT_FOUND))
        self.keeper.retire(list(doomed))
        return replies.Codes(tuple(codes))

    def _forfeit(self, holder: Holder, grants: tuple[int, ...]) -> Message:
        for grant in grants:
            self.keeper.retire(holder.forfeit(grant))
            for waiting in self.relief.queue:
                if waiting.holder is holder and waiting.reserve.grant == grant:
                    waiting.is_void = True
        return replies.Codes(())

    def _confirm(self, holder: Holder, published: tuple[int, ...], generations: tuple[int, ...]) -> Message:
        codes = []
        ok, not_found = int(Code.OK), int(Code.NOT_FOUND)
        adopt, segment = self.keeper.adopt, self.keeper.segment
        for record, generation in zip(published, generations, strict=True):
            held = record in holder.records
            if held and records.generation_of(segment, record) == generation:
                held = adopt(record)
            codes.append(ok if held else not_found)
        return replies.Codes(tuple(codes))

    def _pin(self, request: Request, holder: Holder, wanted: requests.Pin) -> Message:
        """Pin through slots of this client; not where a request made after this one ended their pins."""
        segment = self.keeper.segment
        codes = []
        for slot, record, generation in zip(wanted.slots, wanted.records, wanted.generations, strict=True):
            word = self._asked_slot(holder, slot)
            ended_in, ended_by = self._unpinned.get(word, (0, 0))
            is_over = ended_in == _session_of(request) and ended_by > request.sequence
            exists = not is_over and record < len(self.keeper.table)
            there = exists and pins.pin(segment, word, record, generation)
            codes.append(int(Code.OK if there else Code.NOT_FOUND))
        return replies.Codes(tuple(codes))

    def _unpin(self, request: Request, holder: Holder, slots: tuple[int, ...]) -> Message:
        for slot in slots:
            word = self._asked_slot(holder, slot)
            self._unpinned[word] = _session_of(request), request.sequence
            pins.unpin(self.keeper.segment, word)
        self.keeper.sweep()
        return replies.Codes((int(Code.OK),) * len(slots))

    def _asked_slot(self, holder: Holder, slot: int) -> int:
        """The word of a slot that this rank writes for a client; -3000 if there is no such slot."""
        word = pins.slots_of(self.keeper.segment, holder.row).start + slot
        if word not in pins.asked_slots(self.keeper.segment, holder.row):
            raise CacheError(f"slot {slot} is not the rank's to write", Code.INVALID_ARGUMENT)
        return word

    def reap(self) -> None:
        """Take back what the dead held, and release what nobody pins any more."""
        self.keeper.mend_index()
        for holder in self.keeper.reservations.holders():
            if self._watch.is_dead(holder.client):
                self._counts["reaped"] += 1
                for waiting in self.relief.queue:
                    if waiting.holder is holder:
                        waiting.is_void = True
                self.keeper.detach(holder)
                self._watch.forget(holder.client)
        self.keeper.sweep()

    def expire(self, now: float) -> list[Effect]:
        """End the reserves that waited until their deadline."""
        effects = self._refuse_hopeless()
        for waiting in self.relief.take_due(now):
            is_hopeless = self._nothing_left or waiting.prospect >= Prospect.LATER
            code = Code.NO_SPACE if is_hopeless else Code.TIMED_OUT
            sentence = "no space came free before the deadline"
            effects += self.reception.fail(waiting.request, code, sentence)
        self.reception.expire(now)
        return effects

    def next_deadline(self) -> float | None:
        """When :meth:`expire` has something to do."""
        times = [waiting.request.deadline for waiting in self.relief.queue]
        if self._press_at is not None and not self._pressing:
            times.append(self._press_at)
        return min(times, default=None)

    def counters(self) -> tuple[tuple[str, int], ...]:
        """What a heartbeat tells."""
        table = self.keeper.table
        return (
            ("capacity_bytes", table.space.capacity),
            ("used_bytes", table.bytes_in[RecordState.STORED]),
            ("reserved_bytes", table.bytes_in[RecordState.RESERVED]),
            ("quarantined_bytes", table.bytes_in[RecordState.RETIRED]),
            ("records", len(table)),
            ("free_records", table.free_records),
            ("objects", table.records_in[RecordState.STORED]),
            ("clients", len(self.keeper.reservations.holders())),
            ("waiting_reserves", len(self.relief.queue)),
            *sorted(self._counts.items()),
        )


def _session_of(request: Request) -> int:
    """The number of a request's session; 0 for a hello."""
    return request.session.number if request.session else 0
