"""What is wrong in what clients have written down, and how fast they were."""

from __future__ import annotations

import pytest

from scripts.crashing.ledger import Tick
from scripts.crashing.verdict import judge, rate, without

_LATE = {"kind": "late", "by": "1-0", "call": "get", "began": 10.0, "deadline": 15.0}


@pytest.mark.parametrize(
    ("ended", "stops", "late"),
    [
        (15.9, [], 0),
        (16.1, [], 1),
        (20.5, [(12.0, 20.0)], 0),
        (21.5, [(12.0, 20.0)], 1),
        (18.0, [(11.0, 12.0)], 1),
        (18.0, [(1.0, 9.0)], 1),
        (18.0, [(19.0, 30.0)], 1),
    ],
)
def test_a_stopped_caller_is_late_from_when_it_went_on(
    ended: float, stops: list[tuple[float, float]], late: int
) -> None:
    """A stop excuses a call up to its end, and only a stop during that call."""
    verdict = judge([{**_LATE, "ended": ended}], {"1-0": stops, "2-0": [(0.0, 1000.0)]})
    assert verdict.counts["late"] == late


@pytest.mark.parametrize("kind", ["wrong bytes", "missing", "removed and back", "lease broken"])
def test_what_must_not_be_is_wrong_at_once(kind: str) -> None:
    """One case suffices, and the first is told."""
    verdict = judge([{"kind": kind, "by": "0-0", "key": "k"}] * 3, {})
    assert verdict.wrong() == [f"{kind}: 3, the first {{'kind': '{kind}', 'by': '0-0', 'key': 'k'}}"]


def test_an_honest_refusal_is_counted_and_not_wrong() -> None:
    """By call and code."""
    verdict = judge([{"kind": "refused", "by": "0-0", "call": "put", "code": "TIMED_OUT"}] * 2, {})
    assert verdict.wrong() == []
    assert verdict.refused == {"put TIMED_OUT": 2}


def test_the_rate_is_that_of_the_spans_alone() -> None:
    """Successful calls of ticks within, over the seconds of all spans."""
    ticks = [Tick(at, 10, 5) for at in (1.0, 2.0, 3.0, 4.0, 5.0)]
    assert rate(ticks, [(0.0, 2.0), (4.0, 5.0)]) == 10
    assert rate(ticks, []) == 0


@pytest.mark.parametrize(
    ("left_out", "rest"),
    [
        ([], [(0.0, 10.0)]),
        ([(2.0, 3.0), (2.5, 4.0), (9.0, 12.0)], [(0.0, 2.0), (4.0, 9.0)]),
        ([(-1.0, 11.0)], []),
        ([(5.0, 6.0), (1.0, 8.0)], [(0.0, 1.0), (8.0, 10.0)]),
    ],
)
def test_recoveries_are_taken_out_of_a_span(
    left_out: list[tuple[float, float]], rest: list[tuple[float, float]]
) -> None:
    """They may overlap one another and the span's ends."""
    assert without((0.0, 10.0), left_out) == rest
