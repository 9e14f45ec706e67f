"""Faults in what is done with shared memory: reading, writing, pinning, reserving, freeing."""

from __future__ import annotations

from contextlib import ExitStack

from mmc.actors.local.desk import Desk
from mmc.actors.local.keeper import Keeper
from mmc.cache.records import RecordTable
from mmc.cache.reservations import Holder
from mmc.segments import extents, reader, records
from mmc.segments.extents import Extent
from tests.simulation.planting import replace


def no_second_look(stack: ExitStack) -> None:
    """What was copied is believed without reading the generation once more."""
    replace(stack, reader, "has_passed", lambda _: False)


def success_without_publishing(stack: ExitStack) -> None:
    """A granted claim is taken for a published record."""
    replace(stack, records, "publish", lambda *_: None)


def pins_not_seen(stack: ExitStack) -> None:
    """A rank reuses what it invalidated without a look at the pins."""
    replace(stack, Keeper, "pinned_now", lambda _: set())


def trimmed_bytes_lost(stack: ExitStack) -> None:
    """What a record owns beyond its object's size is not given back."""

    def trim(table: RecordTable, record: int, size: int) -> int:
        space, table.space = table.space, _NoRelease()  # type: ignore[assignment] # that is the fault
        try:
            return original(table, record, size)
        finally:
            table.space = space

    original = RecordTable.trim
    replace(stack, RecordTable, "trim", trim)


def extent_kept(stack: ExitStack) -> None:
    """A freed record keeps its extent in the segment."""
    replace(stack, extents, "release_extent", lambda *_: None)


def reused_before_heard(stack: ExitStack) -> None:
    """What was evicted by command is free before the meta service has heard of it."""

    def retire(keeper: Keeper, doomed: list[int], _commands: object = None) -> None:
        original(keeper, doomed)

    original = Keeper.retire
    replace(stack, Keeper, "retire", retire)


def reserves_taken_back(stack: ExitStack) -> None:
    """A rank short of space takes reserves back from clients that live."""

    def reap(desk: Desk) -> None:
        for holder in desk.keeper.reservations.holders():
            unpublished = [r for r in list(holder.records) if not desk.keeper.adopt(r)]
            desk.keeper.retire(unpublished)
        original(desk)

    original = Desk.reap
    replace(stack, Desk, "reap", reap)


def pinned_space_leaked(stack: ExitStack) -> None:
    """What was pinned when it was invalidated is never released."""
    replace(stack, Keeper, "sweep", lambda _: None)


def published_record_of_the_dead_dropped(stack: ExitStack) -> None:
    """What a dead client had published but not confirmed is taken back with the rest."""

    def detach(keeper: Keeper, holder: Holder) -> None:
        keeper.retire(list(holder.records))
        original(keeper, holder)

    original = Keeper.detach
    replace(stack, Keeper, "detach", detach)


class _NoRelease:
    """Free space that takes nothing back."""

    def release(self, offset: int, length: int) -> None:
        """Lose it."""


def reservations_forgotten(stack: ExitStack) -> None:
    """A rank that starts again takes what was reserved for free space."""

    def owned(keeper: Keeper, found: list[Extent]) -> object:
        for record, extent in enumerate(found):
            if extent.holder:
                found[record] = Extent(0, 0, 0)
        return original(keeper, found)

    original = Keeper._owned  # noqa: SLF001 - where it is judged
    replace(stack, Keeper, "_owned", owned)


def wipe_left_out(stack: ExitStack) -> None:
    """A rank that had been given up comes back with what it held."""

    def begin_term(keeper: Keeper, term: int, **_: bool) -> None:
        original(keeper, term, wipes=False)

    original = Keeper.begin_term
    replace(stack, Keeper, "begin_term", begin_term)
