"""Eviction: coldest first, never what is leased or unconfirmed, no more than needed."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from mmc.cache.eviction import choose_victims, warm
from mmc.cache.names import Entry, Names, NameState
from mmc.identifiers import Location, ObjectVersion
from tests.effort import times

RANK = 1
LEAVING, CLAIMED, UNCONFIRMED, READABLE = "leaving", "claimed", "unconfirmed", "readable"


@dataclass
class Rank:
    """A rank's replicas in many conditions, and what is wanted of it."""

    names: Names
    leased: set[bytes]
    bytes_wanted: int
    records_wanted: int

    def choose(self) -> tuple[list[tuple[Entry, Location]], bool]:
        """What is chosen."""
        return choose_victims(
            RANK,
            self.names.on_rank(RANK),
            self.bytes_wanted,
            self.records_wanted,
            self.leased.__contains__,
        )

    def is_eligible(self, entry: Entry, record: int) -> bool:
        """Whether a replica may be chosen."""
        place = next((p for p in entry.replicas if p[:2] == (RANK, record)), None)
        return (
            place is not None
            and entry.state is NameState.READABLE
            and place not in entry.unconfirmed
            and entry.key not in self.leased
        )

    def is_leaving(self, entry: Entry, record: int) -> bool:
        """Whether a replica was chosen before."""
        return any(place[:2] == (RANK, record) for place in entry.leaving)


@st.composite
def ranks(draw: DrawFn) -> Rank:
    """Ranks with up to ten replicas."""
    names = Names()
    leased = set()
    for record in range(draw(st.integers(0, 10))):
        key, here, there = b"%d" % record, Location(RANK, record, 2), Location(RANK + 1, record, 2)
        size = draw(st.integers(0, 300))
        entry = names.claim(key, ObjectVersion(1, 1, record, 0).packed(), size, (here, there))
        condition = draw(st.sampled_from([READABLE, READABLE, LEAVING, CLAIMED, UNCONFIRMED]))
        if condition != CLAIMED:
            names.confirm(entry, there)
        if condition in (READABLE, LEAVING):
            names.confirm(entry, here)
        if condition == LEAVING:
            names.withdraw(entry, here)
        if draw(st.integers(0, 3)) == 0:
            leased.add(key)
    touched = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 12)), max_size=6))
    warm(names.on_rank(RANK), touched)
    return Rank(names, leased, draw(st.integers(0, 1200)), draw(st.integers(0, 6)))


@times(4)
@given(ranks())
def test_neither_the_leased_nor_the_unconfirmed_are_chosen(rank: Rank) -> None:
    """S4: only confirmed replicas of readable keys that nobody leases are chosen, each once."""
    victims, _ = rank.choose()
    assert all(rank.is_eligible(entry, place.record) for entry, place in victims)
    assert len({place.record for _, place in victims}) == len(victims)
    assert all(place.rank == RANK and place in entry.replicas for entry, place in victims)


@times(4)
@given(ranks())
def test_the_coldest_that_may_go_are_chosen(rank: Rank) -> None:
    """The victims are the coldest of those that may go, without a gap."""
    victims, _ = rank.choose()
    eligible = [
        record for record, entry in rank.names.on_rank(RANK).items() if rank.is_eligible(entry, record)
    ]
    assert [place.record for _, place in victims] == eligible[: len(victims)]


@times(4)
@given(ranks())
def test_enough_is_chosen_and_no_more(rank: Rank) -> None:
    """What goes makes up what is wanted, or is all there is; without the last it would not do."""
    victims, _ = rank.choose()
    chosen = {place.record for _, place in victims}
    last = max((list(rank.names.on_rank(RANK)).index(record) for record in chosen), default=-1)
    missing_bytes, missing_records = rank.bytes_wanted, rank.records_wanted
    for position, (record, entry) in enumerate(rank.names.on_rank(RANK).items()):
        if position == last:
            assert missing_bytes > 0 or missing_records > 0, "one too many"
        if record in chosen or rank.is_leaving(entry, record):
            missing_bytes -= entry.size
            missing_records -= 1
    everything = all(
        record in chosen
        for record, entry in rank.names.on_rank(RANK).items()
        if rank.is_eligible(entry, record)
    )
    assert everything or (missing_bytes <= 0 and missing_records <= 0)


@times(4)
@given(ranks())
def test_hopeless_means_that_nothing_can_come_free(rank: Rank) -> None:
    """When nothing is called evictable, no replica but leased ones was met, and none was chosen."""
    victims, evictable = rank.choose()
    wanted = rank.bytes_wanted > 0 or rank.records_wanted > 0
    hopeless = all(
        rank.is_eligible(entry, record) is False
        and not rank.is_leaving(entry, record)
        and entry.state is NameState.READABLE
        and Location(RANK, record, 2) not in entry.unconfirmed
        for record, entry in rank.names.on_rank(RANK).items()
    )
    assert evictable == (wanted and not hopeless)
    assert evictable or not victims


@given(ranks(), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=8))
def test_only_reads_warm_and_the_last_read_is_warmest(rank: Rank, touched: list[tuple[int, int]]) -> None:
    """Read records stand behind all others in the order of their clocks; the others stay put."""
    before = list(rank.names.on_rank(RANK))
    warm(rank.names.on_rank(RANK), touched)
    after = list(rank.names.on_rank(RANK))
    latest = {record: clock for clock, record in sorted(touched) if record in before}
    cold = [record for record in before if record not in latest]
    assert after[: len(cold)] == cold
    clocks = [latest[record] for record in after[len(cold) :]]
    assert clocks == sorted(clocks)
    assert sorted(after) == sorted(before)
