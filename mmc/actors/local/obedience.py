"""What a rank does when the meta service commands: evict, remove, check, lease.

A command acts only on the record, generation and object version that it names, so that acting late or
twice is harmless.  Leases and evictions of one record meet here, one after the other: whichever comes
first wins.  Of two lease commands for one record the one with the higher number wins, whatever the
order of their arrival.  A command that was refused once is refused for good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mmc.cache.records import RecordState
from mmc.errors import Code
from mmc.identifiers import ObjectVersion
from mmc.segments import records
from mmc.wire.operations import CommandKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmc.actors.local.keeper import Keeper
    from mmc.wire.replies import Commands

_LEASE_PERCENT = 101
_REMEMBERED = 64
"""So many orders to lease one record are told apart, however late they come."""
_LONGEST_MS = 1 << 40
_REMOVALS = (CommandKind.EVICT, CommandKind.REMOVE, CommandKind.REVOKE)


class Order(NamedTuple):
    """One command, unpacked."""

    id: int
    kind: int
    record: int
    generation: int
    version: ObjectVersion
    argument: int


class Outcome(NamedTuple):
    """What is acknowledged of one command."""

    id: int
    code: Code
    record: int


def orders_of(commands: Commands) -> Iterator[Order]:
    """The commands of one event."""
    for number, kind, record, generation, version, argument in zip(
        commands.ids,
        commands.kinds,
        commands.records,
        commands.generations,
        commands.versions,
        commands.arguments,
        strict=True,
    ):
        yield Order(number, kind, record, generation, ObjectVersion(*version), argument)


class _LeaseOrders:
    """Which orders to lease one record have been carried out, and up to which an end has made them void.

    They may be heard in any order, and again: each counts once, and none that is older than an end.
    """

    __slots__ = ("_done", "_void")

    def __init__(self) -> None:
        self._done: set[int] = set()
        self._void = 0

    def begins(self, number: int) -> bool:
        """Whether a lease is to be stored."""
        if number <= self._void or number in self._done:
            return False
        self._done.add(number)
        if len(self._done) > _REMEMBERED:
            self._void = min(self._done)
            self._done.discard(self._void)
        return True

    def ends(self, number: int) -> bool:
        """Whether an end is to be stored: no later lease was."""
        if number <= max(self._done, default=self._void):
            return False
        self._void = number
        self._done.clear()
        return True


class Obedience:
    """Carries out commands on a keeper's records."""

    def __init__(self, keeper: Keeper) -> None:
        """No lease command has been seen yet."""
        self._keeper = keeper
        self._leases: dict[int, _LeaseOrders] = {}
        self._decided: dict[tuple[int, bool], tuple[int, Code]] = {}
        self._epoch = 0
        self.evictions = 0

    def begin_epoch(self, epoch: int) -> None:
        """Commands of another epoch are numbered anew."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._leases.clear()
            self._decided.clear()

    def carry_out(self, commands: Commands, now_ms: int) -> list[Outcome]:
        """Do what can be done, and say what became of each command."""
        outcomes = []
        doomed: dict[int, int] = {}
        for order in orders_of(commands):
            code = self._decide(order, now_ms, doomed)
            outcomes.append(Outcome(order.id, code, order.record))
        self._keeper.retire(list(doomed), doomed)
        return outcomes

    def _decide(self, order: Order, now_ms: int, doomed: dict[int, int]) -> Code:
        """What becomes of a command; once decided, it stays so however often it is repeated.

        The meta service may have heard of a refusal and told its caller: a late copy of the command
        must not act, although by then the lease may have ended, or the record been published.  And a
        removal that was carried out is no removal of nothing because it is heard of again.
        """
        if order.kind == CommandKind.CHECK:
            return self._resolve(order) if order.record not in doomed else Code.NOT_FOUND
        which = (order.record, order.kind in _REMOVALS)
        last, outcome = self._decided.get(which, (0, Code.OK))
        if order.id == last or (order.id < last and outcome != Code.OK):
            return outcome
        code = self._resolve(order) if order.record not in doomed else Code.NOT_FOUND
        if code == Code.OK:
            code = self._act(order, now_ms, doomed)
        if code in (Code.LEASED, Code.WRONG_STATE) or (code == Code.OK and which[1]):
            self._decided[which] = (order.id, code)
        return code

    def _resolve(self, order: Order) -> Code:
        """0 stored as named; -3101 not yet published by a living writer; -3007 gone."""
        keeper, segment = self._keeper, self._keeper.segment
        if not order.record < len(keeper.table):
            return Code.NOT_FOUND
        if records.version_of(segment, order.record) != order.version:
            return Code.NOT_FOUND
        generation = records.generation_of(segment, order.record)
        state = keeper.table[order.record].state
        if generation == order.generation - 1 and state is RecordState.RESERVED:
            return Code.WRONG_STATE
        if generation != order.generation or not records.is_published(segment, order.record):
            return Code.NOT_FOUND
        return Code.OK if keeper.adopt(order.record, restamp=True) else Code.NOT_FOUND

    def _act(self, order: Order, now_ms: int, doomed: dict[int, int]) -> Code:
        segment, record = self._keeper.segment, order.record
        if order.kind in _REMOVALS:
            if order.kind != CommandKind.REVOKE and records.lease_of(segment, record) > now_ms:
                return Code.LEASED
            doomed[record] = order.id
            self._leases.pop(record, None)
            self.evictions += order.kind == CommandKind.EVICT
        elif order.kind in (CommandKind.LEASE, CommandKind.UNLEASE):
            seen = self._leases.setdefault(record, _LeaseOrders())
            is_new = seen.begins(order.id) if order.kind == CommandKind.LEASE else seen.ends(order.id)
            if not is_new:
                return Code.OK
            until = (
                now_ms + min(order.argument, _LONGEST_MS) * _LEASE_PERCENT // 100 + 1 if order.argument else 0
            )
            if order.kind == CommandKind.LEASE:
                until = max(until, records.lease_of(segment, record))
            records.store_lease(segment, record, until)
        return Code.OK
