"""``mmc status``: the counters of the meta service and of every rank."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from mmc.client import Client
from mmc.config import load_config
from mmc.errors import InvalidArgument

if TYPE_CHECKING:
    from mmc.wire.replies import StatusReport

_MB = 1e6
_COLUMNS = ("used_bytes", "reserved_bytes", "quarantined_bytes", "capacity_bytes")


def print_status(meta_url: str, config_path: str, timeout: float, *, as_json: bool) -> None:
    """Ask the meta service and print what it says.

    Raises:
        CacheError: -3017, no answer within ``timeout`` seconds.
    """
    if not timeout > 0:
        raise InvalidArgument("--timeout must be above 0")
    config = load_config(config_path or None)
    limits = replace(config.client, connect_timeout_ms=max(1, int(timeout * 1000)))
    with Client(meta_url, replace(config, client=limits)) as client:
        report = client.status(timeout=timeout)
    if as_json:
        ranks = {rank: dict(counters) for rank, counters in report.ranks}
        sys.stdout.write(f"{json.dumps({'meta': dict(report.counters), 'ranks': ranks})}\n")
    else:
        _print_tables(report)


def _print_tables(report: StatusReport) -> None:
    console = Console()
    meta = dict(report.counters)
    console.print(
        f"epoch {meta['epoch']}, up {meta['uptime_ms'] / 1000:.0f} s, {meta['objects']} objects, "
        f"{meta['evictions']} evictions, {meta['sessions']} sessions"
    )
    table = Table("rank", *(f"{name.removesuffix('_bytes')} MB" for name in _COLUMNS), "objects",
                  "free records", "evictions", "clients")  # fmt: skip
    for rank, pairs in report.ranks:
        counters = dict(pairs)
        sizes = (f"{counters.get(name, 0) / _MB:.1f}" for name in _COLUMNS)
        counts = ("objects", "free_records", "evictions", "clients")
        table.add_row(str(rank), *sizes, *(str(counters.get(name, 0)) for name in counts))
    console.print(table)
