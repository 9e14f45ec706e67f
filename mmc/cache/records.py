"""A rank's records and the bytes they own (S6): every byte is free, or exactly one record's.

A record is *free*, *reserved* (a client may write it), *stored* (published, nobody's to write),
*retired* (invalidated; its bytes wait until the meta service has heard and no pin is left).  Each move
is in the table :data:`MOVES`, and the bytes in each state are counted as they move.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from mmc.cache.space import Space, rounded

if TYPE_CHECKING:
    from collections.abc import Iterable


class RecordState(IntEnum):
    """Whose a record is."""

    FREE = 0
    RESERVED = 1
    STORED = 2
    RETIRED = 3


FREE, RESERVED, STORED, RETIRED = RecordState
"""By names of their own: Python 3.11 is slow to look for an enumeration's member."""

MOVES: frozenset[tuple[RecordState, RecordState]] = frozenset(
    {
        (FREE, RESERVED),
        (RESERVED, STORED),
        (RESERVED, RETIRED),
        (RESERVED, FREE),
        (STORED, RETIRED),
        (RETIRED, FREE),
    }
)


class Owned(NamedTuple):
    """A record that is not free."""

    state: RecordState
    offset: int
    capacity: int


_NOTHING = Owned(FREE, 0, 0)


class RecordTable:
    """All records of a segment and its free space."""

    def __init__(self, capacity: int, records: int, owned: Iterable[tuple[int, Owned]] = ()) -> None:
        """Everything is free but ``owned``, as after a restart.

        ``held_bytes`` and ``held_records`` are what is reserved or stored.

        Raises:
            ValueError: the owned extents overlap or leave the capacity.
        """
        self._table = [_NOTHING] * records
        self.bytes_in = dict.fromkeys(RecordState, 0)
        self.records_in = dict.fromkeys(RecordState, 0)
        for record, what in owned:
            self._table[record] = what
            self.bytes_in[what.state] += what.capacity
            self.records_in[what.state] += 1
        self.held_bytes = self.bytes_in[RESERVED] + self.bytes_in[STORED]
        self.held_records = self.records_in[RESERVED] + self.records_in[STORED]
        self.space = Space(capacity, [(o.offset, o.capacity) for o in self._table if o.capacity])
        self._free = [r for r in reversed(range(records)) if self._table[r] is _NOTHING]

    def __getitem__(self, record: int) -> Owned:
        """What a record is."""
        return self._table[record]

    def __len__(self) -> int:
        """How many records there are."""
        return len(self._table)

    def in_state(self, state: RecordState) -> list[int]:
        """The records of this state, ascending."""
        return [record for record, what in enumerate(self._table) if what.state is state]

    def stored_from(self, record: int, count: int) -> list[int]:
        """Those of so many records, from this one on, that are stored."""
        part = self._table[record : record + count]
        return [number for number, what in enumerate(part, record) if what.state is STORED]

    @property
    def free_records(self) -> int:
        """How many records are free."""
        return len(self._free)

    @property
    def used_bytes(self) -> int:
        """Bytes that are not free."""
        return self.space.capacity - self.space.free_bytes

    def reserve(self, size: int) -> int | None:
        """A free record with space for ``size`` bytes, or None when either is lacking."""
        if not self._free:
            return None
        offset = self.space.allocate(size)
        if offset is None:
            return None
        record = self._free.pop()
        length = rounded(size)
        self._table[record] = Owned(RESERVED, offset, length)
        self.bytes_in[RESERVED] += length
        self.records_in[RESERVED] += 1
        self.held_bytes += length
        self.held_records += 1
        return record

    def move(self, record: int, state: RecordState) -> None:
        """A record changes hands; freed, its bytes can be given out again."""
        old, offset, capacity = self._table[record]
        assert (old, state) in MOVES, f"record {record} cannot go from {old} to {state}"
        self.bytes_in[old] -= capacity
        self.records_in[old] -= 1
        if state is not STORED and old is not RETIRED:
            self.held_bytes -= capacity
            self.held_records -= 1
        if state is FREE:
            self._table[record] = _NOTHING
            self._free.append(record)
            self.space.release(offset, capacity)
        else:
            self._table[record] = Owned(state, offset, capacity)
            self.bytes_in[state] += capacity
            self.records_in[state] += 1

    def trim(self, record: int, size: int) -> int:
        """Free what a record owns beyond its object's size; returns its capacity now."""
        state, offset, capacity = self._table[record]
        keep = rounded(size)
        if keep >= capacity:
            return capacity
        self._table[record] = Owned(state, offset, keep)
        self.bytes_in[state] -= capacity - keep
        if state is not RETIRED:
            self.held_bytes -= capacity - keep
        self.space.release(offset + keep, capacity - keep)
        return keep

    def check(self) -> None:
        """Invariant S6: extents tile the capacity, and the counts are those of the table."""
        used = [(what.offset, what.capacity) for what in self._table if what is not _NOTHING]
        self.space.check(used)
        for state in RecordState:
            if state is FREE:
                continue
            members = [what for what in self._table if what.state is state]
            assert self.records_in[state] == len(members)
            assert self.bytes_in[state] == sum(what.capacity for what in members)
        assert self.held_bytes == self.bytes_in[RESERVED] + self.bytes_in[STORED]
        assert self.held_records == self.records_in[RESERVED] + self.records_in[STORED]
        assert sorted(self._free) == [r for r, what in enumerate(self._table) if what is _NOTHING]
