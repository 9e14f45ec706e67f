"""Timing calls one by one, by the clock that costs least."""

from __future__ import annotations

import gc
from time import perf_counter_ns
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.bench.stores.contract import Call


def time_calls(calls: Sequence[Call]) -> tuple[list[int], list[object]]:
    """Nanoseconds of each call, and what each has returned.  No cycle is collected meanwhile."""
    clock = perf_counter_ns
    took: list[int] = []
    results: list[object] = []
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        for call in calls:
            begun = clock()
            result = call()
            took.append(clock() - begun)
            results.append(result)
    finally:
        if was_enabled:
            gc.enable()
    return took, results
