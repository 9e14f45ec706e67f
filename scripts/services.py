"""The service processes of an ``mmc up``: which there are now, found by what they run and what they hold."""

from __future__ import annotations

import contextlib
from pathlib import Path

BROKER, META, LOCAL = "broker", "meta", "local"
"""As their processes are named."""


def service_pids(supervisor: int) -> dict[str, int]:
    """The process id of each service: ``broker``, ``meta``, ``local 0``, ``local 1`` ...

    A local service that has no segment yet is not among them.
    """
    children = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text(encoding="ascii")
    pids = {}
    for pid in map(int, children.split()):
        with contextlib.suppress(OSError):
            name = _name_of(Path(f"/proc/{pid}"))
            if name:
                pids[name] = pid
    return pids


def _name_of(process: Path) -> str:
    """What a process is; "": nothing of this kind, or not yet."""
    whose, _, name = process.joinpath("comm").read_text(encoding="utf-8").strip().partition(" ")
    if whose != "mmc" or name not in (BROKER, META, LOCAL):
        return ""
    if name != LOCAL:
        return name
    for descriptor in process.joinpath("fd").iterdir():
        with contextlib.suppress(OSError):
            name = descriptor.readlink().name
            if name.endswith(".dram"):
                return f"{LOCAL} {name.removesuffix('.dram').rpartition('-')[2]}"
    return ""
