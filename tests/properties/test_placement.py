"""Placement (S7): replicas on distinct ranks, preferred ones first, the same for every process."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from mmc.cache.placement import home_order, place, spread_order
from mmc.identifiers import key_hash, rendezvous_weight
from tests.strategies import words

clusters = st.lists(st.integers(0, 1023), min_size=1, max_size=12, unique=True)


@st.composite
def wishes(draw: DrawFn) -> tuple[list[int], int, list[int]]:
    """The ranks there are, how many replicas are wanted, and which ranks are preferred."""
    ranks = draw(clusters)
    replicas = draw(st.integers(1, min(8, len(ranks))))
    preferred = draw(st.lists(st.sampled_from(ranks), max_size=replicas, unique=True))
    return ranks, replicas, preferred


@given(words, wishes())
def test_replicas_are_on_distinct_ranks(hashed: int, wish: tuple[list[int], int, list[int]]) -> None:
    """S7: there are as many ranks as replicas, all different, and all of them living."""
    ranks, replicas, preferred = wish
    chosen = place(hashed, ranks, replicas, preferred)
    assert len(chosen) == len(set(chosen)) == replicas
    assert set(chosen) <= set(ranks)


@given(words, wishes())
def test_preferred_ranks_are_honoured(hashed: int, wish: tuple[list[int], int, list[int]]) -> None:
    """S7: the preferred ranks come first, in the order in which they were named."""
    ranks, replicas, preferred = wish
    assert place(hashed, ranks, replicas, preferred)[: len(preferred)] == preferred


@given(words, wishes())
def test_the_others_are_the_first_of_the_key_s_order(
    hashed: int, wish: tuple[list[int], int, list[int]]
) -> None:
    """What is not preferred goes where the key would go anyway, nearest to its home first."""
    ranks, replicas, preferred = wish
    others = place(hashed, ranks, replicas, preferred)[len(preferred) :]
    order = [rank for rank in home_order(hashed, ranks) if rank not in preferred]
    assert others == order[: len(others)]


@given(words, wishes(), st.randoms(use_true_random=False))
def test_everybody_places_alike(
    hashed: int,
    wish: tuple[list[int], int, list[int]],
    chance: Random,
) -> None:
    """The placement depends on which ranks there are, not on the order in which one knows them."""
    ranks, replicas, preferred = wish
    shuffled = ranks.copy()
    chance.shuffle(shuffled)
    assert place(hashed, shuffled, replicas, preferred) == place(hashed, ranks, replicas, preferred)


@given(words, clusters, st.data())
def test_losing_a_rank_moves_only_its_own_keys(hashed: int, ranks: list[int], data: st.DataObject) -> None:
    """When a rank goes, all that remain stand in the order in which they stood."""
    lost = data.draw(st.sampled_from(ranks))
    rest = [rank for rank in ranks if rank != lost]
    assert home_order(hashed, rest) == [r for r in home_order(hashed, ranks) if r != lost]


@given(words, clusters)
def test_no_two_ranks_weigh_the_same(hashed: int, ranks: list[int]) -> None:
    """Every key puts the ranks in one order, without ties."""
    assert len({rendezvous_weight(hashed, rank) for rank in ranks}) == len(ranks)


rooms = st.dictionaries(st.integers(0, 1023), st.integers(0, 1 << 40), min_size=1, max_size=12)


@given(words, rooms)
def test_what_is_spread_may_go_anywhere(hashed: int, room: dict[int, int]) -> None:
    """Every rank is named once, and none without room before one that has some."""
    order = spread_order(hashed, room)
    assert sorted(order) == sorted(room)
    assert [room[rank] > 0 for rank in order] == sorted((room[rank] > 0 for rank in order), reverse=True)


@given(words, rooms, st.data())
def test_more_room_never_makes_a_rank_come_later(
    hashed: int, room: dict[int, int], data: st.DataObject
) -> None:
    """And the others stay in their order, so that a rank that is filled gives up keys one by one."""
    rank = data.draw(st.sampled_from(sorted(room)))
    larger = room | {rank: room[rank] + data.draw(st.integers(1, 1 << 40))}
    before, after = spread_order(hashed, room), spread_order(hashed, larger)
    assert after.index(rank) <= before.index(rank)
    assert [other for other in after if other != rank] == [other for other in before if other != rank]


@given(st.integers(1, 8), st.integers(1, 1 << 30), st.integers(1, 50))
def test_an_empty_rank_that_joins_gets_its_share(others: int, free: int, times: int) -> None:
    """However many full ranks there are, its share of what comes is that of the room, within 5 %."""
    room = dict.fromkeys(range(1, others + 1), free) | {0: times * free}
    firsts = [spread_order(key_hash(b"%d" % number), room)[0] for number in range(4000)]
    share = times / (times + others)
    assert abs(firsts.count(0) / 4000 - share) < 0.05
