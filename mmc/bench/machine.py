"""The machine that a run was made on, how busy it was, and what a process has used of it."""

from __future__ import annotations

import ctypes
import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("mmc", "numpy", "pyzmq", "redis", "hiredis", "pymemcache", "mooncake-transfer-engine-non-cuda")
_KIB = 1024


def describe() -> dict[str, object]:
    """Processor, cores, memory, kernel, interpreter, and versions of the packages that matter."""
    return {
        "processor": _entry("/proc/cpuinfo", "model name"),
        "cores": len(os.sched_getaffinity(0)),
        "memory": _entry("/proc/meminfo", "MemTotal"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _entry(path: str, name: str) -> str:
    for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def load_average() -> list[float]:
    """How many processes wanted to run in the last 1, 5 and 15 minutes."""
    return [round(load, 2) for load in os.getloadavg()]


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used so far, all of its threads together.

    Raises:
        OSError: there is no such process.
    """
    clock = ctypes.c_int()
    error = ctypes.CDLL(None).clock_getcpuclockid(pid, ctypes.byref(clock))
    if error:
        raise OSError(error, os.strerror(error))
    return time.clock_gettime(clock.value)


def shared_bytes(pid: int) -> int:
    """Memory of files in a process's page tables: of those on tmpfs, or of others where there is more."""
    return max(_status(pid, "RssShmem"), _status(pid, "RssFile"))


def private_bytes(pid: int) -> int:
    """Memory of its own that a process has."""
    return _status(pid, "RssAnon")


def _status(pid: int, name: str) -> int:
    return int(_entry(f"/proc/{pid}/status", name).split()[0]) * _KIB
