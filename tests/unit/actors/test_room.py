"""How objects are spread over other ranks, by what they told and by what was sent there since."""

from collections import Counter

from mmc.actors.client.room import Room
from mmc.identifiers import key_hash

_KEYS = 4000


def _told(free: int) -> tuple[tuple[str, int], ...]:
    return (
        ("capacity_bytes", 100),
        ("used_bytes", 60 - free),
        ("reserved_bytes", 30),
        ("quarantined_bytes", 10),
        ("records", 10),
        ("free_records", 10),
    )


def _firsts(room: Room, ranks: list[int]) -> Counter[int]:
    """How many of many keys prefer which rank."""
    return Counter(room.spread(key_hash(b"key %d" % number), ranks)[0] for number in range(_KEYS))


def test_what_is_full_or_not_known_comes_last() -> None:
    """Free is what is neither used, reserved nor waiting for its pins."""
    room = Room()
    room.heard([(1, _told(0)), (2, _told(50)), (3, _told(30))], 0.0)
    assert set(room.spread(7, [1, 2, 3, 4])[:2]) == {2, 3}
    assert set(room.spread(7, [1, 2, 3, 4])[2:]) == {1, 4}


def test_a_rank_that_joins_gets_its_share_and_not_all() -> None:
    """Of four ranks, three of them nearly full, the empty one is not preferred by every key."""
    room = Room()
    room.heard([(1, _told(10)), (2, _told(10)), (3, _told(10)), (4, _told(60))], 0.0)
    share = _firsts(room, [1, 2, 3, 4])[4] / _KEYS
    assert 60 / 90 - 0.05 < share < 60 / 90 + 0.05


def test_what_is_sent_counts_at_once() -> None:
    """Between two answers a client takes off what it sends."""
    room = Room()
    room.heard([(1, _told(40)), (2, _told(50))], 0.0)
    before = _firsts(room, [1, 2])[2]
    room.take([2], 40, 0.5)
    assert _firsts(room, [1, 2])[2] < before / 2
    room.take([7], 20, 0.5)
    assert room.spread(7, [1, 2, 7])[2] == 7


def test_what_was_sent_lately_is_not_in_what_is_heard() -> None:
    """Heartbeats tell of half a second ago."""
    room = Room()
    room.heard([(1, _told(50))], 0.0)
    room.take([1], 40, 0.9)
    room.heard([(1, _told(50))], 1.0)
    assert room.below([1], 100, 11) == {}
    room.heard([(1, _told(50))], 2.0)
    assert room.below([1], 100, 11) == {1: 50}


def test_room_below_a_mark_is_bytes_and_records() -> None:
    """A rank that is short of either is full."""
    room = Room()
    many, few = (("records", 10), ("free_records", 3)), (("records", 10), ("free_records", 2))
    room.heard([(1, (*_told(50), *many)), (2, (*_told(50), *few)), (3, (*_told(20), *many))], 0.0)
    assert room.below([1, 2, 3, 4], 80, 1) == {1: 30}


def test_it_is_asked_for_once_a_second() -> None:
    """What was heard is good for a second."""
    room = Room()
    assert room.is_stale(5.0)
    room.heard([], 5.0)
    assert not room.is_stale(5.9)
    assert room.is_stale(6.0)
