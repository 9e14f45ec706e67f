"""What a crash run prints, and whether anything was wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scripts.crashing.calls import MARGIN_S
from scripts.crashing.ledger import GONE, STORED
from scripts.crashing.verdict import Span, judge, rate, without

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.crashing.run import Run

_AT_LEAST = 0.5
_EXAMPLES = 8


class Spans(NamedTuple):
    """When there were no faults yet, when there were, and when there were no more."""

    before: Span
    under_fire: Span
    after: Span


def tell(run: Run, spans: Spans, leaks: Sequence[str], timeout_s: float, *, demands_rate: bool) -> bool:
    """Print the counts of a run and what was wrong; whether nothing was.

    ``demands_rate``: successful calls must be at least half as many a second under fire as before, all
    recoveries included.
    """
    verdict = judge(run.ledger.findings, run.fleet.stops)
    counts, ticks = verdict.counts, run.ledger.ticks
    recoveries = [end - begin for begin, end in run.recoveries]
    whole = rate(ticks, without(spans.under_fire, run.recoveries))
    before, under_fire, after = (rate(ticks, [span]) for span in spans)
    share = under_fire / max(before, 1.0)
    done = ", ".join(f"{count} x {kind.value}" for kind, count in run.done.items())
    refused = ", ".join(f"{name} {count}" for name, count in sorted(verdict.refused.items()))
    print(f"faults in {spans.under_fire[1] - spans.under_fire[0]:.0f} s: {done}")
    print(f"whole again after {max(recoveries, default=0):.1f} s at most, {sum(recoveries):.0f} s in all")
    stored, gone = run.ledger.counts[STORED], run.ledger.counts[GONE]
    print(f"objects: {stored} acknowledged, {gone} removed, {run.read} of them read in the end before that")
    print(f"wrong bytes: {counts['wrong bytes'] + run.spoilt}")
    print(f"acknowledged objects whose segment lived: {run.lost} lost, {counts['missing']} missed meanwhile")
    print(f"removed objects that came back: {counts['removed and back']}")
    print(f"leases broken: {counts['lease broken']}")
    print(f"calls later than {MARGIN_S:g} s after their deadline of {timeout_s:g} s: {counts['late']}")
    print(f"codes that are not documented for the call: {counts['undocumented code']}")
    print(f"calls refused, as documented: {refused or 'none'}")
    print(f"evictions: {run.evictions}")
    print(f"leaks: {len(leaks)}")
    print(f"successful calls a second: {before:.0f} before the faults, {after:.0f} after them")
    print(f"  with faults {under_fire:.0f} ({share:.0%}) with all recoveries, {whole:.0f} between these")
    wrong = [*verdict.wrong(), *run.wrong, *(f"leak: {leak}" for leak in leaks)]
    if run.evictions:
        wrong.append("evictions: the pool is too small for this load")
    if share < _AT_LEAST and demands_rate:
        wrong.append(f"less than {_AT_LEAST:.0%} of the successful calls without faults")
    for sentence in wrong[:_EXAMPLES]:
        print(f"wrong: {sentence}")
    print(f"{len(wrong)} kinds or cases of wrong" if wrong else "nothing is wrong", flush=True)
    return not wrong
