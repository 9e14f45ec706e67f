"""Claims that wait for confirmation."""

import pytest

from mmc.cache.claims import Claims
from mmc.cache.names import Entry, Names
from mmc.identifiers import Location, ObjectVersion

DELAY = 0.5


def claimed(names: Names, key: bytes, *ranks: int) -> Entry:
    """An entry with an unconfirmed replica on each rank."""
    places = tuple(Location(rank, len(names), 2) for rank in ranks)
    return names.claim(key, ObjectVersion(1, 1, len(names), 0).packed(), 64, places)


@pytest.fixture
def claims() -> Claims:
    """Claims that are looked into after half a second."""
    return Claims(DELAY)


def test_a_claim_is_due_after_the_delay(claims: Claims) -> None:
    """A claim is looked into once its delay has passed, and not before."""
    entry = claimed(Names(), b"key", 1)
    claims.note(entry, 10.0)
    assert claims.next_due() == 10.0 + DELAY
    assert claims.take_due(10.4) == []
    assert claims.take_due(10.5) == [entry]


def test_a_claim_is_due_again_until_it_is_settled(claims: Claims) -> None:
    """A claim that was looked into is due again after another delay."""
    entry = claimed(Names(), b"key", 1)
    claims.note(entry, 0.0)
    assert claims.take_due(3.0) == [entry]
    assert claims.next_due() == 3.0 + DELAY
    assert claims.take_due(3.0) == []
    assert claims.take_due(3.5) == [entry]


def test_claims_are_due_in_the_order_of_their_noting(claims: Claims) -> None:
    """The claim noted first is due first, and noting one again moves it to the end."""
    names = Names()
    first, second, third = (claimed(names, key, 1) for key in (b"1", b"2", b"3"))
    for eighths, entry in enumerate((first, second, third, first)):
        claims.note(entry, eighths / 8)
    assert len(claims) == 3
    assert claims.next_due() == 1 / 8 + DELAY
    assert claims.take_due(2 / 8 + DELAY) == [second, third]
    assert claims.take_due(3 / 8 + DELAY) == [first]
    assert claims.take_due(10.0) == [second, third, first]


def test_a_claim_is_settled_when_no_replica_is_unconfirmed(claims: Claims) -> None:
    """A claim is looked into until the last of its replicas is confirmed."""
    names = Names()
    entry = claimed(names, b"key", 1, 2)
    claims.note(entry, 0.0)
    for place in entry.replicas:
        claims.settle(entry)
        assert b"key" in claims
        names.confirm(entry, place)
    claims.settle(entry)
    assert b"key" not in claims
    assert claims.next_due() is None


def test_settling_what_was_never_noted_changes_nothing(claims: Claims) -> None:
    """An entry that a rank reported, and nobody claimed, needs no check."""
    entry = Names().report(b"key", ObjectVersion(1, 1, 1, 0).packed(), 64, Location(1, 0, 2))
    claims.settle(entry)
    assert len(claims) == 0
