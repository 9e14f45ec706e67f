"""What a run has shown, from what its clients have written down."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scripts.crashing.calls import MARGIN_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scripts.crashing.fleet import Stops
    from scripts.crashing.ledger import Tick

Span = tuple[float, float]

_WRONG = ("wrong bytes", "missing", "removed and back", "lease broken", "undocumented code")
"""Findings that must not be, whatever was killed."""


@dataclass(slots=True)
class Verdict:
    """Counts of a run, and what is wrong with them; ``examples`` of each kind."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    latest_s: float = 0.0

    def add(self, kind: str, fact: dict[str, Any]) -> None:
        """One more of a kind."""
        self.counts[kind] += 1
        self.examples.setdefault(kind, fact)

    def wrong(self) -> list[str]:
        """A sentence for each kind of thing that must not be and was seen."""
        return [
            f"{kind}: {self.counts[kind]}, the first {self.examples[kind]}" for kind in sorted(self.counts)
        ]


def judge(findings: Iterable[dict[str, Any]], stops: Stops) -> Verdict:
    """Judge what clients have found; calls are late by more than the margin after their deadline.

    The deadline of a caller that was itself stopped beyond it is the moment from which it went on.
    """
    verdict = Verdict()
    for fact in findings:
        kind = fact["kind"]
        if kind == "refused":
            verdict.refused[f"{fact['call']} {fact['code']}"] += 1
        elif kind in _WRONG:
            verdict.add(kind, fact)
        elif kind == "late":
            late_s = fact["ended"] - _excused_until(fact, stops.get(fact["by"], ()))
            verdict.latest_s = max(verdict.latest_s, late_s)
            if late_s > MARGIN_S:
                verdict.add("late", {**fact, "late_s": round(late_s, 3)})
        else:
            raise AssertionError(f"no case for {kind}")
    return verdict


def _excused_until(fact: dict[str, Any], stops: Sequence[Span]) -> float:
    went_on = [end for began, end in stops if began < fact["ended"] and fact["began"] < end <= fact["ended"]]
    return max([float(fact["deadline"]), *went_on])


def rate(ticks: Iterable[Tick], spans: Sequence[Span]) -> float:
    """Successful calls per second within these spans of time, which do not overlap."""
    seconds = sum(end - begin for begin, end in spans)
    if not seconds:
        return 0.0
    done = sum(tick.succeeded for tick in ticks if any(begin < tick.at <= end for begin, end in spans))
    return done / seconds


def without(whole: Span, left_out: Iterable[Span]) -> list[Span]:
    """What is left of a span of time when others, which may overlap, are taken out."""
    spans, at = [], whole[0]
    for begin, end in sorted(left_out):
        if at < min(begin, whole[1]):
            spans.append((at, min(begin, whole[1])))
        at = max(at, end)
    if at < whole[1]:
        spans.append((at, whole[1]))
    return spans
