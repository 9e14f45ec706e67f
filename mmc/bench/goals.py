"""What is to be reached in each row, as data, and the judgement of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mmc.bench.columns import BARE, MEMMOVE, MOONCAKE, MOONCAKE_SHM, OURS, SOCKET

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmc.bench.figures import Figures

_MICRO = 1e-6


class Verdict(NamedTuple):
    """A goal, what was found, and whether it is reached; None: what it is held against was not measured."""

    goal: str
    found: str
    reached: bool | None


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit for what ``find`` makes of the figures of a row: at least, or at most."""

    text: str
    find: Callable[[Figures, str], float | None]
    limit: float
    at_least: bool = True
    shown: str = "{:.2f}"

    def judge(self, figures: Figures, row: str) -> Verdict:
        """Whether a row reaches it."""
        found = self.find(figures, row)
        if found is None:
            return Verdict(self.text, "-", None)
        reached = found >= self.limit if self.at_least else found <= self.limit
        return Verdict(self.text, self.shown.format(found), reached)


def _faster(times: float) -> Goal:
    text = f">= {times:g} x the fastest peer" if times > 1 else "not behind any peer"
    return Goal(text, lambda figures, row: figures.times_peer(row), times)


def _of_floor(share: float) -> Goal:
    return Goal(f">= {share:g} x memmove", lambda figures, row: figures.share_of_floor(row), share)


def _ahead_of(peer: str, title: str) -> Goal:
    def find(figures: Figures, row: str) -> float | None:
        ours, theirs = figures.median(row), figures.median(row, peer)
        return None if ours is None or theirs is None else theirs / ours

    return Goal(f"not behind {title}", find, 1)


def _of_request(keys: int, times: float = 1.5, microseconds: float = 1.0) -> Goal:
    """At most so many bare requests, and so much more for each key."""

    def find(figures: Figures, row: str) -> float | None:
        ours, bare = figures.median(row), figures.median(row, BARE)
        if ours is None or bare is None:
            return None
        return (ours - keys * microseconds * _MICRO) / bare

    extra = f" + {microseconds:g} us a key" if keys else ""
    return Goal(f"<= {times:g} x bare request{extra}", find, times, at_least=False)


def _of_claimed_copy(figures: Figures, row: str) -> float | None:
    """Our time as a share of what a copy and a request take that overlap, with what is allowed beside."""
    ours, copy, bare = (figures.median(row, column) for column in (OURS, MEMMOVE, BARE))
    if ours is None or copy is None or bare is None:
        return None
    return ours / (1.25 * max(copy, bare) + 0.5 * min(copy, bare))


def _of_row(other: str, times: float) -> Goal:
    def find(figures: Figures, row: str) -> float | None:
        ours, theirs = figures.median(row), figures.median(other)
        return None if ours is None or theirs is None else ours / theirs

    return Goal(f"<= {times:g} x {other}", find, times, at_least=False)


def _value(text: str, limit: float, *, at_least: bool, shown: str) -> Goal:
    return Goal(text, lambda figures, row: figures.median(row), limit, at_least, shown)


def _of_socket(share: float) -> Goal:
    return Goal(
        f">= {share:g} x a plain socket", lambda figures, row: figures.share_of_floor(row, SOCKET), share
    )


GOALS: dict[str, tuple[Goal, ...]] = {
    "get_4k_new": (_faster(3),),
    "get_4k_warm": (_faster(10),),
    "exist_1": (_faster(3),),
    "exist_64": (_faster(1.5),),
    "exist_1000": (_faster(2),),
    "missing_1": (_of_request(1),),
    "missing_64": (_of_request(64),),
    "get_1m": (_of_floor(0.85), _faster(1)),
    "get_8m": (_of_floor(0.95), _faster(1)),
    "get_16x1m": (_of_floor(0.95), _faster(1)),
    "get_pieces": (_of_floor(0.95), _faster(1)),
    "get_4_layered": (_of_floor(1), _faster(1)),
    "put_4k": (_of_request(0), _ahead_of(MOONCAKE_SHM, "Mooncake beside, in shared memory")),
    "put_1m": (
        Goal("<= 1.25 max + 0.5 min of request and copy", _of_claimed_copy, 1, at_least=False),
        _ahead_of(MOONCAKE, "Mooncake"),
    ),
    "put_8m": (_of_floor(0.9), _faster(1)),
    "put_16x1m": (_of_floor(0.9), _faster(1)),
    "put_4_layered": (_of_floor(0.9), _faster(1)),
    "view_8m": (_of_row("get_4k_warm", 1.5),),
    **{
        row: (_of_socket(0.8), _faster(1.3))
        for row in (
            "far_get_1m",
            "far_get_8m",
            "far_get_16x1m",
            "far_put_1m",
            "far_put_8m",
            "far_put_16x1m",
        )
    },
    "first_get": (_value(">= 0.7", 0.7, at_least=True, shown="{:.2f}"),),
    "first_put": (_value(">= 0.9", 0.9, at_least=True, shown="{:.2f}"),),
    "meta_lookup": (_value(">= 400,000 /s", 400_000, at_least=True, shown="{:,.0f}"),),
    "meta_store": (_value(">= 60,000 /s", 60_000, at_least=True, shown="{:,.0f}"),),
    "meta_scale": (_value("<= 1.3", 1.3, at_least=False, shown="{:.2f}"),),
    "meta_bytes": (_value("<= 700 B", 700, at_least=False, shown="{:.0f}"),),
    "ready": (_value("<= 1500 ms", 1.5, at_least=False, shown="{:.2f} s"),),
    "connect": (_value("<= 50 ms", 0.05, at_least=False, shown="{:.3f} s"),),
    "close": (_value("<= 100 ms", 0.1, at_least=False, shown="{:.3f} s"),),
    "idle": (_value("< 1 %", math.nextafter(0.01, 0), at_least=False, shown="{:.2%}"),),
}
"""By row.  A row without goals is shown for what it is."""
