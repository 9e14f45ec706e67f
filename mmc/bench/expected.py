"""What peers were measured to do on a quiet machine, and what a run must come near to be compared with it.

Microseconds of a call; where a range was seen, its upper end.  A peer that is slower than 1.5 times this was
measured on another kind of machine, or on a busy one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.bench.columns import MEMCACHED, MOONCAKE, MOONCAKE_SHM, MOONCAKE_TCP, REDIS
from mmc.bench.dataset import LARGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 1.5
_GIGA = 1e9
_MICRO = 1e-6


def _speed(gigabytes_per_second: float, size: int = LARGE_BYTES) -> float:
    return size / gigabytes_per_second / _GIGA / _MICRO


EXPECTED_US: dict[str, dict[str, float]] = {
    "get_4k_new": {MEMCACHED: 43, REDIS: 84, MOONCAKE: 105, MOONCAKE_TCP: 99, MOONCAKE_SHM: 185},
    "put_4k": {MEMCACHED: 38, REDIS: 102, MOONCAKE: 183, MOONCAKE_TCP: 147, MOONCAKE_SHM: 313},
    "exist_1": {MEMCACHED: 34, REDIS: 72, MOONCAKE: 90, MOONCAKE_TCP: 50, MOONCAKE_SHM: 159},
    "exist_64": {MEMCACHED: 500, REDIS: 890, MOONCAKE: 234, MOONCAKE_TCP: 116, MOONCAKE_SHM: 260},
    "exist_1000": {MEMCACHED: 7000, REDIS: 10000, MOONCAKE: 1690, MOONCAKE_TCP: 1430, MOONCAKE_SHM: 1350},
    "get_1m": {MEMCACHED: 711, REDIS: 884, MOONCAKE: 262, MOONCAKE_TCP: 523, MOONCAKE_SHM: 378},
    "get_8m": {
        MEMCACHED: _speed(1.4), REDIS: _speed(0.9), MOONCAKE: _speed(6.3), MOONCAKE_TCP: _speed(2.4),
        MOONCAKE_SHM: _speed(5.0),
    },
    "put_8m": {
        MEMCACHED: _speed(2.1), REDIS: _speed(0.8), MOONCAKE: _speed(5.2), MOONCAKE_TCP: _speed(2.2),
        MOONCAKE_SHM: _speed(4.7),
    },
    "get_4_layered": {
        MOONCAKE: _speed(5.2, 4 * LARGE_BYTES), MOONCAKE_TCP: _speed(1.3, 4 * LARGE_BYTES),
        MOONCAKE_SHM: _speed(4.8, 4 * LARGE_BYTES),
    },
}  # fmt: skip


def slower_peers(seconds_of: Callable[[str, str], float | None]) -> list[str]:
    """A sentence for each peer and row that is slower than it may be; ``seconds_of`` a row and a column."""
    found = []
    for row, columns in EXPECTED_US.items():
        for column, expected in columns.items():
            seconds = seconds_of(row, column)
            if seconds is not None and seconds > MOST * expected * _MICRO:
                took = seconds / _MICRO
                times = f"{took / expected:.1f} times the {expected:.0f} us that were expected"
                found.append(f"{row}: {column} took {took:.0f} us, {times}")
    return found
