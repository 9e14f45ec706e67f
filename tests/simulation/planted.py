"""Faults planted in product code, one for each thing that a checker is there to see.

Each is a context in which one function of the product is replaced by what a careless version of it would
be.  A checker that misses its fault within some seeds is worth nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from mmc.actors.client import reserving
from mmc.actors.local import obedience
from mmc.actors.local.desk import Desk
from mmc.actors.local.keeper import Keeper
from mmc.actors.meta import naming
from mmc.actors.meta.naming import Naming, Waiter
from mmc.cache import placement
from mmc.cache.names import Entry
from mmc.cache.records import RecordTable
from mmc.cache.reservations import Holder
from mmc.errors import Code
from mmc.segments import extents, pins, records
from mmc.segments.layout import Segment
from mmc.wire.sequence import ReplyWindow, Verdict
from tests.simulation.chance import Mix
from tests.simulation.settings import Settings
from tests.simulation.swarm import run_seed

CROWDED = Settings(ranks=1, clients=3, capacity=8192, records=8)
STALLING = Mix(run_length=5.0, long_stall=0.2, longest_stall_s=0.05, latency_s=0.0001)
REPEATING = Mix(event_repeated=0.6, delayed=0.3, delay_s=0.3, run_length=30.0)
LINGERING = Mix(run_length=1e6, long_stall=0.9, longest_stall_s=0.02)

Plant = Callable[[ExitStack], None]


class Bug(NamedTuple):
    """A planted fault, the checkers of which one must see it, and a seed that shows it.

    ``mix``: what goes wrong in a small pool, where a rare race wants that; None: what the seed draws.
    """

    name: str
    plant: Plant
    seen_by: tuple[str, ...]
    seed: int
    mix: Mix | None = None


@contextmanager
def _replaced(target: object, name: str, value: object) -> Iterator[None]:
    original = getattr(target, name)
    setattr(target, name, value)
    try:
        yield
    finally:
        setattr(target, name, original)


def _replace(stack: ExitStack, target: object, name: str, value: object) -> None:
    stack.enter_context(_replaced(target, name, value))


def no_second_look(stack: ExitStack) -> None:
    """What was copied is believed without reading the generation once more."""
    _replace(stack, records, "unchanged", lambda *_: True)


def success_without_publishing(stack: ExitStack) -> None:
    """A granted claim is taken for a published record."""
    _replace(stack, records, "publish", lambda *_: None)


def published_record_of_the_dead_dropped(stack: ExitStack) -> None:
    """What a dead client had published but not confirmed is taken back with the rest."""

    def detach(keeper: Keeper, holder: Holder) -> None:
        keeper.retire(list(holder.records))
        original(keeper, holder)

    original = Keeper.detach
    _replace(stack, Keeper, "detach", detach)


def refusals_forgotten(stack: ExitStack) -> None:
    """A late copy of a command that was refused acts after all."""

    def decide(self: Any, order: Any, now_ms: int, doomed: Any) -> Code:  # noqa: ANN401
        self._decided.clear()
        code: Code = original(self, order, now_ms, doomed)
        return code

    name = "_decide"
    original = getattr(obedience.Obedience, name)
    _replace(stack, obedience.Obedience, name, decide)


def reused_before_heard(stack: ExitStack) -> None:
    """What was evicted by command is free before the meta service has heard of it."""

    def retire(keeper: Keeper, doomed: list[int], _commands: object = None) -> None:
        original(keeper, doomed)

    original = Keeper.retire
    _replace(stack, Keeper, "retire", retire)


def reserves_taken_back(stack: ExitStack) -> None:
    """A rank short of space takes reserves back from clients that live."""

    def reap(desk: Desk) -> None:
        for holder in desk.keeper.reservations.holders():
            unpublished = [r for r in list(holder.records) if not desk.keeper.adopt(r)]
            desk.keeper.retire(unpublished)
        original(desk)

    original = Desk.reap
    _replace(stack, Desk, "reap", reap)


def pins_not_seen(stack: ExitStack) -> None:
    """A rank reuses what it invalidated without a look at the pins."""
    _replace(stack, Keeper, "_pinned_now", lambda _: set())


def pin_without_fence(stack: ExitStack) -> None:
    """The generation is read again while the pin is still in the store buffer."""

    def pin(segment: Segment, slot: int, record: int, generation: int) -> bool:
        segment.words[slot] = (generation & 0xFFFFFFFF) << 32 | record + 1
        if records.unchanged(segment, record, generation):
            return True
        segment.words[slot] = 0
        return False

    _replace(stack, pins, "pin", pin)


def lease_counted_short(stack: ExitStack) -> None:
    """A lease ends at the rank and the meta service before its holder expects it."""
    _replace(stack, obedience, "_LEASE_PERCENT", 50)
    _replace(stack, naming, "LEASE_SLACK", 0.5)


def lease_ignored(stack: ExitStack) -> None:
    """Nobody looks whether a key is leased."""
    _replace(stack, Naming, "is_leased", lambda *_: False)
    _replace(stack, records, "lease_of", lambda *_: 0)


def retries_executed(stack: ExitStack) -> None:
    """A request that comes again with the retry flag runs again."""

    def admit(window: ReplyWindow, number: int, *, retry: bool, acknowledged_below: int) -> Verdict:
        verdict = original(window, number, retry=retry, acknowledged_below=acknowledged_below)
        return Verdict.EXECUTE if verdict in (Verdict.REPLAY, Verdict.JOIN) else verdict

    original = ReplyWindow.admit
    _replace(stack, ReplyWindow, "admit", admit)


def trimmed_bytes_lost(stack: ExitStack) -> None:
    """What a record owns beyond its object's size is not given back."""

    def trim(table: RecordTable, record: int, size: int) -> int:
        space, table.space = table.space, _NoRelease()  # type: ignore[assignment] # that is the fault
        try:
            return original(table, record, size)
        finally:
            table.space = space

    original = RecordTable.trim
    _replace(stack, RecordTable, "trim", trim)


class _NoRelease:
    """Free space that takes nothing back."""

    def release(self, offset: int, length: int) -> None:
        """Lose it."""


def pinned_space_leaked(stack: ExitStack) -> None:
    """What was pinned when it was invalidated is never released."""
    _replace(stack, Keeper, "sweep", lambda _: None)


def extent_kept(stack: ExitStack) -> None:
    """A freed record keeps its extent in the segment."""
    _replace(stack, extents, "release_extent", lambda *_: None)


def replicas_on_one_rank(stack: ExitStack) -> None:
    """Placement names the same rank for every replica."""

    def place(hashed: int, ranks: list[int], replicas: int, *_: object) -> list[int]:
        return original(hashed, ranks, 1, ()) * replicas

    original = placement.place
    _replace(stack, reserving, "place", place)


def removal_answered_early(stack: ExitStack) -> None:
    """A remove is answered before the ranks have invalidated anything."""

    def remove(self: Naming, entry: Entry, waiter: Waiter) -> None:
        waiter[0].settle(waiter[1], Code.OK)
        original(self, entry, waiter)

    original = Naming.remove
    _replace(stack, Naming, "remove", remove)


def run(bug: Bug, seed: int, *, is_planted: bool) -> str:
    """What a seed says, with the fault or without it: a sentence, or nothing."""
    with ExitStack() as stack:
        if is_planted:
            bug.plant(stack)
        try:
            if bug.mix is None:
                run_seed(seed)
            else:
                run_seed(seed, settings=CROWDED, mix=bug.mix)
        except AssertionError as failure:
            return ", ".join((str(failure).partition("\n")[0], *failure.__notes__))
    return ""


BUGS = (
    Bug("the second look left out", no_second_look, ("S1",), 122, STALLING),
    Bug("success without publishing", success_without_publishing, ("S2",), 0, STALLING),
    Bug(
        "published records of the dead dropped",
        published_record_of_the_dead_dropped,
        ("S2",),
        80,
        STALLING,
    ),
    Bug("refused commands act late", refusals_forgotten, ("S2", "S4 leases", "the end"), 56, REPEATING),
    Bug("reuse before the acknowledgement", reused_before_heard, ("S3",), 4, STALLING),
    Bug("reserves taken back from the living", reserves_taken_back, ("S3",), 0, STALLING),
    Bug("pins not seen", pins_not_seen, ("S4 pins",), 0, STALLING),
    Bug("a pin without a fence", pin_without_fence, ("S4 pins", "S1"), 28, LINGERING),
    Bug("a lease counted short", lease_counted_short, ("S4 leases",), 1),
    Bug("a lease ignored", lease_ignored, ("S4 leases",), 13),
    Bug("retries executed", retries_executed, ("S5",), 0),
    Bug("trimmed bytes lost", trimmed_bytes_lost, ("S6",), 3, STALLING),
    Bug("pinned space leaked", pinned_space_leaked, ("the end",), 0, STALLING),
    Bug("a free record's extent kept", extent_kept, ("S6",), 0, STALLING),
    Bug("replicas on one rank", replicas_on_one_rank, ("S7",), 3),
    Bug("a removal answered early", removal_answered_early, ("S8",), 4),
)
