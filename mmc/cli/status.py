"""``mmc status``: the cluster in one look, or as one JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from mmc.cache.membership import MemberState
from mmc.cli.options import META_URL, TIMEOUT_S, AsJson, ConfigFile, MetaUrl, Timeout
from mmc.cli.terminal import connected, guarded, say_json
from mmc.config import load_config
from mmc.errors import CannotCreate
from mmc.segments.directory import Orphan, SegmentDirectory

if TYPE_CHECKING:
    from mmc.wire.replies import StatusReport

Counters = dict[str, int | str]

_MB = 1e6
_SIZES = ("capacity_bytes", "used_bytes", "reserved_bytes", "quarantined_bytes")
_HEADINGS = ("records", "evictions", "clients")
_COUNTS = ("records", "free_records", "objects", "evictions", "clients")


@guarded
def status(
    meta_url: MetaUrl = META_URL,
    timeout: Timeout = TIMEOUT_S,
    config: ConfigFile = "",
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Show the cluster: its ranks, what they hold, hits and misses, and segments that nobody uses."""
    with connected(meta_url, config, timeout) as client:
        report = client.status()
    facts = collect(report, find_orphans(config))
    if as_json:
        say_json(facts)
    else:
        _print_tables(facts)


def find_orphans(config_path: str) -> list[Orphan]:
    """The segments of this host that no service holds; none where ``segment_dir`` cannot be used."""
    local = load_config(config_path or None).local
    try:
        return SegmentDirectory(local.segment_dir, local.segment_mode).orphans()
    except CannotCreate:
        return []


def collect(report: StatusReport, orphans: list[Orphan]) -> dict[str, object]:
    """What the JSON object says.

    ``meta``: counters of the meta service; ``ranks``: by rank its counters, and ``state``; ``totals``: their
    sums, in which ``objects`` counts replicas; ``hit_rate``: hits / gets, or None; ``orphans``: ``path``,
    ``bytes``, and whether it ``waits`` for its service to come back.
    """
    meta = {_snake(name): value for name, value in report.counters}
    ranks: dict[str, Counters] = {}
    for rank, pairs in report.ranks:
        counters: Counters = {_snake(name): value for name, value in pairs}
        counters["state"] = _state(dict(pairs).get("state", -1))
        ranks[str(rank)] = counters
    totals = {name: sum(_number(rank, name) for rank in ranks.values()) for name in (*_SIZES, *_COUNTS)}
    gets = meta.get("gets", 0)
    return {
        "meta": meta,
        "ranks": ranks,
        "totals": totals,
        "hit_rate": meta.get("hits", 0) / gets if gets else None,
        "orphans": [{"path": str(o.path), "bytes": o.size, "waits": o.waits} for o in orphans],
    }


def _snake(name: str) -> str:
    return name.replace(" ", "_")


def _state(value: int) -> str:
    return MemberState(value).name.lower() if value in set(MemberState) else "unknown"


def _number(counters: Counters, name: str) -> int:
    value = counters.get(name, 0)
    return value if isinstance(value, int) else 0


def _print_tables(facts: dict[str, object]) -> None:
    meta, ranks, totals = facts["meta"], facts["ranks"], facts["totals"]
    assert isinstance(meta, dict)
    assert isinstance(ranks, dict)
    assert isinstance(totals, dict)
    console = Console(soft_wrap=True)
    rate = facts["hit_rate"]
    console.print(
        f"epoch {meta['epoch']}, up {meta['uptime_ms'] / 1000:.0f} s, {meta['objects']} objects, "
        f"{meta['evictions']} evictions, {meta['sessions']} sessions, "
        f"hit rate {'unknown' if rate is None else f'{rate:.1%}'} of {meta['gets']} gets"
    )
    sizes = (name.removesuffix("_bytes") for name in _SIZES)
    table = Table("rank", "state", box=None, padding=(0, 1, 0, 0))
    for heading in (*sizes, *_HEADINGS):
        table.add_column(heading, justify="right")
    for rank, counters in ranks.items():
        table.add_row(rank, str(counters["state"]), *_cells(counters))
    table.add_row("all", "", *_cells(totals))
    console.print(table)
    console.print("sizes in MB; records: with an object / all")
    orphans = facts["orphans"]
    assert isinstance(orphans, list)
    for orphan in orphans:
        fate = (
            "waits for its service"
            if orphan["waits"]
            else "removed by a service that starts here a minute later"
        )
        console.print(f"orphaned segment {orphan['path']}, {orphan['bytes'] / _MB:.1f} MB: {fate}")


def _cells(counters: Counters) -> tuple[str, ...]:
    sizes = (f"{_number(counters, name) / _MB:.1f}" for name in _SIZES)
    filled = f"{_number(counters, 'objects')}/{_number(counters, 'records')}"
    return (*sizes, filled, str(_number(counters, "evictions")), str(_number(counters, "clients")))
