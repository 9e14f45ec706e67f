"""Who holds what, by example; tests/stateful/test_reservations.py goes on."""

import pytest

from mmc.cache.reservations import Holder, Reservations


@pytest.fixture
def reservations() -> Reservations:
    """Three rows, 100 bytes ahead a client, 150 in all."""
    return Reservations(3, 100, 150, 5)


def add(reservations: Reservations, client: int, row: int | None = None) -> Holder:
    """A client with a row."""
    holder = reservations.add(client, row)
    assert holder is not None
    return holder


def test_clients_get_the_lowest_free_row(reservations: Reservations) -> None:
    """Each client has a row of its own, and a freed row is given out again."""
    holders = [add(reservations, client) for client in (7, 8, 9)]
    assert [holder.row for holder in holders] == [0, 1, 2]
    assert reservations.add(10) is None
    reservations.remove(holders[1])
    assert add(reservations, 10).row == 1
    assert reservations.of_client(8) is None


def test_a_restart_gives_a_client_its_own_row_again(reservations: Reservations) -> None:
    """A client found in a row of a segment keeps it, and that row is given to no other."""
    assert add(reservations, 7, 1).row == 1
    assert [add(reservations, client).row for client in (8, 9)] == [0, 2]
    with pytest.raises(AssertionError):
        reservations.add(10, 1)


def test_a_holder_is_found_by_client_and_by_row(reservations: Reservations) -> None:
    """Both ways lead to the same holder."""
    holder = add(reservations, 7)
    assert reservations.of_client(7) is reservations.at(0) is holder
    assert reservations.at(1) is None
    assert reservations.holders() == [holder]


def test_only_the_holder_s_record_ends(reservations: Reservations) -> None:
    """A record ends once, and only for the client that holds it."""
    mine = add(reservations, 7)
    reservations.hold(mine, 3, 40, 1)
    assert not reservations.end(4)
    assert reservations.end(3)
    assert not reservations.end(3)
    assert mine.bytes == 0


def test_holding_ahead_is_limited_per_client_and_in_all(reservations: Reservations) -> None:
    """A client may hold ahead up to its limit, and all clients up to theirs."""
    first, second = add(reservations, 7), add(reservations, 8)
    assert reservations.may_hold_ahead(first, 100)
    assert not reservations.may_hold_ahead(first, 101)
    reservations.hold(first, 1, 80, 1)
    assert reservations.may_hold_ahead(first, 20)
    assert not reservations.may_hold_ahead(first, 21)
    assert reservations.may_hold_ahead(second, 70)
    assert not reservations.may_hold_ahead(second, 71)
    reservations.end(1)
    assert reservations.may_hold_ahead(second, 100)


def test_records_held_ahead_are_limited_too(reservations: Reservations) -> None:
    """Records of no bytes are held ahead up to a number, by all clients together."""
    first, second = add(reservations, 7), add(reservations, 8)
    for record in range(4):
        reservations.hold(first, record, 0, 1)
    assert reservations.may_hold_ahead(second, 0)
    reservations.hold(second, 4, 0, 1)
    assert not reservations.may_hold_ahead(second, 0)
    assert not reservations.may_hold_ahead(first, 0)


def test_whoever_holds_a_record_cannot_be_removed(reservations: Reservations) -> None:
    """A client's row is freed after what it held was taken care of, never before."""
    holder = add(reservations, 7)
    reservations.hold(holder, 1, 64, 1)
    with pytest.raises(AssertionError):
        reservations.remove(holder)
    reservations.end(1)
    reservations.remove(holder)
    assert reservations.at(0) is None


def test_forfeiting_names_what_a_grant_gave(reservations: Reservations) -> None:
    """A forfeited grant names its own records, and is remembered for what it might still give."""
    holder = add(reservations, 7)
    for record, grant in ((1, 5), (2, 6), (3, 5)):
        reservations.hold(holder, record, 64, grant)
    assert holder.forfeit(5) == [1, 3]
    assert holder.forfeit(9) == []
    assert list(holder.forfeited) == [5, 9]


def test_forfeits_are_remembered_up_to_a_limit(reservations: Reservations) -> None:
    """Very many forfeits do not fill the memory: the oldest are forgotten."""
    holder = add(reservations, 7)
    for grant in range(5000):
        holder.forfeit(grant)
    assert list(holder.forfeited) == list(range(5000 - 4096, 5000))
