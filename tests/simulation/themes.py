"""Themes: a crowded pool, a mix of mishaps and some operations preferred, that make certain races likely.

The swarm takes one up now and then; planted faults that show in such a race alone are run under it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tests.simulation.chance import Mix
from tests.simulation.settings import Settings

CROWDED = Settings(ranks=1, clients=3, capacity=8192, records=8)
STALLING = Mix(run_length=5.0, long_stall=0.2, longest_stall_s=0.05, latency_s=0.0001)
REPEATING = Mix(event_repeated=0.6, delayed=0.3, delay_s=0.3, run_length=30.0)
LATE = Mix(event_repeated=0.9, delayed=0.5, delay_s=1.0, run_length=30.0)
HIDING = Mix(run_length=8.0, long_stall=0.9, longest_stall_s=0.02, latency_s=0.0001)
BUFFERING = Mix(run_length=30.0, long_stall=0.8, longest_stall_s=0.01, latency_s=0.0001)
SLOW = Mix(delayed=0.5, delay_s=0.4)
LINGERING = Mix(run_length=1e6, long_stall=0.9, longest_stall_s=0.02)

READING = {"get": 20, "put": 14, "remove": 10, "keys": 1, "gap_s": 0.001}
VIEWING = {"view": 20, "put": 8, "remove": 14, "get": 0, "exist": 0, "query": 0, "keys": 1, "gap_s": 0.001}
LEASING = {"lease": 8, "put": 8, "remove": 10, "unlease": 0, "view": 0}
REMOVING = {"put": 12, "remove": 10}
DYING = {"put": 16, "crash": 0.2, "remove": 2}
REBUILDING = {"put": 16, "get": 8, "remove": 8, "restart_meta": 0.1, "away_s": 0.0}
RESTARTING = {"put": 20, "get": 8, "remove": 8, "restart_rank": 0.4, "away_s": 0.0, "gap_s": 0.01}
COPYING = {
    "put": 10, "get": 30, "remove": 12, "exist": 0, "query": 0, "view": 0, "list": 0, "keys": 3,
    "move": 0.7, "drain": 0.2, "gap_s": 0.03,
}  # fmt: skip


class Theme(NamedTuple):
    """``mix`` None: what the seed draws, in a configuration that it draws."""

    mix: Mix | None
    focus: Mapping[str, float]


THEMES = (
    Theme(STALLING, READING),
    Theme(STALLING, DYING),
    Theme(STALLING, RESTARTING),
    Theme(REPEATING, REMOVING),
    Theme(LINGERING, RESTARTING),
    Theme(LINGERING, VIEWING),
    Theme(LINGERING, REBUILDING),
    Theme(STALLING, REBUILDING),
    Theme(BUFFERING, RESTARTING),
    Theme(HIDING, VIEWING),
    Theme(SLOW, LEASING),
    Theme(None, LEASING),
)
