"""Faults in what services and clients say to one another, and in what they make of it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from mmc.actors.client import asking, putting, reserving
from mmc.actors.client.service import ClientActor
from mmc.actors.link import Link, Ticket
from mmc.actors.local import obedience
from mmc.actors.local.keeper import Keeper
from mmc.actors.local.relief import Relief
from mmc.actors.meta import leasing
from mmc.actors.meta.copying import Copying
from mmc.actors.meta.naming import Naming
from mmc.cache import placement
from mmc.cache.names import Entry
from mmc.errors import Code
from mmc.segments import records
from mmc.wire.sequence import ReplyWindow, Verdict
from tests.simulation.planting import replace

if TYPE_CHECKING:
    from mmc.actors.meta.leasing import Waiter

_LATE_S = 3.0


def refusals_forgotten(stack: ExitStack) -> None:
    """A late copy of a command that was refused acts after all."""

    def decide(self: Any, order: Any, now_ms: int, doomed: Any) -> Code:  # noqa: ANN401
        self._decided.clear()
        code: Code = original(self, order, now_ms, doomed)
        return code

    name = "_decide"
    original = getattr(obedience.Obedience, name)
    replace(stack, obedience.Obedience, name, decide)


def lease_counted_short(stack: ExitStack) -> None:
    """A lease ends at the rank and the meta service before its holder expects it."""
    replace(stack, obedience, "_LEASE_PERCENT", 50)
    replace(stack, leasing, "LEASE_SLACK", 0.5)


def lease_ignored(stack: ExitStack) -> None:
    """Nobody looks whether a key is leased."""
    replace(stack, Naming, "is_leased", lambda *_: False)
    replace(stack, records, "lease_of", lambda *_: 0)


def retries_executed(stack: ExitStack) -> None:
    """A request that comes again with the retry flag runs again."""

    def admit(window: ReplyWindow, number: int, *, retry: bool, acknowledged_below: int) -> Verdict:
        verdict = original(window, number, retry=retry, acknowledged_below=acknowledged_below)
        return Verdict.EXECUTE if verdict in (Verdict.REPLAY, Verdict.JOIN) else verdict

    original = ReplyWindow.admit
    replace(stack, ReplyWindow, "admit", admit)


def replicas_on_one_rank(stack: ExitStack) -> None:
    """Placement names the same rank for every replica."""

    def place(hashed: int, ranks: list[int], replicas: int, *_: object) -> list[int]:
        return original(hashed, ranks, 1, ()) * replicas

    original = placement.place
    replace(stack, reserving, "place", place)


def removal_answered_early(stack: ExitStack) -> None:
    """A remove is answered before the ranks have invalidated anything."""

    def remove(self: Naming, entry: Entry, waiter: Waiter) -> None:
        waiter[0].settle(waiter[1], Code.OK)
        original(self, entry, waiter)

    original = Naming.remove
    replace(stack, Naming, "remove", remove)


def copy_forgotten(stack: ExitStack) -> None:
    """A removal forgets a copy that is under way, which may be published afterwards."""

    def void(self: Copying, entry: Entry) -> None:
        copy = self.of(entry.key)
        if copy is not None:
            self.forget(copy.place)

    replace(stack, Copying, "void", void)


def lease_counted_from_receipt(stack: ExitStack) -> None:
    """The holder of a lease counts from the arrival of the grant."""

    def counts_until(client: ClientActor, _sent: float, ttl_ms: int) -> float:
        return original(client, client.now, ttl_ms)

    original = asking.counts_until
    replace(stack, asking, "counts_until", counts_until)


def event_for_another_generation(stack: ExitStack) -> None:
    """A command acts on whatever is in the record by now."""

    def resolve(self: Any, order: Any) -> Code:  # noqa: ANN401
        segment = self._keeper.segment
        now = records.generation_of(segment, order.record)
        version = records.version_of(segment, order.record)
        code: Code = original(self, order._replace(generation=now, version=version))
        return code

    original = obedience.Obedience._resolve  # noqa: SLF001 - where it is judged
    replace(stack, obedience.Obedience, "_resolve", resolve)


def success_in_another_term(stack: ExitStack) -> None:
    """What was published counts as a success, whatever became of the rank meanwhile."""
    replace(stack, putting, "stands", lambda *_: True)


def eviction_never_asked_for(stack: ExitStack) -> None:
    """A rank that is full asks nobody for space."""
    replace(stack, Relief, "demand", lambda *_: None)


def deadlines_overlooked(stack: ExitStack) -> None:
    """Whoever asks waits longer than it may."""

    def end_of(link: Link, ticket: Ticket) -> float:
        return original(link, ticket) + _LATE_S

    original = Link._end_of  # noqa: SLF001 - where it is judged
    replace(stack, Link, "_end_of", end_of)


def report_cut_short(stack: ExitStack) -> None:
    """A rank's report leaves out its last record."""

    def stored(keeper: Keeper) -> list[int]:
        return original(keeper)[:-1]

    original = Keeper.stored
    replace(stack, Keeper, "stored", stored)
