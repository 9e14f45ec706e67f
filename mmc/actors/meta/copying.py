"""Copies on their way from one rank to another: known here before their records are published.

1. A copy has the object version of a readable name, and a place of its own on a rank that has no replica of
   it.  No reader is told of it before its rank has said that it is published: then it *lands*, as a replica.
2. When its name is removed it is *void*: its place leaves with the replicas, and its rank is commanded to
   remove it until it is gone for good.  That its writer has not published it yet is no answer: it may do so
   at any moment, and until then neither is the removal over nor the key free.
3. Of a copy that does not land for a while its rank is asked; one that was abandoned is forgotten.
4. When the last replica of its name is lost, it is what is left: an unconfirmed replica.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from mmc.cache.claims import Claims
from mmc.cache.names import NameState
from mmc.wire.operations import CommandKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmc.cache.commands import Outboxes
    from mmc.cache.names import Entry, Names
    from mmc.identifiers import Location, PackedVersion


class Copy:
    """One copy; ``is_void``: its name is being removed, and its place is among those that leave."""

    __slots__ = ("entry", "is_void", "place")

    def __init__(self, entry: Entry, place: Location) -> None:
        """Granted."""
        self.entry = entry
        self.place = place
        self.is_void = False


class Copying:
    """The copies under way, at most one of each name."""

    def __init__(self, names: Names, outboxes: Outboxes, check_s: float, *, remembers: bool) -> None:
        """``check_s``: how long a copy may be under way before its rank is asked.

        ``remembers``: how many replicas were asked for.  ``on_landed`` is called with the entry of each copy
        that has become a replica.  ``under_way`` is to be read only.
        """
        self.on_landed: Callable[[Entry], None] = _nothing
        self._names = names
        self._outboxes = outboxes
        self.under_way: dict[bytes, Copy] = {}
        self._at: dict[tuple[int, int], Copy] = {}
        self._checks = Claims(check_s)
        self.remembers = remembers
        self._asked: dict[bytes, int] = {}

    def __len__(self) -> int:
        """How many are under way."""
        return len(self.under_way)

    def of(self, key: bytes) -> Copy | None:
        """The copy of a name that is under way."""
        return self.under_way.get(key)

    def remember(self, entry: Entry) -> None:
        """So many replicas were asked for, or reported: one need not be remembered."""
        count = len(entry.replicas)
        if self.remembers and count > 1 and count > self._asked.get(entry.key, 1):
            self._asked[entry.key] = count

    def asked(self, key: bytes) -> int:
        """How many replicas were asked for, as far as is known."""
        return self._asked.get(key, 1)

    def forget_name(self, key: bytes) -> None:
        """The name is gone."""
        self._asked.pop(key, None)

    def begin(self, entry: Entry, place: Location, now: float) -> None:
        """A copy is granted."""
        assert entry.key not in self.under_way
        self.under_way[entry.key] = self._at[place[:2]] = Copy(entry, place)
        self._checks.note(entry, now)

    def supersede(self, place: Location) -> bool:
        """Whether the record is free of copies: one of an older generation is over, whoever says so."""
        copy = self._at.get(place[:2])
        if copy is not None and not copy.is_void and copy.place.generation < place.generation:
            self.forget(copy.place)
            copy = None
        return copy is None

    def land(self, place: Location, version: PackedVersion) -> Entry | None:
        """The rank says that this is published: it is a replica now; None when there is no such copy."""
        copy = self._at.get(place[:2])
        if copy is None or copy.is_void or (copy.place, copy.entry.version) != (place, version):
            return None
        self.forget(place)
        entry = copy.entry
        if any(other.rank == place.rank for other in entry.replicas):
            return None
        self._names.report(entry.key, entry.version, entry.size, place)
        return entry

    def reported(self, entry: Entry, place: Location) -> None:
        """A rank has reported a replica, which may be a copy that was under way."""
        self.remember(entry)
        copy = self.under_way.get(entry.key)
        if copy is not None and copy.place == place:
            self.forget(place)
            self.on_landed(entry)

    def forget(self, place: Location) -> None:
        """What was on its way to this place is not any more; an earlier use of its record is another."""
        copy = self._at.get(place[:2])
        if copy is not None and copy.place == place:
            del self._at[place[:2]]
            del self.under_way[copy.entry.key]
            self._checks.forget(copy.entry.key)

    def void(self, entry: Entry) -> None:
        """The name is being removed: so is its copy."""
        copy = self.under_way.get(entry.key)
        if copy is not None and not copy.is_void:
            copy.is_void = True
            self._names.depart(entry, copy.place)
            self._outboxes.add(CommandKind.REMOVE, copy.place, entry)

    def is_void(self, place: Location) -> bool:
        """Whether this is a copy that is to go."""
        copy = self._at.get(place[:2])
        return copy is not None and copy.is_void and copy.place == place

    def inherit(self, entry: Entry) -> bool:
        """The last replica is being lost: the copy stands in for it; whether there is one."""
        copy = self.under_way.get(entry.key)
        if copy is None or copy.is_void:
            return False
        self.forget(copy.place)
        self._names.expect(entry, copy.place)
        return True

    def lose_rank(self, rank: int) -> None:
        """What was on its way there will not land."""
        for copy in list(self.under_way.values()):
            if copy.place.rank == rank and not copy.is_void:
                self.forget(copy.place)

    def check_due(self, now: float) -> None:
        """Ask the ranks about what did not land, and command again what is void."""
        for entry in self._checks.take_due(now):
            copy = self.under_way[entry.key]
            if not self._outboxes.of(copy.place.rank).concerns(entry):
                kind = CommandKind.REMOVE if copy.is_void else CommandKind.CHECK
                self._outboxes.add(kind, copy.place, entry)

    def next_due(self) -> float | None:
        """When :meth:`check_due` has something to do."""
        return self._checks.next_due()

    def check(self) -> None:
        """Invariants: both directions agree, and each copy is of a name that has no replica there."""
        assert len(self._at) == len(self.under_way)
        assert all(self._names.get(key) for key in self._asked)
        for key, copy in self.under_way.items():
            entry, place = copy.entry, copy.place
            assert self._at[place[:2]] is copy
            assert self._names.get(key) is entry
            assert key in self._checks
            if copy.is_void:
                assert place in entry.leaving
            else:
                assert entry.state is NameState.READABLE
                assert self._names.at(place.rank, place.record) is not entry


def _nothing(_entry: Entry) -> None:
    """Nobody wants to hear of copies that landed."""


AT_ONCE = -math.inf
"""When a claim that stands in for a lost replica is to be looked into."""
