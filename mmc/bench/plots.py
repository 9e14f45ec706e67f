"""Pictures of a run: latency by size, throughput by size, exists by batch size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mmc.bench.columns import COLUMNS, OURS
from mmc.bench.failures import BenchError
from mmc.bench.rows import BY_NAME, Row

if TYPE_CHECKING:
    from pathlib import Path

    from mmc.bench.figures import Figures

GETS = ("get_4k_new", "get_64k", "get_1m", "get_8m")
PUTS = ("put_4k", "put_64k", "put_1m", "put_8m")
EXISTS = ("exist_1", "exist_64", "exist_256", "exist_1000")
_KIB = 1024
_MICRO = 1e-6
_GIGA = 1e9
_DOTS = 120
_INCHES = (11.0, 4.5)
_WIDE, _NARROW = 2.5, 1.2

Points = list[tuple[float, float]]


def require_matplotlib() -> None:
    """See that pictures can be drawn, before anything is measured.

    Raises:
        BenchError: matplotlib is missing; says what to install.
    """
    try:
        import_module("matplotlib.figure")
    except ModuleNotFoundError as missing:
        raise BenchError(
            f"--plots needs {missing.name}, which is missing: pip install -e '.[bench]'"
        ) from None


def draw(figures: Figures, folder: Path) -> list[Path]:
    """Draw what was measured, into a folder that is there; returns the files."""
    sizes = {"get": GETS, "put": PUTS}
    pictures = (
        Picture("latency_by_size", sizes, "object, KiB", "us", _kibibytes, _microseconds),
        Picture("throughput_by_size", sizes, "object, KiB", "GB/s", _kibibytes, _gigabytes),
        Picture("exist_by_batch", {"exist": EXISTS}, "keys in a call", "us", _keys, _microseconds),
    )
    return [picture.draw(figures, folder) for picture in pictures]


def series(
    figures: Figures,
    rows: Sequence[str],
    column: str,
    across: Callable[[Row], float],
    up: Callable[[Row, float], float],
) -> Points:
    """The points of one line: those rows that a column has figures for."""
    found = [(BY_NAME[name], figures.median(name, column)) for name in rows]
    return [(across(row), up(row, seconds)) for row, seconds in found if seconds is not None]


@dataclass(frozen=True, slots=True)
class Picture:
    """One file: a panel for each list of rows, and in it a line for each column."""

    name: str
    panels: Mapping[str, Sequence[str]]
    x_label: str
    y_label: str
    across: Callable[[Row], float]
    up: Callable[[Row, float], float]

    def draw(self, figures: Figures, folder: Path) -> Path:
        """Write the file."""
        figure: Any = import_module("matplotlib.figure").Figure(figsize=_INCHES, layout="constrained")
        for number, (title, rows) in enumerate(self.panels.items(), 1):
            axes = figure.add_subplot(1, len(self.panels), number)
            axes.set_title(f"{title}, {self.y_label}")
            axes.set_xlabel(self.x_label)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.grid(visible=True, which="both", alpha=0.2)
            lines = {column: series(figures, rows, column, self.across, self.up) for column in COLUMNS}
            for color, (column, points) in enumerate(lines.items()):
                if points:
                    style = {"color": f"C{color}", "linewidth": _WIDE if column == OURS else _NARROW}
                    axes.plot(*zip(*points, strict=True), marker="o", label=column, **style)
            if any(lines.values()):
                axes.legend()
            places = [self.across(BY_NAME[name]) for name in rows]
            axes.set_xticks(places, [f"{place:.4g}" for place in places])
        path = folder / f"{self.name}.png"
        figure.savefig(path, dpi=_DOTS)
        return path


def _kibibytes(row: Row) -> float:
    return row.bytes_per_call / _KIB


def _keys(row: Row) -> float:
    return row.count


def _microseconds(_row: Row, seconds: float) -> float:
    return seconds / _MICRO


def _gigabytes(row: Row, seconds: float) -> float:
    return row.bytes_per_call / seconds / _GIGA
