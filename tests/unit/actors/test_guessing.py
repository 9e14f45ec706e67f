"""Guesses at where an object lies are made as long as they pay."""

from mmc.actors.client.guessing import Guessing


def made(guessing: Guessing, times: int, *, found: int, missed: int) -> int:
    """How many of so many times it guesses, when each guess finds and misses so many."""
    count = 0
    for _ in range(times):
        if guessing.may_guess():
            guessing.saw(found, missed)
            count += 1
    return count


def test_guesses_that_find_are_always_made() -> None:
    """Half of them may miss."""
    assert made(Guessing(), 200, found=1, missed=0) == 200
    assert made(Guessing(), 200, found=1, missed=1) == 200


def test_guesses_that_find_nothing_become_few() -> None:
    """After the first, one time of sixteen; and one that finds is followed by another at once."""
    guessing = Guessing()
    assert made(guessing, 8, found=0, missed=1) == 8
    assert made(guessing, 160, found=0, missed=1) == 10
    guessing.saw(1, 0)
    assert guessing.may_guess()


def test_a_rank_that_is_not_reached_ends_guessing() -> None:
    """Whatever was found before."""
    guessing = Guessing()
    guessing.saw(1000, 0)
    guessing.failed()
    assert made(guessing, 15, found=0, missed=1) == 0
