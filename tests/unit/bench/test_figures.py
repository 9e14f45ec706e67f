"""Medians, spreads, and how far we are from peers and floors."""

from __future__ import annotations

import pytest

from mmc.bench.columns import BARE, MEMMOVE, MOONCAKE, OURS, REDIS
from mmc.bench.figures import Figures


def test_a_cell_is_the_median_over_all_rounds() -> None:
    """A cell's median is that of all values of all rounds; each round's median is kept."""
    figures = Figures()
    figures.add("get_1m", OURS, [1.0, 2.0, 9.0])
    figures.add("get_1m", OURS, [3.0, 4.0])
    figure = figures.figure("get_1m", OURS)
    assert figure is not None
    assert (figure.median, figure.count, figure.rounds) == (3.0, 5, (2.0, 3.5))
    assert figure.low <= figure.median <= figure.high


def test_a_single_value_is_its_own_spread() -> None:
    """One value is median, low and high."""
    figures = Figures()
    figures.add("ready", OURS, [0.5])
    figure = figures.figure("ready", OURS)
    assert figure is not None
    assert figure.low == figure.median == figure.high == 0.5


def test_what_was_not_measured_is_none() -> None:
    """Nothing is made up where nothing was measured."""
    figures = Figures()
    figures.add("get_1m", OURS, [1.0])
    assert figures.figure("get_1m", REDIS) is None
    assert figures.median("get_8m") is None
    assert figures.fastest_peer("get_1m") is None
    assert figures.times_peer("get_1m") is None
    assert figures.share_of_floor("get_1m") is None
    assert figures.messages("get_1m") is None


def test_the_fastest_peer_counts() -> None:
    """The ratio is to the peer with the smallest median, whatever its name."""
    figures = Figures()
    figures.add("get_1m", OURS, [2.0])
    figures.add("get_1m", REDIS, [8.0])
    figures.add("get_1m", MOONCAKE, [6.0, 6.0, 100.0])
    assert figures.fastest_peer("get_1m") == (MOONCAKE, 6.0)
    assert figures.times_peer("get_1m") == pytest.approx(3.0)


def test_floors_and_messages() -> None:
    """A share of a floor is 1 where we are as fast; messages are those of a call."""
    figures = Figures()
    figures.add("put_1m", OURS, [4.0])
    figures.add("put_1m", MEMMOVE, [3.0])
    figures.add("put_1m", BARE, [1.0])
    figures.add_messages("put_1m", 30, 20)
    figures.add_messages("put_1m", 10, 20)
    assert figures.share_of_floor("put_1m") == pytest.approx(0.75)
    assert figures.share_of_floor("put_1m", BARE) == pytest.approx(0.25)
    assert figures.messages("put_1m") == pytest.approx(1.0)
