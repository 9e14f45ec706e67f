"""How large pools have to be for a trace, how large they may be, and how sizes read."""

from __future__ import annotations

import math
import os
from pathlib import Path

_SHARE_PERCENT = 60
_FILL_PERCENT = 86
_RECORD_BYTES = 32 << 10
_SPARE_BYTES = 32 << 20
_LEAST_BYTES = 2 << 20
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def needed_bytes(blocks: int, block_bytes: int, local_services: int) -> int:
    """The pool of each local service in which so many blocks fit without an eviction.

    Keys are spread by a hash, so that one service gets a few more than another; eviction begins
    before a pool is full; what writers reserve ahead needs room too.
    """
    share = blocks / local_services + 5 * math.sqrt(blocks)
    taken = max(block_bytes, _RECORD_BYTES)
    return math.ceil(share * taken * 100 / _FILL_PERCENT) + _SPARE_BYTES


def allowed_bytes(directory: str, local_services: int) -> int:
    """The pool of each local service that this host can spare.

    A part of what is free in the directory of the segments, and of the memory behind it.
    """
    state = os.statvfs(directory)
    free = min(state.f_bavail * state.f_frsize, _available_memory())
    return max(_LEAST_BYTES, free * _SHARE_PERCENT // 100 // local_services)


def _available_memory() -> int:
    """Bytes that processes of this host, or of this container, can still have."""
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return min(int(value.split()[0]) << 10, _container_memory())
    return _container_memory()


def _container_memory() -> int:
    """What the control group leaves; without a limit, more than any memory."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        used = int((group / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 1 << 62
    return max(0, limit - used)


def size_text(size: float) -> str:
    """A size as people read it: ``64 KiB``, ``11.2 GiB``."""
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:  # noqa: PLR2004 - of one unit in the next
        size /= 1024
        unit += 1
    return f"{size:.0f} {_UNITS[unit]}" if size == int(size) else f"{size:.1f} {_UNITS[unit]}"
