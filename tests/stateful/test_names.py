"""Names against a plain table of keys and places (S7)."""

from dataclasses import dataclass, field
from enum import Enum

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mmc.cache.names import Entry, Names, NameState
from mmc.identifiers import Location, ObjectVersion, PackedVersion

KEYS = (b"a", b"b", b"c")
RANKS = 3
RECORDS = 4
SIZE = 64


class Fate(Enum):
    """What a replica is."""

    UNCONFIRMED = "unconfirmed"
    CONFIRMED = "confirmed"
    LEAVING = "leaving"


@dataclass
class Known:
    """A key's version, its replicas, and whether any was ever confirmed."""

    version: PackedVersion
    replicas: dict[Location, Fate] = field(default_factory=dict)
    was_readable: bool = False

    def those(self, *fates: Fate) -> set[Location]:
        """The replicas that are one of these."""
        return {place for place, fate in self.replicas.items() if fate in fates}

    @property
    def state(self) -> NameState:
        """The state that follows from the replicas."""
        if not self.those(Fate.UNCONFIRMED, Fate.CONFIRMED):
            return NameState.LEAVING
        return NameState.READABLE if self.was_readable else NameState.CLAIMED


class NamesMachine(RuleBasedStateMachine):
    """Keys claimed, reported, confirmed, withdrawn, restored and dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.names = Names()
        self.known: dict[bytes, Known] = {}
        self.orders: dict[int, list[int]] = {rank: [] for rank in range(RANKS)}
        self.generation = 0

    def free_place(self, data: st.DataObject, rank: int) -> Location | None:
        """A record of a rank that holds nothing, under a new generation."""
        free = [record for record in range(RECORDS) if record not in self.orders[rank]]
        if not free:
            return None
        self.generation += 2
        return Location(rank, data.draw(st.sampled_from(free)), self.generation)

    def choose(self, data: st.DataObject, *fates: Fate) -> tuple[bytes, Known, Location, Entry]:
        """Any replica with one of these fates."""
        key, place = data.draw(st.sampled_from(self.places(*fates)))
        entry = self.names.get(key)
        assert entry is not None
        return key, self.known[key], place, entry

    def places(self, *fates: Fate) -> list[tuple[bytes, Location]]:
        """All replicas with one of these fates."""
        return sorted((key, place) for key, known in self.known.items() for place in known.those(*fates))

    @precondition(lambda self: len(self.known) < len(KEYS))
    @rule(data=st.data(), ranks=st.sets(st.integers(0, RANKS - 1), min_size=1))
    def claim(self, data: st.DataObject, ranks: set[int]) -> None:
        """An absent key is claimed, on distinct ranks."""
        key = data.draw(st.sampled_from([key for key in KEYS if key not in self.known]))
        places = [self.free_place(data, rank) for rank in sorted(ranks)]
        there = tuple(place for place in places if place is not None)
        if not there:
            return
        version = ObjectVersion(1, 1, self.generation, 0).packed()
        self.names.claim(key, version, SIZE, there)
        self.known[key] = Known(version, dict.fromkeys(there, Fate.UNCONFIRMED))
        for place in there:
            self.orders[place.rank].append(place.record)

    @rule(data=st.data(), key=st.sampled_from(KEYS), rank=st.integers(0, RANKS - 1))
    def report(self, data: st.DataObject, key: bytes, rank: int) -> None:
        """A rank reports a record of an absent key, or one more replica of a key."""
        known = self.known.get(key) or Known(ObjectVersion(1, 1, self.generation, 0).packed())
        if known.replicas and known.state is NameState.LEAVING:
            return
        if rank in {place.rank for place in known.replicas}:
            return
        place = self.free_place(data, rank)
        if place is None:
            return
        self.names.report(key, known.version, SIZE, place)
        self.known[key] = known
        known.replicas[place] = Fate.CONFIRMED
        known.was_readable = True
        self.orders[rank].append(place.record)

    @precondition(lambda self: self.places(Fate.UNCONFIRMED, Fate.CONFIRMED))
    @rule(data=st.data(), by_report=st.booleans())
    def confirm(self, data: st.DataObject, *, by_report: bool) -> None:
        """A rank has seen a replica published, and says so or reports it, once or again."""
        key, known, place, entry = self.choose(data, Fate.UNCONFIRMED, Fate.CONFIRMED)
        if by_report:
            self.names.report(key, known.version, 64, place)
        else:
            self.names.confirm(entry, place)
        known.replicas[place] = Fate.CONFIRMED
        known.was_readable = True

    @precondition(lambda self: any(known.was_readable for known in self.known.values()))
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        """A replica of a readable key is to go."""
        readable = [
            (key, place)
            for key, place in self.places(Fate.UNCONFIRMED, Fate.CONFIRMED)
            if self.known[key].state is NameState.READABLE
        ]
        if readable:
            key, place = data.draw(st.sampled_from(readable))
            entry = self.names.get(key)
            assert entry is not None
            self.names.withdraw(entry, place)
            self.known[key].replicas[place] = Fate.LEAVING

    @precondition(lambda self: self.places(Fate.LEAVING))
    @rule(data=st.data(), published=st.booleans())
    def restore(self, data: st.DataObject, *, published: bool) -> None:
        """A rank refuses to part with a replica."""
        _, known, place, entry = self.choose(data, Fate.LEAVING)
        self.names.restore(entry, place, published=published)
        known.replicas[place] = Fate.CONFIRMED if published else Fate.UNCONFIRMED

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def drop(self, data: st.DataObject) -> None:
        """A replica is gone for good; with the last, the key is."""
        key, known, place, entry = self.choose(data, *Fate)
        self.names.drop(entry, place)
        del known.replicas[place]
        self.orders[place.rank].remove(place.record)
        if not known.replicas:
            assert entry.state is NameState.ABSENT
            del self.known[key]

    @precondition(lambda self: self.places(*Fate))
    @rule(data=st.data())
    def warm(self, data: st.DataObject) -> None:
        """A read moves a replica to the warm end of its rank."""
        _, _, place, _ = self.choose(data, *Fate)
        self.names.on_rank(place.rank).move_to_end(place.record)
        self.orders[place.rank].remove(place.record)
        self.orders[place.rank].append(place.record)

    @invariant()
    def names_are_what_is_known(self) -> None:
        """S7 and both directions hold, and each key is what its replicas make of it."""
        self.names.check()
        assert {entry.key for entry in self.names} == set(self.known)
        assert len(self.names) == len(self.known)
        for key, known in self.known.items():
            entry = self.names.get(key)
            assert entry is not None
            assert entry.state is known.state
            assert (entry.version, entry.size) == (known.version, SIZE)
            assert set(entry.replicas) == known.those(Fate.UNCONFIRMED, Fate.CONFIRMED)
            assert set(entry.unconfirmed) == known.those(Fate.UNCONFIRMED)
            assert set(entry.leaving) == known.those(Fate.LEAVING)

    @invariant()
    def ranks_hold_what_is_known(self) -> None:
        """Each rank's replicas stand in the order of their coming and their use."""
        for rank, order in self.orders.items():
            assert list(self.names.on_rank(rank)) == order
            for record in order:
                entry = self.names.at(rank, record)
                assert entry is not None
                assert any(p[:2] == (rank, record) for p in self.known[entry.key].replicas)


TestNames = NamesMachine.TestCase
TestNames.__doc__ = "A key is what its replicas make of it, whatever happened to them."
