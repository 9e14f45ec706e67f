"""Pins against invalidation (S4): a pin that its client believes is one that the rank has seen."""

from collections.abc import Callable

import pytest

from mmc.segments import pins, records
from mmc.segments.layout import Segment
from tests.heap import heap_segment, store
from tests.racing import Buffered

RECORD = 3
STEPS = range(12)


class Unfenced(Buffered):
    """A processor whose fences do nothing: the fault that these tests must find."""

    def fence(self) -> None:
        """Let everything wait on."""


def pin(segment: Segment) -> bool:
    """A client pins the record, as rule 1 says; whether it believes to have pinned it."""
    return pins.pin(segment, pins.slots_of(segment, 0)[1], RECORD, 2)


def retire(segment: Segment) -> bool:
    """A rank invalidates the record, as rule 2 says; whether it sees a pin."""
    records.begin_invalidate(segment, RECORD)
    segment.memory.fence()
    return RECORD in pins.pinned_records(segment, [0, 1])


def interrupt(
    kind: type[Buffered],
    slow: Callable[[Segment], bool],
    quick: Callable[[Segment], bool],
    step: int,
) -> tuple[bool, bool]:
    """Run ``slow`` on a processor of its own, with all of ``quick`` before its given step."""
    shared = heap_segment()
    store(shared, RECORD, b"key")
    outcomes: list[bool] = []
    steps = iter(range(1000))

    def before_step() -> None:
        if next(steps) == step:
            outcomes.append(quick(shared))

    memory = kind(shared.words, before_step)
    outcome = slow(Segment(memory, shared.layout))
    memory.drain()
    if not outcomes:
        outcomes.append(quick(shared))
    return outcome, outcomes[0]


@pytest.mark.parametrize("step", STEPS)
def test_a_rank_that_comes_between_sees_the_pin_or_the_client_gives_it_up(step: int) -> None:
    """S4: wherever the rank comes in between, it sees the pin, or the client knows it has none."""
    believed, seen = interrupt(Buffered, pin, retire, step)
    assert seen or not believed


@pytest.mark.parametrize("step", STEPS)
def test_a_client_that_comes_between_is_seen_or_gives_up(step: int) -> None:
    """S4: wherever the client comes in between, the rank sees its pin, or it knows it has none."""
    seen, believed = interrupt(Buffered, retire, pin, step)
    assert seen or not believed


def test_both_outcomes_occur() -> None:
    """The steps tried lead to pins that hold as well as to pins that are given up."""
    outcomes = {interrupt(Buffered, pin, retire, step) for step in STEPS}
    assert {believed for believed, _ in outcomes} == {True, False}


@pytest.mark.parametrize(("slow", "quick"), [(pin, retire), (retire, pin)])
def test_a_missing_fence_would_be_found(
    slow: Callable[[Segment], bool], quick: Callable[[Segment], bool]
) -> None:
    """Without the fence of either side, some order of the steps lets a believed pin go unseen."""
    outcomes = [interrupt(Unfenced, slow, quick, step) for step in STEPS]
    believed_and_seen = [(a, b) if slow is pin else (b, a) for a, b in outcomes]
    assert (True, False) in believed_and_seen
