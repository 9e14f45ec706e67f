"""Which of the other ranks is the emptiest, by what they told and by what was sent there since."""

from mmc.actors.client.room import Room


def _told(free: int) -> tuple[tuple[str, int], ...]:
    return (
        ("capacity_bytes", 100),
        ("used_bytes", 60 - free),
        ("reserved_bytes", 30),
        ("quarantined_bytes", 10),
    )


def test_the_emptiest_comes_first_and_the_unknown_last() -> None:
    """Free is what is neither used, reserved nor waiting for its pins."""
    room = Room()
    room.heard([(1, _told(10)), (2, _told(50)), (3, _told(30))], 0.0)
    assert room.emptiest_first([1, 2, 3, 4]) == [2, 3, 1, 4]


def test_what_is_sent_counts_at_once() -> None:
    """Between two answers a client spreads what it sends."""
    room = Room()
    room.heard([(1, _told(40)), (2, _told(50))], 0.0)
    room.take([2], 20)
    assert room.emptiest_first([1, 2]) == [1, 2]
    room.take([7], 20)
    assert room.emptiest_first([1, 2, 7]) == [1, 2, 7]


def test_it_is_asked_for_once_a_second() -> None:
    """What was heard is good for a second."""
    room = Room()
    assert room.is_stale(5.0)
    room.heard([], 5.0)
    assert not room.is_stale(5.9)
    assert room.is_stale(6.0)
