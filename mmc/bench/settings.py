"""What a run is asked for, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mmc.bench.dataset import Dataset
from mmc.bench.rows import BY_NAME, ROWS, Does, Row
from mmc.bench.workload import never_seen
from mmc.config import pool_bytes
from mmc.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEYS = 100_000
_ROUNDS = 5
_QUICK_KEYS = 20_000
_QUICK_ROUNDS = 3
_QUICK_SHARE = 4
_LEAST_KEYS = 100
_MOST_KEYS = 2_000_000
_MOST_ROUNDS = 1000
_MOST_RANKS = 64


@dataclass(frozen=True, slots=True)
class Settings:
    """One run: which rows, how often, on how many keys; ``dram`` "" is as much as is needed."""

    rows: tuple[Row, ...]
    rounds: int
    keys: int
    ranks: int
    dram: str = ""
    quick: bool = False
    peers: bool = True

    def dataset(self) -> Dataset:
        """What is stored: large objects enough that no cache of a processor holds them all."""
        medium, middle, large = (256, 48, 8) if self.quick else (2048, 256, 48)
        return Dataset(self.keys, medium, middle, large)

    def calls(self, row: Row) -> int:
        """Calls of a row in one round: keys that are to be new must last for all rounds."""
        calls = max(1, row.calls // _QUICK_SHARE) if self.quick else row.calls
        if row.does is Does.GET_NEW:
            return max(1, min(calls, never_seen(self.keys) // self.rounds))
        return calls


def settings_of(
    only: str, rounds: int | None, keys: int | None, ranks: int, dram: str, *, quick: bool, peers: bool
) -> Settings:
    """The settings that a command line asks for.

    Raises:
        InvalidArgument: one of them makes no sense; says which.
    """
    rounds = (_QUICK_ROUNDS if quick else _ROUNDS) if rounds is None else rounds
    keys = (_QUICK_KEYS if quick else _KEYS) if keys is None else keys
    if not 1 <= rounds <= _MOST_ROUNDS:
        raise InvalidArgument(f"--rounds must be 1 to {_MOST_ROUNDS}, not {rounds}")
    if not _LEAST_KEYS <= keys <= _MOST_KEYS:
        raise InvalidArgument(f"--keys must be {_LEAST_KEYS} to {_MOST_KEYS}, not {keys}")
    if not 1 <= ranks <= _MOST_RANKS:
        raise InvalidArgument(f"--ranks must be 1 to {_MOST_RANKS}, not {ranks}")
    if dram:
        pool_bytes(dram, "--dram")
    return Settings(_chosen(only), rounds, keys, ranks, dram, quick, peers)


def _chosen(only: str) -> tuple[Row, ...]:
    names: Sequence[str] = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [name for name in names if name not in BY_NAME]
    if unknown:
        raise InvalidArgument(f"--only {', '.join(unknown)}: rows are {', '.join(BY_NAME)}")
    return tuple(row for row in ROWS if not names or row.name in names)
