"""What the measured times come to."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scripts.replay.room import size_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    Times = dict[int, list[float]]
    """Seconds of each put, by the size of its object in bytes."""

_PERCENT = 100
_MS = 1000


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that this many per cent of the values do not exceed; NaN of none."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / _PERCENT) - 1)]


def table(unfilled: Times, full: Times) -> list[str]:
    """A line for each size, and one for all: how many puts, their median and p99 in ms, and the ratios."""
    heads = "p50 room", "p50 full", "p99 room", "p99 full"
    titles = [f"{heads[at]:>9} {heads[at + 1]:>9} {'ratio':>6}" for at in (0, 2)]
    lines = [f"{'size':>10} {'puts':>6} {' '.join(titles)}"]
    lines += [_line(size_text(size), unfilled[size], full[size]) for size in sorted(full)]
    every = [[second for seconds in times.values() for second in seconds] for times in (unfilled, full)]
    return [*lines, _line("all", *every)]


def _line(title: str, unfilled: Sequence[float], full: Sequence[float]) -> str:
    cells = [f"{title:>10} {len(full):>6}"]
    for percent in (50, 99):
        room, crowded = percentile(unfilled, percent), percentile(full, percent)
        cells.append(f"{_MS * room:>9.2f} {_MS * crowded:>9.2f} {crowded / room:>6.2f}")
    return " ".join(cells)
