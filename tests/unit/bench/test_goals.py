"""Goals as data: what is reached, what is not, and what cannot be judged; and whether a run is comparable."""

from __future__ import annotations

import pytest

from mmc.bench.columns import BARE, MEMCACHED, MEMMOVE, MOONCAKE, MOONCAKE_SHM, OURS, PEERS, REDIS
from mmc.bench.expected import EXPECTED_US, MOST, slower_peers
from mmc.bench.figures import Figures
from mmc.bench.goals import GOALS
from mmc.bench.rows import BY_NAME


def judged(row: str, **medians: float) -> list[bool | None]:
    """Whether each goal of a row is reached with these medians, in microseconds."""
    figures = Figures()
    for column, median in medians.items():
        figures.add(row, column, [median * 1e-6])
    return [goal.judge(figures, row).reached for goal in GOALS[row]]


@pytest.mark.parametrize(
    ("row", "medians", "reached"),
    [
        ("get_4k_new", {OURS: 10, MEMCACHED: 33}, [True]),
        ("get_4k_new", {OURS: 10, MEMCACHED: 29, REDIS: 80}, [False]),
        ("get_4k_new", {OURS: 10}, [None]),
        ("get_8m", {OURS: 1000, MEMMOVE: 960, MOONCAKE: 1100}, [True, True]),
        ("get_8m", {OURS: 1000, MEMMOVE: 940, MOONCAKE: 990}, [False, False]),
        ("missing_1", {OURS: 150, BARE: 100}, [True]),
        ("missing_1", {OURS: 152, BARE: 100}, [False]),
        ("missing_64", {OURS: 213, BARE: 100}, [True]),
        ("missing_64", {OURS: 215, BARE: 100}, [False]),
        ("put_1m", {OURS: 290, MEMMOVE: 200, BARE: 100}, [True, None]),
        ("put_1m", {OURS: 310, MEMMOVE: 200, BARE: 100, MOONCAKE: 400}, [False, True]),
        ("put_4k", {OURS: 140, BARE: 100, MOONCAKE_SHM: 150}, [True, True]),
    ],
)
def test_goals_are_judged_by_ratios(row: str, medians: dict[str, float], reached: list[bool | None]) -> None:
    """Each goal is reached just within its limit, missed just beyond, and not judged without a rival."""
    assert judged(row, **medians) == reached


def test_a_view_is_held_against_a_warm_get() -> None:
    """A goal may name another row; without that row it is not judged."""
    figures = Figures()
    figures.add("view_8m", OURS, [3e-6])
    assert GOALS["view_8m"][0].judge(figures, "view_8m").reached is None
    figures.add("get_4k_warm", OURS, [2e-6])
    assert GOALS["view_8m"][0].judge(figures, "view_8m").reached is True


def test_tables_name_rows_that_there_are() -> None:
    """Goals and expected times are of rows, and of peers."""
    assert GOALS.keys() <= BY_NAME.keys()
    assert EXPECTED_US.keys() <= BY_NAME.keys()
    assert {column for columns in EXPECTED_US.values() for column in columns} <= set(PEERS)


def test_a_run_is_comparable_while_no_peer_is_slow() -> None:
    """Peers at 1.5 times what was expected are fast enough; one beyond marks the run, in a sentence."""
    figures = Figures()
    for row, columns in EXPECTED_US.items():
        for column, expected in columns.items():
            figures.add(row, column, [MOST * expected * 1e-6 * 0.999])
    assert slower_peers(figures.median) == []
    slow = Figures()
    slow.add("get_1m", REDIS, [3 * EXPECTED_US["get_1m"][REDIS] * 1e-6])
    (sentence,) = slower_peers(slow.median)
    assert "redis" in sentence
    assert "3.0 times" in sentence


def test_a_peer_that_was_not_measured_marks_nothing() -> None:
    """Without peers there is nothing to doubt."""
    assert slower_peers(Figures().median) == []
