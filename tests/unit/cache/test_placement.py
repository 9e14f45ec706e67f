"""Placement: who is told no, and why; tests/properties/test_placement.py has the rules."""

import pytest

from mmc.cache.placement import home_order, place, place_widely
from mmc.errors import CacheError, Code


def test_a_preferred_rank_must_be_there() -> None:
    """A preferred rank that does not live is refused by name, and no other takes its place."""
    with pytest.raises(CacheError, match="preferred rank 9") as caught:
        place(1, [1, 2, 3], 2, [1, 9])
    assert caught.value.code is Code.NO_SUCH_RANK


@pytest.mark.parametrize("ranks", [[], [1], [1, 2]])
def test_there_must_be_a_rank_for_each_replica(ranks: list[int]) -> None:
    """More replicas than ranks are refused: no rank holds two."""
    with pytest.raises(CacheError, match=f"3 replicas on {len(ranks)} live ranks") as caught:
        place(1, ranks, 3, [])
    assert caught.value.code is Code.NO_SPACE


def test_keys_are_spread_evenly() -> None:
    """Of many keys each rank is home to about its share, and second home as well."""
    ranks = list(range(8))
    orders = [home_order(number * 0x9E3779B97F4A7C15 % (1 << 64), ranks) for number in range(4000)]
    for choice in (0, 1):
        homes = [order[choice] for order in orders]
        assert all(400 < homes.count(rank) < 600 for rank in ranks)


def test_the_order_is_part_of_the_protocol() -> None:
    """Processes of different versions must name the same home: the order never changes."""
    assert home_order(0x0123456789ABCDEF, range(6)) == [5, 4, 0, 3, 2, 1]


HOSTS = {0: (1, "a"), 1: (1, "a"), 2: (1, "b"), 3: (2, "c"), 4: (2, "d"), 5: (3, "e")}
"""Six ranks on three machines; of the first, two addresses."""


@pytest.mark.parametrize(
    ("replicas", "preferred", "chosen"),
    [
        (1, [], [0]),
        (2, [], [0, 3]),
        (3, [], [0, 3, 5]),
        (4, [], [0, 3, 5, 2]),
        (6, [], [0, 3, 5, 2, 4, 1]),
        (1, [4], [4]),
        (2, [4], [4, 0]),
        (3, [1, 0], [1, 0, 3]),
    ],
)
def test_replicas_are_spread_over_hosts(replicas: int, preferred: list[int], chosen: list[int]) -> None:
    """The first on the own host, then one on each machine, and of a machine one at each address."""
    assert place_widely([0, 1], [2, 3, 4, 5], replicas, preferred, HOSTS.__getitem__) == chosen


def test_a_wide_placement_refuses_as_any_other() -> None:
    """A preferred rank that is not there, and more replicas than ranks."""
    with pytest.raises(CacheError) as caught:
        place_widely([0], [3], 1, [5], HOSTS.__getitem__)
    assert caught.value.code is Code.NO_SUCH_RANK
    with pytest.raises(CacheError) as caught:
        place_widely([0], [3], 3, [], HOSTS.__getitem__)
    assert caught.value.code is Code.NO_SPACE
