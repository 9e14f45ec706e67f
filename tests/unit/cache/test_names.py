"""The transitions of a key and how each is reached; tests/stateful/test_names.py goes on."""

from collections.abc import Callable
from itertools import product

import msgpack
import pytest

from mmc.cache.names import MISSING, TRANSITIONS, Entry, NameEvent, Names, NameState
from mmc.identifiers import Location, ObjectVersion, unpack_version

KEY = b"key"
VERSION = ObjectVersion(1, 2, 3, 0).packed()
HERE = Location(1, 10, 2)
THERE = Location(2, 20, 4)

State, Event = NameState, NameEvent


def state_of(names: Names) -> NameState:
    """The state of the key."""
    entry = names.get(KEY)
    return State.ABSENT if entry is None else entry.state


def claimed() -> tuple[Names, Entry]:
    """A key with two unconfirmed replicas."""
    names = Names()
    return names, names.claim(KEY, VERSION, 64, (HERE, THERE))


def readable() -> tuple[Names, Entry]:
    """A key with one confirmed replica and one unconfirmed."""
    names, entry = claimed()
    names.confirm(entry, HERE)
    return names, entry


def leaving() -> tuple[Names, Entry]:
    """A key whose replicas are both on their way out."""
    names, entry = readable()
    for place in (HERE, THERE):
        names.withdraw(entry, place)
    return names, entry


def withdraw_all(names: Names, entry: Entry) -> None:
    """Begin to evict or remove every replica."""
    for place in entry.replicas:
        names.withdraw(entry, place)


def drop_all(names: Names, entry: Entry) -> None:
    """Lose every replica."""
    for place in (*entry.replicas, *entry.leaving):
        names.drop(entry, place)


STEPS: dict[tuple[NameState, NameEvent], Callable[[Names, Entry], object]] = {
    (State.CLAIMED, Event.CONFIRM): lambda names, entry: names.confirm(entry, HERE),
    (State.CLAIMED, Event.REPORT): lambda names, _: names.report(KEY, VERSION, 64, HERE),
    (State.CLAIMED, Event.ABORT): drop_all,
    (State.READABLE, Event.CONFIRM): lambda names, entry: names.confirm(entry, THERE),
    (State.READABLE, Event.REPORT): lambda names, _: names.report(KEY, VERSION, 64, THERE),
    (State.READABLE, Event.WITHDRAW): withdraw_all,
    (State.READABLE, Event.VANISH): drop_all,
    (State.LEAVING, Event.RESTORE): lambda names, entry: names.restore(entry, HERE, published=True),
    (State.LEAVING, Event.VANISH): drop_all,
}
"""What of the public methods takes each transition of a key that has an entry."""

STARTS = {State.CLAIMED: claimed, State.READABLE: readable, State.LEAVING: leaving}


@pytest.mark.parametrize(("state", "event"), list(product(NameState, NameEvent)))
def test_what_is_not_in_the_table_is_a_fault(state: NameState, event: NameEvent) -> None:
    """An event leads to the state that the table names, and raises where the table names none."""
    entry = Entry(KEY, VERSION, 64)
    entry.state = state
    if (state, event) in TRANSITIONS:
        entry.move(event)
        assert entry.state is TRANSITIONS[state, event]
    else:
        with pytest.raises(KeyError):
            entry.move(event)
        assert entry.state is state


@pytest.mark.parametrize(("state", "event"), STEPS)
def test_each_transition_is_reached(state: NameState, event: NameEvent) -> None:
    """Each transition of the table is taken by a public method, and ends where the table says."""
    names, entry = STARTS[state]()
    assert state_of(names) is state
    STEPS[state, event](names, entry)
    assert state_of(names) is TRANSITIONS[state, event]
    names.check()


def test_a_claim_takes_an_absent_key() -> None:
    """An absent key is claimed by its claim, with every replica unconfirmed."""
    names, entry = claimed()
    assert state_of(names) is TRANSITIONS[State.ABSENT, Event.CLAIM] is State.CLAIMED
    assert entry.unconfirmed == entry.replicas == (HERE, THERE)


def test_a_report_makes_an_absent_key_readable() -> None:
    """A key that a rank reports is readable at once: the published record is the truth."""
    names = Names()
    entry = names.report(KEY, VERSION, 64, HERE)
    assert state_of(names) is TRANSITIONS[State.ABSENT, Event.REPORT] is State.READABLE
    assert (entry.replicas, entry.unconfirmed) == ((HERE,), ())


def test_the_table_has_no_row_that_nothing_takes() -> None:
    """Every row of the table is one of those tried here."""
    from_absent = {(State.ABSENT, Event.CLAIM), (State.ABSENT, Event.REPORT)}
    assert set(TRANSITIONS) == from_absent | set(STEPS)


def test_every_state_is_left_again() -> None:
    """From each state a key can become absent, and from absent it can reach each state."""
    forward = {(start, end) for (start, _), end in TRANSITIONS.items()}
    reached = {(state, state) for state in NameState}
    for _ in NameState:
        reached |= {(a, d) for a, b in reached for c, d in forward if b is c}
    assert reached == set(product(NameState, NameState))


def test_a_taken_key_cannot_be_claimed() -> None:
    """Claiming a key that has an entry is a fault of the caller's."""
    names, _ = claimed()
    with pytest.raises(AssertionError):
        names.claim(KEY, VERSION, 64, (Location(3, 1, 2),))


def test_readers_are_not_told_of_what_is_leaving() -> None:
    """A withdrawn replica is no more among those that readers are told of, but still known."""
    names, entry = readable()
    names.withdraw(entry, HERE)
    assert (entry.replicas, entry.leaving) == ((THERE,), (HERE,))
    assert names.at(*HERE[:2]) is entry


def test_what_a_rank_refused_to_give_up_comes_back_as_it_was() -> None:
    """A replica that was not published yet is unconfirmed again; a leased one is confirmed."""
    names, entry = leaving()
    names.restore(entry, THERE, published=False)
    assert (entry.replicas, entry.unconfirmed, entry.leaving) == ((THERE,), (THERE,), (HERE,))
    names.restore(entry, HERE, published=True)
    assert (entry.replicas, entry.unconfirmed, entry.leaving) == ((THERE, HERE), (THERE,), ())


def test_dropping_an_old_use_of_a_record_spares_the_new_one() -> None:
    """When a record already holds another key, losing its earlier replica takes nothing away."""
    names, entry = claimed()
    other = names.report(b"other", VERSION, 64, Location(*HERE[:2], 8))
    names.drop(entry, HERE)
    assert names.at(*HERE[:2]) is other


def test_entries_are_counted_and_walked() -> None:
    """All entries are found by walking, by key and by number."""
    names, entry = claimed()
    other = names.report(b"other", VERSION, 64, Location(3, 1, 2))
    assert len(names) == 2
    assert list(names) == [entry, other]
    assert names.get(b"none") is None
    assert names.at(9, 9) is None
    assert names.at(1, 9) is None


def test_keys_are_found_all_at_once() -> None:
    """Each key is answered in its place, with one that stands for those that are missing."""
    names, entry = claimed()
    assert names.find((b"none", KEY, b"none")) == [MISSING, entry, MISSING]
    assert MISSING.state is NameState.ABSENT
    assert msgpack.unpackb(MISSING.packed_replicas) == []
    assert unpack_version(MISSING.version) == (0, 0, 0, 0)


def test_replicas_stand_ready_to_be_sent() -> None:
    """What is packed of an entry's replicas and version is what they are."""
    names, entry = readable()
    names.withdraw(entry, THERE)
    assert msgpack.unpackb(entry.packed_replicas, use_list=False) == entry.replicas == (HERE,)
    assert unpack_version(entry.version) == ObjectVersion(1, 2, 3, 0)
