"""What a run has found: as lines for people, and as one object for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from mmc.bench.columns import BARE, COLUMNS, MEMMOVE
from mmc.bench.expected import slower_peers
from mmc.bench.figures import Figures
from mmc.bench.goals import GOALS, Verdict
from mmc.bench.rows import ROWS, Row, Unit

if TYPE_CHECKING:
    from collections.abc import Sequence

_GIGA = 1e9
_SCALES = {Unit.MICROSECONDS: 1e6, Unit.MILLISECONDS: 1e3, Unit.PERCENT: 100.0}
_REACHED = {True: "reached", False: "NOT reached", None: "not judged"}
_THOUSAND = 1000


@dataclass(slots=True)
class Report:
    """One run."""

    machine: dict[str, object] = field(default_factory=dict)
    settings: dict[str, object] = field(default_factory=dict)
    figures: Figures = field(default_factory=Figures)
    missing: list[str] = field(default_factory=list)
    asked: tuple[Row, ...] = ROWS

    def rows(self) -> list[Row]:
        """The rows that were asked for and measured."""
        return [row for row in self.asked if self.figures.median(row.name) is not None]

    def verdicts(self, row: Row) -> list[Verdict]:
        """How a row stands to its goals."""
        return [goal.judge(self.figures, row.name) for goal in GOALS.get(row.name, ())]

    def not_comparable(self) -> list[str]:
        """Why this run cannot be compared with others; empty when it can."""
        return slower_peers(self.figures.median)

    # For people

    def lines(self) -> list[str]:
        """The table, and what must be known beside it."""
        columns = [
            name for name in COLUMNS if any(self.figures.median(row.name, name) for row in self.rows())
        ]
        heads = ["row", "unit", *columns, "x peer", "x floor", "messages", "goal", "found", ""]
        table = [heads, *(cells for row in self.rows() for cells in self._cells(row, columns))]
        return [*_aligned(table, right=range(2, 5 + len(columns))), *self._notes()]

    def _cells(self, row: Row, columns: Sequence[str]) -> list[list[str]]:
        """A line, and one more for each further goal."""
        figures = self.figures
        medians = [_shown(row, figures.median(row.name, column)) for column in columns]
        beside = [
            _number(figures.times_peer(row.name)),
            _number(figures.share_of_floor(row.name, _floor_of(row))),
            _number(figures.messages(row.name)),
        ]
        verdicts = self.verdicts(row)
        goals = [[each.goal, each.found, _REACHED[each.reached]] for each in verdicts] or [["", "", ""]]
        first = [row.title, row.unit.value, *medians, *beside, *goals[0]]
        blank = [""] * (2 + len(columns) + len(beside))
        return [first, *([*blank, *goal] for goal in goals[1:])]

    def _notes(self) -> list[str]:
        reached = [verdict.reached for row in self.rows() for verdict in self.verdicts(row)]
        counts = ", ".join(f"{reached.count(state)} {word}" for state, word in _REACHED.items())
        lines = ["", f"goals: {counts}", *self.missing]
        slow = self.not_comparable()
        if slow:
            lines += ["NOT COMPARABLE with other runs: a peer is slower than it should be", *slow]
        loads = [f"{name.replace('_', ' ')} {self.machine[name]}" for name in ("load_before", "load_after")]
        return [*lines, f"{self.machine['processor']}, {self.machine['cores']} cores; {'; '.join(loads)}"]

    # For programs

    def facts(self) -> dict[str, object]:
        """Everything, in seconds of a call where the unit is a time or a speed."""
        return {
            "machine": self.machine,
            "settings": self.settings,
            "rows": [self._facts_of(row) for row in self.rows()],
            "missing_peers": self.missing,
            "not_comparable": self.not_comparable(),
        }

    def _facts_of(self, row: Row) -> dict[str, object]:
        figures = self.figures
        cells = {column: figures.figure(row.name, column) for column in COLUMNS}
        fastest = figures.fastest_peer(row.name)
        return {
            "name": row.name,
            "title": row.title,
            "unit": row.unit.value,
            "bytes_per_call": row.bytes_per_call,
            "columns": {column: asdict(cell) for column, cell in cells.items() if cell is not None},
            "messages_per_call": figures.messages(row.name),
            "fastest_peer": None if fastest is None else fastest[0],
            "times_fastest_peer": figures.times_peer(row.name),
            "share_of_floor": {floor: figures.share_of_floor(row.name, floor) for floor in (MEMMOVE, BARE)},
            "goals": [verdict._asdict() for verdict in self.verdicts(row)],
        }


def _floor_of(row: Row) -> str:
    return row.floors[0] if row.floors else MEMMOVE


def _shown(row: Row, value: float | None) -> str:
    if value is None:
        return "-"
    if row.unit is Unit.GIGABYTES:
        return f"{row.bytes_per_call / value / _GIGA:.2f}"
    return _number(value * _SCALES.get(row.unit, 1.0))


def _number(value: float | None) -> str:
    """Three digits that count, or all of those before the point."""
    if value is None:
        return "-"
    if value >= _THOUSAND:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 1 else f"{value:.2f}"


def _aligned(table: Sequence[Sequence[str]], right: range) -> list[str]:
    widths = [max(len(cells[at]) for cells in table) for at in range(len(table[0]))]
    return [
        "  ".join(
            cell.rjust(width) if at in right else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in table
    ]
