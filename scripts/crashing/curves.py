"""Figures over time, and whether they are flat."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_MEMORY = "memory"
_MOST_RISE_MIB = 2.0
_MOST_RISE_SHARE = 0.03
_SHOWN = 8


class Curves:
    """A series of figures for each name, all at the same times."""

    def __init__(self) -> None:
        """No points yet."""
        self.times: list[float] = []
        self.series: dict[str, list[float]] = {}

    def add(self, at: float, point: Mapping[str, float]) -> None:
        """One more point of each series; a figure that is missing now is not a number."""
        for name in point.keys() - self.series.keys():
            self.series[name] = [float("nan")] * len(self.times)
        self.times.append(at)
        for name, values in self.series.items():
            values.append(point.get(name, float("nan")))

    def last(self) -> str:
        """The last point of memory and of what is not 0, in a line."""
        shown = (f"{name} {values[-1]:.4g}" for name, values in sorted(self.series.items())
                 if is_memory(name) or name in ("meta: sessions", "shared memory: files"))  # fmt: skip
        return f"{self.times[-1]:6.0f} s  {', '.join(shown)}"

    def tell(self, warm_up: int) -> list[str]:
        """Print every curve; returns the names of those that are not flat after so many points."""
        print(f"curves over {len(self.times)} rounds, after {warm_up} to warm up: begin, most, end")
        rising = []
        for name, values in sorted(self.series.items()):
            after = values[warm_up:]
            flat = is_flat(name, self.times[warm_up:], after)
            print(f"  {'flat' if flat else 'NOT FLAT':8} {name:36} {_told(after)}")
            if not flat:
                rising.append(name)
        return rising

    def csv(self) -> str:
        """All points, a line each."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(["seconds", *self.series])
        for at, seconds in enumerate(self.times):
            writer.writerow([f"{seconds:.1f}", *(f"{values[at]:.6g}" for values in self.series.values())])
        return text.getvalue()


def _told(values: Sequence[float]) -> str:
    begin, most, end = values[0], max(values), values[-1]
    return f"{begin:9.4g} {most:9.4g} {end:9.4g}"


def is_memory(name: str) -> bool:
    """Whether this is the memory of a process."""
    return _MEMORY in name.rpartition(":")[2]


def is_flat(name: str, times: Sequence[float], values: Sequence[float]) -> bool:
    """Whether a curve ends where it began: memory along a straight line and nearly, all else exactly."""
    if any(np.isnan(values)):
        return False
    if not is_memory(name):
        return values[-1] <= values[0]
    slope, _ = np.polyfit(times, values, 1)
    rise = float(slope) * (times[-1] - times[0])
    return rise < max(_MOST_RISE_MIB, _MOST_RISE_SHARE * values[0])


def save_plot(curves: Curves, path: Path) -> str:
    """Draw the curves of memory; returns what became of it."""
    try:
        from matplotlib.figure import Figure  # type: ignore[import-not-found, unused-ignore] # noqa: PLC0415 - an extra
    except ImportError:
        return "no plot: matplotlib is missing, pip install -e '.[bench]'"
    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    for name, values in sorted(curves.series.items()):
        if is_memory(name):
            axes.plot([at / 60 for at in curves.times], values, marker=".", label=name)
    axes.set(xlabel="minutes", ylabel="MiB of own memory", ylim=(0, None))
    axes.legend(fontsize=_SHOWN)
    figure.savefig(path)
    return f"plot: {path}"
