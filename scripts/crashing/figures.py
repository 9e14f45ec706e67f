"""What processes hold and what a cluster has given out: what must come back when nobody uses it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mmc.cache.membership import MemberState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmc.wire.replies import StatusReport

_KIB = 1 << 10
_EMPTY = ("used_bytes", "reserved_bytes", "quarantined_bytes", "objects", "waiting_reserves")
_NAMELESS = ("objects", "unconfirmed", "leased")


class Holdings(NamedTuple):
    """What a process holds: memory of its own in bytes, file descriptors but for logs, threads."""

    memory: int
    descriptors: int
    threads: int


def holdings(pid: int) -> Holdings | None:
    """What a process holds now; None when it is gone."""
    process = Path(f"/proc/{pid}")
    try:
        lines = process.joinpath("status").read_text(encoding="utf-8").splitlines()
        descriptors = sum(not _is_log(path) for path in process.joinpath("fd").iterdir())
    except OSError:
        return None
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    if "RssAnon" not in facts:
        return None
    return Holdings(int(facts["RssAnon"].split()[0]) * _KIB, descriptors, int(facts["Threads"]))


def _is_log(descriptor: Path) -> bool:
    """Whether it is a log, which is opened with its first line."""
    with contextlib.suppress(FileNotFoundError):
        return descriptor.readlink().suffix == ".log"
    return True


def is_whole(report: StatusReport, ranks: int) -> bool:
    """Whether every rank is live and has reported."""
    states = [dict(counters).get("state") for _, counters in report.ranks]
    return states == [MemberState.LIVE] * ranks


def still_held(report: StatusReport, ranks: int, others: int, proxies: int = 0) -> list[str]:
    """What a cluster without objects holds, although only the ranks and ``others`` clients have sessions.

    Each rank may have so many ``proxies``, which write for other hosts, as clients beside these.
    """
    meta = dict(report.counters)
    held = [f"meta service: {name} {meta[name]}" for name in _NAMELESS if meta[name]]
    if meta["sessions"] > ranks + others:
        held.append(f"meta service: sessions {meta['sessions']} of {ranks} ranks and {others} clients")
    if not is_whole(report, ranks):
        held.append("not every rank is live")
    for rank, pairs in report.ranks:
        counters = dict(pairs)
        held += [f"rank {rank}: {name} {counters[name]}" for name in _EMPTY if counters.get(name, 0)]
        if counters.get("free_records") != counters.get("records"):
            held.append(
                f"rank {rank}: {counters.get('free_records')} of {counters.get('records')} records free"
            )
        if counters.get("clients", 0) > others + proxies:
            held.append(f"rank {rank}: clients {counters['clients']}")
    return held


def evictions(report: StatusReport) -> int:
    """Replicas evicted in this epoch."""
    return dict(report.counters)["evictions"]


def files_in(directory: Path) -> dict[str, int]:
    """The files of a directory, and their bytes."""
    found = {}
    for path in directory.iterdir():
        with contextlib.suppress(FileNotFoundError):
            found[path.name] = path.stat().st_size
    return found


def more_than(before: Mapping[str, Holdings], after: Mapping[str, Holdings]) -> list[str]:
    """Processes that hold more descriptors or threads than before, or are not there."""
    more = []
    for name, held in before.items():
        now = after.get(name)
        if now is None:
            more.append(f"{name} is not there")
        elif now.descriptors > held.descriptors or now.threads > held.threads:
            more.append(f"{name} had {held.descriptors} descriptors and {held.threads} threads, and now "
                        f"{now.descriptors} and {now.threads}")  # fmt: skip
    return more
