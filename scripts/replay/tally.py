"""Adds up what became of the requests, and works out the figures of the report."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from scripts.replay.engine import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.replay.trace import Reach

    Sample = tuple[float, int]

Figures = dict[str, object]

_SUMMED = tuple(field.name for field in fields(Outcome) if field.name != "failed")
_GB = 1e9
_US = 1e6


class Tally:
    """The sums over all outcomes, and the samples of their times."""

    def __init__(self, block_bytes: int, engines: int) -> None:
        """Nothing is counted yet."""
        self._block_bytes = block_bytes
        self._sums: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._requests = [0] * engines
        self._exists: list[Sample] = []
        self._gets: list[Sample] = []
        self._puts: list[Sample] = []

    @property
    def requests(self) -> int:
        """Requests so far."""
        return sum(self._requests)

    @property
    def wrong_bytes(self) -> int:
        """Bytes so far that were not those of the block."""
        return int(self._sums["wrong_bytes"])

    def add(self, engine: int, outcome: Outcome) -> None:
        """Count a request of one engine."""
        self._requests[engine] += 1
        for name in _SUMMED:
            self._sums[name] += getattr(outcome, name)
        self._failed.update(outcome.failed)
        self._exists.append((outcome.exist_s, 1))
        self._gets.append((outcome.get_s, outcome.found))
        self._puts.append((outcome.put_s, outcome.offered))

    def figures(self, bound: Reach, wall_s: float) -> Figures:
        """Every number of the report; ``_us`` are microseconds, ``gb`` 10**9 bytes."""
        sums = self._sums
        got, put = (sums[name] * self._block_bytes for name in ("hits", "stored"))
        engine_s = wall_s * len(self._requests)
        return {
            "requests": self.requests,
            "requests_per_engine": list(self._requests),
            "blocks_asked": sums["asked"],
            "blocks_distinct": bound.distinct,
            "blocks_hit": sums["hits"],
            "hit_rate": _ratio(sums["hits"], sums["asked"]),
            "hit_rate_unlimited": bound.rate,
            "blocks_hit_of_the_other_engine": sums["others"],
            "blocks_gone_before_get": sums["lost"],
            "blocks_put": sums["stored"],
            "blocks_put_already_there": sums["existed"],
            "failed": dict(self._failed),
            "blocks_verified": sums["hits"],
            "wrong_bytes": sums["wrong_bytes"],
            "bytes_got": got,
            "bytes_put": put,
            "wall_s": wall_s,
            "gb_per_s": _ratio((got + put) / _GB, wall_s),
            "get_gb_per_s": _ratio(got / _GB, sums["get_s"]),
            "put_gb_per_s": _ratio(put / _GB, sums["put_s"]),
            "exist_batch_us": _spread(self._exists),
            "get_block_us": _spread(self._gets),
            "put_block_us": _spread(self._puts),
            "engine_time": {
                name: _ratio(sums[f"{name}_s"], engine_s) for name in ("exist", "get", "check", "make", "put")
            },
        }


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _spread(samples: Sequence[Sample]) -> dict[str, float]:
    """Median and 99th percentile of the time per item, each batch weighing as much as its items."""
    counts = np.array([count for _, count in samples if count])
    if not counts.size:
        return {"p50": 0.0, "p99": 0.0}
    each = np.array([seconds for seconds, count in samples if count]) / counts * _US
    order = np.argsort(each)
    below = np.cumsum(counts[order])
    places = np.searchsorted(below, below[-1] * np.array([0.5, 0.99]))
    return dict(zip(("p50", "p99"), (float(t) for t in each[order][places]), strict=True))
