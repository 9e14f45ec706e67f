"""The report of a replay, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scripts.replay.room import size_text

if TYPE_CHECKING:
    from scripts.replay.tally import Figures


def report_lines(figures: Figures) -> list[str]:
    """The report, line by line."""
    f: dict[str, Any] = dict(figures)
    services = f"{f['local_services']} local services of {size_text(f['dram_bytes'])} each"
    lines = [
        f"{f['requests']:,} requests of {f['source']}",
        f"  dealt in turn to {f['engines']} engines; {services}",
        "",
    ]
    rows = [
        ("blocks asked for", f"{f['blocks_asked']:,}",
         f"of {size_text(f['block_bytes'])}; {f['blocks_distinct']:,} different ones"),
        ("hits", f"{f['blocks_hit']:,}",
         f"{f['hit_rate']:.2%}; a cache without limits: {f['hit_rate_unlimited']:.2%}"),
        ("of the other engine", f"{f['blocks_hit_of_the_other_engine']:,}",
         "hits on blocks that only the other engine had stored"),
        ("put", f"{f['blocks_put']:,}",
         f"and {f['blocks_put_already_there']:,} that the other engine had put meanwhile"),
        ("evicted", f"{f['evictions']:,}",
         f"{f['blocks_gone_before_get']:,} of them between look-up and get"),
        ("verified", f"{f['blocks_verified']:,}",
         f"{size_text(f['bytes_got'])} compared, wrong bytes: {f['wrong_bytes']:,}"),
        ("time", f"{f['wall_s']:.1f} s",
         f"{f['requests'] / f['wall_s']:,.0f} requests/s, {f['gb_per_s']:.2f} GB/s got and put"),
        ("look-up", *_latency(f["exist_batch_us"]), "per request"),
        ("get", *_latency(f["get_block_us"]),
         f"per block; {f['get_gb_per_s']:.2f} GB/s in an engine's gets"),
        ("put", *_latency(f["put_block_us"]),
         f"per block; {f['put_gb_per_s']:.2f} GB/s in an engine's puts"),
    ]  # fmt: skip
    lines += [f"  {row[0]:<20} {row[1]:>12}   {' '.join(row[2:])}" for row in rows]
    shares = ", ".join(f"{name} {share:.0%}" for name, share in f["engine_time"].items())
    lines.append(f"  {'engine time':<20} {'':>12}   {shares}")
    seconds = ", ".join(f"{name} {spent:.1f} s" for name, spent in f["cpu_s"].items())
    lines.append(f"  {'CPU time':<20} {'':>12}   {seconds}")
    lines += [f"  failed: {name}: {count:,} blocks" for name, count in sorted(f["failed"].items())]
    return lines


def _latency(spread: dict[str, float]) -> tuple[str, str]:
    return f"{spread['p50']:,.0f} us", f"median, p99 {spread['p99']:,.0f} us"
