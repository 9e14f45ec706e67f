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


MOVES: frozenset[tuple[RecordState, RecordState]] = frozenset(
    {
        (RecordState.FREE, RecordState.RESERVED),
        (RecordState.RESERVED, RecordState.STORED),
        (RecordState.RESERVED, RecordState.RETIRED),
        (RecordState.RESERVED, RecordState.FREE),
        (RecordState.STORED, RecordState.RETIRED),
        (RecordState.RETIRED, RecordState.FREE),
    }
)


class Owned(NamedTuple):
    """A record that is not free."""

    state: RecordState
    offset: int
    capacity: int


_FREE = Owned(RecordState.FREE, 0, 0)


class RecordTable:
    """All records of a segment and its free space."""

    def __init__(self, capacity: int, records: int, owned: Iterable[tuple[int, Owned]] = ()) -> None:
        """Everything is free but ``owned``, as after a restart.

        Raises:
            ValueError: the owned extents overlap or leave the capacity.
        """
        self._table = [_FREE] * records
        self.bytes_in = dict.fromkeys(RecordState, 0)
        self.records_in = dict.fromkeys(RecordState, 0)
        for record, what in owned:
            self._table[record] = what
            self._count(what, 1)
        self.space = Space(capacity, [(o.offset, o.capacity) for o in self._table if o.capacity])
        self._free = [r for r in reversed(range(records)) if self._table[r] is _FREE]

    def __getitem__(self, record: int) -> Owned:
        """What a record is."""
        return self._table[record]

    def __len__(self) -> int:
        """How many records there are."""
        return len(self._table)

    def in_state(self, state: RecordState) -> list[int]:
        """The records of this state, ascending."""
        return [record for record, what in enumerate(self._table) if what.state is state]

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
        self._table[record] = what = Owned(RecordState.RESERVED, offset, rounded(size))
        self._count(what, 1)
        return record

    def move(self, record: int, state: RecordState) -> None:
        """A record changes hands; freed, its bytes can be given out again."""
        old = self._table[record]
        assert (old.state, state) in MOVES, f"record {record} cannot go from {old.state} to {state}"
        self._count(old, -1)
        if state is RecordState.FREE:
            self._table[record] = _FREE
            self._free.append(record)
            self.space.release(old.offset, old.capacity)
        else:
            self._table[record] = new = old._replace(state=state)
            self._count(new, 1)

    def trim(self, record: int, size: int) -> int:
        """Free what a record owns beyond its object's size; returns its capacity now."""
        old = self._table[record]
        keep = rounded(size)
        if keep < old.capacity:
            self._count(old, -1)
            self._table[record] = new = old._replace(capacity=keep)
            self._count(new, 1)
            self.space.release(old.offset + keep, old.capacity - keep)
        return self._table[record].capacity

    def _count(self, what: Owned, sign: int) -> None:
        self.bytes_in[what.state] += sign * what.capacity
        self.records_in[what.state] += sign

    def check(self) -> None:
        """Invariant S6: extents tile the capacity, and the counts are those of the table."""
        used = [(what.offset, what.capacity) for what in self._table if what is not _FREE]
        self.space.check(used)
        for state in RecordState:
            if state is RecordState.FREE:
                continue
            members = [what for what in self._table if what.state is state]
            assert self.records_in[state] == len(members)
            assert self.bytes_in[state] == sum(what.capacity for what in members)
        assert sorted(self._free) == [r for r, what in enumerate(self._table) if what is _FREE]
