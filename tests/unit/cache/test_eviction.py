"""The order of eviction, by example; tests/properties/test_eviction.py has the rules."""

from collections.abc import Collection

from mmc.cache.eviction import choose_victims, judge_named, warm
from mmc.cache.names import Names
from mmc.errors import Code
from mmc.identifiers import Location, ObjectVersion

RANK = 3


def readable(names: Names, *records: int, size: int = 100) -> None:
    """Keys ``k<record>`` that rank 3 has reported, in this order."""
    for record in records:
        key = b"k%d" % record
        names.report(key, ObjectVersion(1, 1, record, 0).packed(), size, Location(RANK, record, 2))


def victims(
    names: Names, bytes_wanted: int, records_wanted: int = 0, leased: Collection[bytes] = ()
) -> list[int]:
    """The records chosen."""
    chosen, _ = choose_victims(RANK, names.on_rank(RANK), bytes_wanted, records_wanted, leased.__contains__)
    return [place.record for _, place in chosen]


def test_the_coldest_go_first() -> None:
    """Of records that nobody read, the one put first is evicted first."""
    names = Names()
    readable(names, 5, 1, 4)
    assert victims(names, 200) == [5, 1]


def test_what_was_read_gets_a_second_chance_in_the_order_of_its_clock() -> None:
    """Read records go to the warm end, the one read last to its very end."""
    names = Names()
    readable(names, 1, 2, 3, 4)
    warm(names.on_rank(RANK), [(20, 1), (10, 3)])
    assert victims(names, 400) == [2, 4, 3, 1]


def test_clocks_of_records_that_hold_nothing_are_ignored() -> None:
    """A rank may report a read of what has gone meanwhile."""
    names = Names()
    readable(names, 1)
    warm(names.on_rank(RANK), [(20, 9)])
    assert list(names.on_rank(RANK)) == [1]


def test_records_are_evicted_for_when_bytes_are_not_short() -> None:
    """A rank that runs out of records has them freed as if they were bytes."""
    names = Names()
    readable(names, 1, 2, 3)
    assert victims(names, 0, 2) == [1, 2]
    assert victims(names, 150, 1) == [1, 2]


def test_nothing_is_chosen_when_nothing_is_wanted() -> None:
    """A rank that needs nothing loses nothing."""
    names = Names()
    readable(names, 1)
    assert choose_victims(RANK, names.on_rank(RANK), 0, 0, lambda _: False) == ([], False)


def test_leased_keys_are_passed_over() -> None:
    """S4: a key under an explicit lease is not chosen, whatever is wanted."""
    names = Names()
    readable(names, 1, 2, 3)
    assert victims(names, 1000, leased={b"k1", b"k3"}) == [2]


def test_with_all_keys_leased_nothing_is_evictable() -> None:
    """A rank whose every replica is leased is told that nothing evictable is left."""
    names = Names()
    readable(names, 1, 2)
    assert choose_victims(RANK, names.on_rank(RANK), 100, 0, lambda _: True) == ([], False)


def test_claims_are_not_chosen_but_promise_space() -> None:
    """A claim may yet end either way: it is not evicted, and eviction is not hopeless."""
    names = Names()
    names.claim(b"key", ObjectVersion(1, 1, 1, 0).packed(), 100, (Location(RANK, 1, 2),))
    assert choose_victims(RANK, names.on_rank(RANK), 100, 0, lambda _: False) == ([], True)


def test_an_unconfirmed_replica_of_a_readable_key_is_not_chosen() -> None:
    """A replica that may still be written is not evicted, though others of its key are readable."""
    names = Names()
    places = (Location(RANK, 1, 2), Location(RANK + 1, 1, 2))
    entry = names.claim(b"key", ObjectVersion(1, 1, 1, 0).packed(), 100, places)
    names.confirm(entry, places[1])
    assert victims(names, 100) == []
    names.confirm(entry, places[0])
    assert victims(names, 100) == [1]


def test_what_is_leaving_already_counts() -> None:
    """A replica on its way out is not commanded twice, and no other is taken for its bytes."""
    names = Names()
    readable(names, 1, 2)
    entry = names.at(RANK, 1)
    assert entry is not None
    names.withdraw(entry, Location(RANK, 1, 2))
    assert choose_victims(RANK, names.on_rank(RANK), 100, 0, lambda _: False) == ([], True)
    assert victims(names, 101) == [2]


def test_only_this_rank_s_replica_is_chosen() -> None:
    """Of a key with several replicas the one on the short rank goes, and no other."""
    names = Names()
    version = ObjectVersion(1, 1, 1, 0).packed()
    for rank in (RANK - 1, RANK, RANK + 1):
        names.report(b"key", version, 100, Location(rank, 1, 2))
    chosen, _ = choose_victims(RANK, names.on_rank(RANK), 100, 0, lambda _: False)
    assert [place for _, place in chosen] == [Location(RANK, 1, 2)]


def test_named_records_go_whatever_their_place_in_the_order() -> None:
    """What a rank names is chosen in the order of the names, and each name has its code."""
    names = Names()
    readable(names, 1, 2, 3)
    chosen, codes = judge_named(RANK, names.on_rank(RANK), [3, 1], lambda _: False)
    assert [place.record for _, place in chosen] == [3, 1]
    assert codes == [Code.OK, Code.OK]


def test_each_named_record_that_stays_has_a_reason() -> None:
    """S4: what is leased, not confirmed or unknown is not chosen, nor again what leaves already."""
    names = Names()
    readable(names, 1, 2)
    names.claim(b"claimed", ObjectVersion(1, 1, 3, 0).packed(), 100, (Location(RANK, 3, 2),))
    entry = names.at(RANK, 2)
    assert entry is not None
    names.withdraw(entry, Location(RANK, 2, 2))
    chosen, codes = judge_named(RANK, names.on_rank(RANK), [1, 2, 3, 4], b"k1".__eq__)
    assert chosen == []
    assert codes == [Code.LEASED, Code.OK, Code.WRONG_STATE, Code.NOT_FOUND]


def test_a_record_named_twice_is_chosen_once() -> None:
    """Whatever a rank says, nothing is withdrawn twice."""
    names = Names()
    readable(names, 1)
    chosen, codes = judge_named(RANK, names.on_rank(RANK), [1, 1], lambda _: False)
    assert len(chosen) == 1
    assert codes == [Code.OK, Code.OK]


def test_what_is_counted_already_is_passed_over() -> None:
    """Of what is wanted besides, other records make it up."""
    names = Names()
    readable(names, 1, 2, 3)
    chosen, _ = choose_victims(RANK, names.on_rank(RANK), 150, 0, lambda _: False, {1})
    assert [place.record for _, place in chosen] == [2, 3]
