"""Numbers of events: a loss is noticed, and nothing but a loss is."""

from hypothesis import given
from hypothesis import strategies as st

from mmc.wire.topics import GapDetector

arrivals = st.lists(st.integers(1, 12), min_size=1, max_size=30)


@given(arrivals)
def test_every_loss_before_an_arrival_is_noticed(numbers: list[int]) -> None:
    """When a number never comes and a later one does, a gap was told."""
    gaps = GapDetector()
    told = [gaps.saw(1, number) for number in numbers]
    expected = set(range(numbers[0], max(numbers)))
    if expected - set(numbers):
        assert any(told)
    assert gaps.gaps == sum(told)


@given(st.integers(1, 100), st.lists(st.integers(0, 3), max_size=20))
def test_nothing_is_told_while_nothing_is_missed(start: int, backs: list[int]) -> None:
    """Numbers that come in order, repeated as often as the network likes, are no gap."""
    gaps = GapDetector()
    highest = start
    assert not gaps.saw(1, start)
    for back in backs:
        if back == 0:
            highest += 1
        assert not gaps.saw(1, max(start, highest - back))
    assert gaps.gaps == 0


@given(arrivals, st.integers(1, 14))
def test_the_publisher_s_word_is_the_last_word(numbers: list[int], published: int) -> None:
    """Whoever is told how much was published misses exactly what lies above what it has seen."""
    gaps = GapDetector()
    for number in numbers:
        gaps.saw(1, number)
    assert gaps.behind(1, published) == (published > max(numbers))
    assert not gaps.behind(1, published)


@given(arrivals, arrivals)
def test_epochs_count_apart(first: list[int], second: list[int]) -> None:
    """What was seen in one epoch says nothing about the next."""
    gaps, fresh = GapDetector(), GapDetector()
    for number in first:
        gaps.saw(1, number)
    assert [gaps.saw(2, number) for number in second] == [fresh.saw(2, n) for n in second]
