"""Gets and hits, told again and again by clients that come and go."""

from mmc.cache.tally import Tally


def test_totals_of_clients_are_added() -> None:
    """What each client found stands in the sums once."""
    tally = Tally(8)
    tally.tell(1, 10, 7)
    tally.tell(2, 5, 5)
    tally.tell(1, 12, 8)
    assert (tally.gets, tally.hits) == (17, 13)


def test_telling_again_adds_nothing() -> None:
    """A word that is repeated, or arrives behind a later one, changes nothing."""
    tally = Tally(8)
    for gets, hits in ((10, 7), (10, 7), (4, 2), (10, 7)):
        tally.tell(1, gets, hits)
    assert (tally.gets, tally.hits) == (10, 7)


def test_what_the_departed_found_stays() -> None:
    """A client that is gone takes no room, and its finds remain in the sums."""
    tally = Tally(8)
    tally.tell(1, 10, 7)
    tally.forget(1)
    assert (tally.gets, tally.hits, len(tally)) == (10, 7, 0)


def test_clients_remembered_are_limited() -> None:
    """Of more clients than the limit those are forgotten that were silent for longest."""
    tally = Tally(2)
    tally.tell(1, 1, 1)
    tally.tell(2, 1, 1)
    tally.tell(1, 2, 1)
    tally.tell(3, 1, 1)
    assert len(tally) == 2
    tally.tell(1, 2, 1)
    assert (tally.gets, tally.hits) == (4, 3)


def test_sums_never_leave_the_wire_s_words() -> None:
    """Totals beyond all counting, from a client that lies, stay within 64 bits."""
    tally = Tally(8)
    tally.tell(1, (1 << 64) - 1, (1 << 64) - 1)
    tally.tell(2, 10, 10)
    assert (tally.gets, tally.hits) == ((1 << 64) - 1, (1 << 64) - 1)
