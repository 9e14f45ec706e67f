"""The keeper of a segment: every change of hands of a record, in the tables and in shared memory.

The order of stores is what makes a crash at any point harmless, since a restart believes the segment:

1. *Reserving*: the extent with its holder is written before the client learns of it.
2. *Adopting* a published record: the holder is cleared after the record was seen published.
3. *Retiring*: index entry 0, generation odd, **fence**, pins read, state free, generation even, holder
   cleared.  The extent stays until no pin is left, and until the meta service has heard of what it
   commanded; only then the bytes are free (S3).
4. What a living client holds is never taken back (its death is shown by its lock alone).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmc.cache.records import FREE, RESERVED, RETIRED, STORED, Owned, RecordTable
from mmc.cache.reservations import Holder, Reservations
from mmc.errors import Code
from mmc.identifiers import ObjectVersion, is_key
from mmc.segments import columns, extents, index, pins, records
from mmc.segments.extents import Extent
from mmc.segments.layout import AT_CLOSING, AT_TERM
from mmc.segments.lookup import without_hint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mmc.limits import LocalLimits
    from mmc.segments.layout import Segment


_MENDED_LEAST = 16
_MENDED_SHARE = 1024


class Published(NamedTuple):
    """A published record, for a report or a confirmation."""

    record: int
    generation: int
    version: ObjectVersion


class Keeper:
    """All records of one segment."""

    def __init__(self, segment: Segment, limits: LocalLimits) -> None:
        """Take up what the segment says of itself: nothing when it is fresh.

        Raises:
            ValueError: its extents overlap; it is damaged and must not be used.
        """
        self.segment = segment
        layout = segment.layout
        share = limits.reserve_share
        self.reservations = Reservations(
            layout.clients, limits.reserve_ahead_bytes, layout.capacity // share, layout.records // share
        )
        self.awaiting: dict[int, int] = {}
        self._pinned: dict[int, None] = {}
        self._mended = 0
        self.confirming: list[Published] = []
        self.clocks = records.access_clocks(segment)
        self.turns = np.zeros(layout.records, np.int64)
        self._turn = 0
        found = extents.all_extents(segment)
        self.table = RecordTable(layout.capacity, layout.records, self._owned(found))
        self._rebuild(found)

    def _owned(self, found: list[Extent]) -> Iterable[tuple[int, Owned]]:
        nobodys = [record for record, extent in enumerate(found) if extent.capacity and not extent.holder]
        stored = set(columns.published_among(self.segment, nobodys))
        for record, extent in enumerate(found):
            if not extent.capacity:
                continue
            state = RESERVED if extent.holder else STORED if record in stored else RETIRED
            yield record, Owned(state, extent.offset, extent.capacity)

    def _rebuild(self, found: list[Extent]) -> None:
        start = self.segment.holders_word
        for row in range(self.segment.layout.clients):
            client = self.segment.words[start + row]
            if client:
                self.reservations.add(client, row)
        for record in self.table.in_state(RESERVED):
            extent = found[record]
            holder = self.reservations.at(extent.holder - 1)
            if holder is None:
                raise ValueError(f"record {record} is reserved by nobody")
            self.reservations.hold(holder, record, extent.capacity, extent.grant)
        for record in self.table.in_state(RETIRED):
            # its retirement may have ended here before it began: a late return must not match it
            records.begin_invalidate(self.segment, record)
            records.end_invalidate(self.segment, record)
            self._pinned[record] = None

    # Clients

    def attach(self, client: int) -> Holder | None:
        """A client's row, its own from before or a free one; None when all are taken."""
        holder = self.reservations.of_client(client)
        if holder is None:
            holder = self.reservations.add(client)
            if holder is not None:
                self.segment.words[self.segment.holders_word + holder.row] = client
        return holder

    def detach(self, holder: Holder) -> None:
        """The client is known dead: what it published stays, all else comes back."""
        unpublished = [record for record in list(holder.records) if not self.adopt(record)]
        self.retire(unpublished)
        pins.clear(self.segment, holder.row)
        self.reservations.remove(holder)
        self.segment.words[self.segment.holders_word + holder.row] = 0
        self.sweep()

    def reserve(self, holder: Holder, size: int, grant: int) -> int | None:
        """A record that the client may write, or None when space or records are lacking."""
        record = self.table.reserve(size)
        if record is not None:
            owned = self.table[record]
            self.reservations.hold(holder, record, owned.capacity, grant)
            extent = Extent(owned.offset, owned.capacity, holder.row + 1, grant)
            extents.write_extent(self.segment, record, extent)
        return record

    def give_back(self, holder: Holder, record: int) -> bool:
        """The client returns a record, published in vain or never written."""
        if record not in holder.records:
            return False
        self.retire([record])
        return True

    # The life of a record

    def adopt(self, record: int, *, restamp: bool = False) -> bool:
        """Take a published record over from its holder; False when it is not published.

        A record of an older term is published in vain, unless the meta service itself asks for it.  One of
        the term that the segment was changing to, when an earlier life of this rank ended, is not.
        """
        state, offset, capacity = self.table[record]
        if state is not RESERVED:
            return state is STORED
        segment = self.segment
        said = records.published(segment, record)
        if said is None or not _is_sound(said, capacity):
            return False
        if not records.is_current(segment, said.term):
            if not restamp:
                return False
            records.restamp(segment, record, segment.term)
        self.reservations.end(record)
        self.table.move(record, STORED)
        capacity = self.table.trim(record, said.size)
        extents.write_extent(segment, record, Extent(offset, capacity, 0))
        index.repair(segment, said.hashed, record)
        self.clocks[record] = said.clock
        self._turn += 1
        self.turns[record] = self._turn
        self.confirming.append(Published(record, said.generation, said.version))
        return True

    def adopt_all(self) -> None:
        """Take over everything that clients have published and not yet confirmed."""
        for holder in self.reservations.holders():
            for record in list(holder.records):
                self.adopt(record)

    def published(self, record: int) -> Published:
        """A published record's generation and version."""
        segment = self.segment
        return Published(record, records.generation_of(segment, record), records.version_of(segment, record))

    def stored(self) -> list[int]:
        """The records that are published and nobody's."""
        return self.table.in_state(STORED)

    def retire_refused(self, told: list[Published], codes: Sequence[int]) -> None:
        """Invalidate what the meta service does not know, where it still is what it was told of."""
        if Code.NOT_FOUND not in codes:
            return
        refused = [one for one, code in zip(told, codes, strict=False) if code == Code.NOT_FOUND]
        doomed = [
            one.record
            for one in refused
            if self.table[one.record].state is STORED and self.published(one.record) == one
        ]
        for record in doomed:
            self._bequeath_lease(record)
        self.retire(doomed)

    def _bequeath_lease(self, record: int) -> None:
        """A lease is a promise about the key: another object of that key, if there is one here, keeps it."""
        segment = self.segment
        until, hashed = records.lease_of(segment, record), records.hash_of(segment, record)
        if until:
            key = records.key_of(segment, record)
            for other in self.stored():
                if records.hash_of(segment, other) == hashed and records.key_of(segment, other) == key:
                    records.store_lease(segment, other, max(until, records.lease_of(segment, other)))

    def retire(self, doomed: list[int], commands: Mapping[int, int] = MappingProxyType({})) -> None:
        """Invalidate records that are stored, or reserved and not to be written any more.

        ``commands`` names, for those that go by command, the number that is to be acknowledged first.
        """
        if not doomed:
            return
        segment = self.segment
        for record in doomed:
            owned = self.table[record]
            if records.is_published(segment, record):
                index.erase(segment, records.hash_of(segment, record), record)
            if owned.state is RESERVED:  # should this end here, it is nobody's
                extents.write_extent(segment, record, Extent(owned.offset, owned.capacity, 0))
            records.begin_invalidate(segment, record)
        segment.memory.fence()
        pinned = self.pinned_now()
        for record in doomed:
            records.end_invalidate(segment, record)
            owned = self.table[record]
            if owned.state is RESERVED:
                self.reservations.end(record)
            self.table.move(record, RETIRED)
            extents.write_extent(segment, record, Extent(owned.offset, owned.capacity, 0))
            if record in pinned:
                self._pinned[record] = None
            if record in commands:
                self.awaiting[record] = commands[record]
            self._release_if_unused(record)

    def acknowledged(self, record: int, command: int) -> None:
        """The meta service has heard what became of a command to this record."""
        if self.awaiting.get(record) == command:
            del self.awaiting[record]
            self._release_if_unused(record)

    def acknowledge_all(self) -> None:
        """A new epoch: names come from reports, nothing older is awaited."""
        for record, command in list(self.awaiting.items()):
            self.acknowledged(record, command)

    def coming_free(self) -> tuple[int, int]:
        """Bytes and records that wait for nothing but the meta service to hear that they are retired."""
        coming = [self.table[record].capacity for record in self.awaiting if record not in self._pinned]
        return sum(coming), len(coming)

    def sweep(self) -> None:
        """Release retired records whose last pin has gone."""
        if self._pinned:
            pinned = self.pinned_now()
            for record in [record for record in self._pinned if record not in pinned]:
                del self._pinned[record]
                self._release_if_unused(record)

    def _release_if_unused(self, record: int) -> None:
        if record not in self.awaiting and record not in self._pinned:
            extents.release_extent(self.segment, record)
            self.table.move(record, FREE)

    def pinned_now(self) -> set[int]:
        """The records that somebody pins (fence before asking)."""
        rows = [holder.row for holder in self.reservations.holders()]
        return pins.pinned_records(self.segment, rows)

    def mend_index(self) -> None:
        """See to the hints of the next few stored records, in turn.

        One is lost when a rank dies between erasing it and invalidating its record, or when a writer that was
        slow to insert its own takes the place of another's.
        """
        count = max(_MENDED_LEAST, len(self.table) // _MENDED_SHARE)
        stored = self.table.stored_from(self._mended, count)
        self._mended = self._mended + count if self._mended + count < len(self.table) else 0
        for record in without_hint(self.segment, stored) if stored else ():
            index.repair(self.segment, records.hash_of(self.segment, record), record)

    @property
    def is_waiting_for_pins(self) -> bool:
        """Whether :meth:`sweep` may have something to do."""
        return bool(self._pinned)

    # Terms

    def begin_term(self, term: int, *, wipes: bool = False) -> None:
        """Restamp everything published; what is published under the old term from now on is in vain.

        ``wipes``: nothing of an older term is to be readable any more.
        """
        segment = self.segment
        segment.words[AT_CLOSING] = term
        segment.memory.fence()
        if wipes:
            self.wipe(term)
        else:
            columns.restamp_all(segment, columns.published_among(segment, self.stored()), term)
            for record in self.table.in_state(RESERVED):
                if records.is_published(segment, record):
                    records.restamp(segment, record, term)
        segment.words[AT_TERM] = term
        segment.words[AT_CLOSING] = 0
        self.adopt_all()
        stored = self.stored()
        capacities = [self.table[record].capacity for record in stored]
        self.retire(columns.unsound_among(segment, stored, capacities))

    def wipe(self, term: int) -> None:
        """Invalidate everything published, but under the term that begins."""
        for record in self.table.in_state(RESERVED):
            if records.term_of(self.segment, record) != term:
                self.adopt(record, restamp=True)
        self.retire(self.stored())

    def check(self) -> None:
        """Invariants: the tables hold, and the segment says the same as the tables."""
        self.table.check()
        self.reservations.check()
        held = {r: h for h in self.reservations.holders() for r in h.records}
        for record, extent in enumerate(extents.all_extents(self.segment)):
            owned = self.table[record]
            assert (extent.capacity, extent.offset if extent.capacity else 0) == (
                owned.capacity,
                owned.offset,
            ), f"record {record}"
            assert (owned.state is RESERVED) == (record in held)
            holder = held.get(record)
            assert extent.capacity == 0 or extent.holder == (holder.row + 1 if holder else 0)
            if owned.state is RETIRED:
                assert record in self.awaiting or record in self._pinned
            if owned.state is STORED:
                assert records.is_published(self.segment, record)


def _is_sound(said: records.Published, capacity: int) -> bool:
    """Whether a published record says what a record can say: anybody here may have scribbled on it."""
    return 0 < said.size <= capacity and is_key(said.key)
