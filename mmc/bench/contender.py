"""One column of the table: which processes use a store, for what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmc.bench.columns import FAR, FLOORS, MOONCAKE_TCP, OURS
from mmc.bench.rows import Does

if TYPE_CHECKING:
    from mmc.bench.processes import Hand
    from mmc.bench.rows import Row

_PUTS = (Does.PUT, Does.PUT_PIECES)


@dataclass(frozen=True, slots=True)
class Contender:
    """A store, and the processes that put into it and read from it."""

    column: str
    writer: Hand
    reader: Hand

    def takes_part(self, row: Row) -> bool:
        """Whether a row is measured in this column: between hosts only what goes over TCP."""
        if self.column in FLOORS:
            return self.column in row.floors
        return self.column in (FAR, MOONCAKE_TCP) if row.far else self.column != FAR

    @property
    def shown_as(self) -> str:
        """The column in which its figures stand."""
        return OURS if self.column == FAR else self.column

    def hand(self, row: Row) -> Hand:
        """Who does what a row asks for."""
        return self.writer if row.does in _PUTS else self.reader
