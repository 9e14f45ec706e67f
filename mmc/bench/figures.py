"""What was measured, as figures: medians over all rounds, and how far the middle eight tenths spread."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmc.bench.columns import MEMMOVE, OURS, PEERS

if TYPE_CHECKING:
    from collections.abc import Sequence

_TENTHS = 10


@dataclass(frozen=True, slots=True)
class Figure:
    """One cell: the median of all values, their first and last tenths, and the median of each round."""

    median: float
    low: float
    high: float
    count: int
    rounds: tuple[float, ...]


class Figures:
    """All cells of a run, in seconds of a call or in the row's own unit."""

    def __init__(self) -> None:
        """Nothing was measured."""
        self._rounds: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
        self._messages: dict[str, list[float]] = defaultdict(list)

    def add(self, row: str, column: str, values: Sequence[float]) -> None:
        """What one round has brought; at least one value."""
        assert values
        self._rounds[row, column].append(list(values))

    def add_messages(self, row: str, messages: int, calls: int) -> None:
        """How many messages the meta service handled while our calls of a row were made."""
        self._messages[row].append(messages / calls)

    def figure(self, row: str, column: str) -> Figure | None:
        """A cell; None where nothing was measured."""
        rounds = self._rounds.get((row, column))
        if rounds is None:
            return None
        values = [value for each in rounds for value in each]
        tenths = statistics.quantiles(values, n=_TENTHS) if len(values) > 1 else values
        medians = tuple(statistics.median(each) for each in rounds)
        return Figure(statistics.median(values), tenths[0], tenths[-1], len(values), medians)

    def median(self, row: str, column: str = OURS) -> float | None:
        """The median of a cell; None where nothing was measured."""
        figure = self.figure(row, column)
        return None if figure is None else figure.median

    def messages(self, row: str) -> float | None:
        """Messages of one of our calls, over all rounds; None where nobody counted."""
        counted = self._messages.get(row)
        return None if not counted else statistics.mean(counted)

    def fastest_peer(self, row: str) -> tuple[str, float] | None:
        """The peer that needs the fewest seconds, and how many."""
        found = [(seconds, peer) for peer in PEERS if (seconds := self.median(row, peer)) is not None]
        if not found:
            return None
        seconds, peer = min(found)
        return peer, seconds

    def times_peer(self, row: str) -> float | None:
        """How many times faster than the fastest peer we are."""
        ours, peer = self.median(row), self.fastest_peer(row)
        return None if ours is None or peer is None else peer[1] / ours

    def share_of_floor(self, row: str, floor: str = MEMMOVE) -> float | None:
        """How near a floor we come: 1 is as fast."""
        ours, least = self.median(row), self.median(row, floor)
        return None if ours is None or least is None else least / ours
