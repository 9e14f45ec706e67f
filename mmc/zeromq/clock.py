"""The host's clock: seconds since its boot, the same in every process and container of the host."""

from __future__ import annotations

from pathlib import Path
from time import CLOCK_BOOTTIME, clock_gettime

_NANOSECOND = 1e-9
_CLOCK_PER_S = 16


def _namespace_offset() -> float:
    """How far this time namespace has moved CLOCK_BOOTTIME, in seconds."""
    try:
        text = Path("/proc/self/timens_offsets").read_text(encoding="ascii")
    except OSError:
        return 0.0
    for line in text.splitlines():
        name, seconds, nanoseconds = line.split()
        if name == "boottime":
            return int(seconds) + int(nanoseconds) * _NANOSECOND
    return 0.0


_OFFSET = _namespace_offset()


def now() -> float:
    """Seconds since the host's boot, sleep included."""
    return clock_gettime(CLOCK_BOOTTIME) - _OFFSET


def access_clock() -> int:
    """The host's clock as access clocks have it: sixteenths of a second."""
    return int((clock_gettime(CLOCK_BOOTTIME) - _OFFSET) * _CLOCK_PER_S)
