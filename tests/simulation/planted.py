"""The planted faults, one for each thing that a checker is there to see, and how each is run.

A checker that misses its fault within some seeds is worth nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from mmc.actors.client import putting
from mmc.actors.local import keeper
from mmc.segments import pins
from tests.simulation import faults_between_hosts as between
from tests.simulation import faults_in_segments as memory
from tests.simulation import faults_in_services as services
from tests.simulation.chance import Mix
from tests.simulation.planting import Plant, fence_left_out
from tests.simulation.swarm import run_seed
from tests.simulation.themes import (
    BUFFERING,
    COPYING,
    CROWDED,
    DYING,
    HIDING,
    LEASING,
    LINGERING,
    READING,
    REBUILDING,
    REPEATING,
    RESTARTING,
    SLOW,
    STALLING,
    VIEWING,
)
from tests.simulation.wires import PERFECT, Quality


class Bug(NamedTuple):
    """A planted fault, the checkers of which one must see it, and a seed that shows it.

    ``mix``: what goes wrong in a small pool, where a rare race wants that; None: what the seed draws.
    ``focus``: what is done more often than the seed says; ``ranks`` of the small pool.  ``hosts``: how many
    there are; ``quality``: what the connections between them are like, if not as drawn.
    """

    name: str
    plant: Plant
    seen_by: tuple[str, ...]
    seed: int
    mix: Mix | None = None
    focus: Mapping[str, float] = MappingProxyType({})
    hosts: int = 1
    quality: Quality | None = None
    ranks: int = 1


def run(bug: Bug, seed: int, *, is_planted: bool) -> str:
    """What a seed says, with the fault or without it: a sentence, or nothing."""
    with ExitStack() as stack:
        if is_planted:
            bug.plant(stack)
        try:
            settings = None if bug.mix is None else replace(CROWDED, ranks=bug.ranks)
            run_seed(
                seed, settings=settings, mix=bug.mix, focus=bug.focus, hosts=bug.hosts, quality=bug.quality
            )
        except AssertionError as failure:
            return ", ".join((str(failure).partition("\n")[0], *failure.__notes__))
    return ""


DAMAGING = Quality(damages=0.05)
_WHOLE = dict.fromkeys(("partition", "kill_some_host", "kill_server", "break_wire"), 0.0)
READING_AFAR = {**READING, **_WHOLE}
REBUILDING_AFAR = {**REBUILDING, **_WHOLE}
SILENT = Quality(breaks=0.02, latency_s=0.0005)

BUGS = (
    Bug("the second look left out", memory.no_second_look, ("S1",), 17, STALLING, READING),
    Bug("success without publishing", memory.success_without_publishing, ("S2",), 0, STALLING),
    Bug(
        "published records of the dead dropped",
        memory.published_record_of_the_dead_dropped,
        ("S2",),
        10,
        STALLING,
        DYING,
    ),
    Bug(
        "refused commands act late",
        services.refusals_forgotten,
        ("S2", "S4", "the end"),
        11,
        REPEATING,
        LEASING,
    ),
    Bug("success in another term", services.success_in_another_term, ("S2",), 0, LINGERING, RESTARTING),
    Bug("no fence after publishing", fence_left_out(putting, "make_readable"), ("S2",), 0, LINGERING),
    Bug(
        "no fence before restamping",
        fence_left_out(keeper, "begin_term"),
        ("S2",),
        71,
        BUFFERING,
        RESTARTING,
    ),
    Bug("an event for another generation", services.event_for_another_generation, ("S2",), 0, REPEATING),
    Bug("reuse before the acknowledgement", memory.reused_before_heard, ("S3",), 0, STALLING),
    Bug("reserves taken back from the living", memory.reserves_taken_back, ("S3",), 0, STALLING),
    Bug("reservations forgotten at a rebuild", memory.reservations_forgotten, ("S3", "S6"), 16),
    Bug("pins not seen", memory.pins_not_seen, ("S4 pins",), 3, STALLING),
    Bug("a pin without a fence", fence_left_out(pins, "pin"), ("S4 pins", "S1"), 48, LINGERING),
    Bug("no fence before pins", fence_left_out(keeper, "retire"), ("S4 pins",), 345, HIDING, VIEWING),
    Bug("a lease counted short", services.lease_counted_short, ("S4 leases",), 0, None, LEASING),
    Bug(
        "a lease counted from receipt",
        services.lease_counted_from_receipt,
        ("S4 leases",),
        168,
        SLOW,
        LEASING,
    ),
    Bug("a lease ignored", services.lease_ignored, ("S4 leases",), 0, None, LEASING),
    Bug("retries executed", services.retries_executed, ("S5",), 0),
    Bug("trimmed bytes lost", memory.trimmed_bytes_lost, ("S6",), 0, STALLING),
    Bug("pinned space leaked", memory.pinned_space_leaked, ("the end",), 3, STALLING),
    Bug("a free record's extent kept", memory.extent_kept, ("S6",), 0, STALLING),
    Bug("replicas on one rank", services.replicas_on_one_rank, ("S7",), 6),
    Bug("a removal answered early", services.removal_answered_early, ("S8",), 0),
    Bug("a copy forgotten by a removal", services.copy_forgotten, ("S2", "S8"), 53, STALLING, COPYING, 2),
    Bug("a wipe left out", memory.wipe_left_out, ("S8",), 32),
    Bug("eviction never asked for", services.eviction_never_asked_for, ("the end: L1",), 0),
    Bug("deadlines overlooked", services.deadlines_overlooked, ("L2",), 0),
    Bug("a report cut short", services.report_cut_short, ("the end",), 32),
    Bug(
        "a server compares no generation",
        between.generation_not_compared,
        ("S1",),
        20,
        STALLING,
        READING_AFAR,
        hosts=2,
        quality=PERFECT,
    ),
    Bug(
        "a server's success in another term",
        between.success_of_a_server_in_another_term,
        ("S2",),
        2,
        LINGERING,
        REBUILDING_AFAR,
        hosts=2,
        quality=PERFECT,
    ),
    Bug("damage published", between.digests_not_compared, ("S1",), 0, hosts=2, quality=DAMAGING),
    Bug("bytes stored after the end", between.stored_after_the_end, ("S3",), 11, hosts=2, quality=SILENT),
    Bug("what is open not abandoned", between.abandon_left_out, ("the end",), 0, hosts=2, quality=SILENT),
    Bug("slow writes borne by a server", between.slowness_borne, ("the end",), 0, hosts=2, quality=SILENT),
    Bug("replicas on one host", between.replicas_on_one_host, ("S7",), 0, hosts=3),
    Bug(
        "errands beyond deadlines",
        between.deadlines_of_errands_overlooked,
        ("L2",),
        0,
        hosts=2,
        quality=SILENT,
    ),
)
