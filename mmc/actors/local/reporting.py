"""A rank's report when it joins: everything stored, in parts, a few of them on their way at any time.

The meta service takes up one part while the next is made.  What was stored when the report began and has been
invalidated since is left out; what is stored later is confirmed instead.  The last part is empty, and is sent
when all others were answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.actors.local.keeper import Published
from mmc.cache.records import RecordState
from mmc.identifiers import ObjectVersion
from mmc.segments.columns import describe_all
from mmc.wire.requests import Report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mmc.actors.local.keeper import Keeper

_ON_THEIR_WAY = 2


class Reporting:
    """One report."""

    def __init__(self, keeper: Keeper, records_a_part: int) -> None:
        """Of everything that is stored now."""
        self._keeper = keeper
        self._step = records_a_part
        self._left = keeper.stored()
        self._reported = 0
        self._awaited = 0

    def parts(self, now: float) -> Iterator[Report]:
        """What is to be sent now."""
        while self._awaited < _ON_THEIR_WAY and self._reported < len(self._left):
            part = self._left[self._reported : self._reported + self._step]
            self._reported += len(part)
            self._awaited += 1
            table = self._keeper.table
            still = [record for record in part if table[record].state is RecordState.STORED]
            yield self._report_of(still, now, last=False)
        if not self._awaited:
            self._awaited += 1
            yield self._report_of([], now, last=True)

    def _report_of(self, part: list[int], now: float, *, last: bool) -> Report:
        found = describe_all(self._keeper.segment, part)
        now_ms = int(now * 1000)
        return Report(
            tuple(part),
            tuple(found.generations),
            tuple(found.versions),
            tuple(found.sizes),
            tuple(found.keys),
            tuple(max(0, until - now_ms) if until else 0 for until in found.leased_until),
            self._keeper.segment.term,
            last,
        )

    def answered(self, report: Report, codes: Sequence[int]) -> None:
        """The meta service has taken up a part: what it does not know is invalidated."""
        self._awaited -= 1
        if any(codes):
            rows = zip(report.records, report.generations, report.versions, strict=True)
            told = [Published(record, generation, ObjectVersion(*row)) for record, generation, row in rows]
            self._keeper.retire_refused(told, codes)
