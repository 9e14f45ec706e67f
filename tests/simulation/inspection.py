"""Reading a segment as it lies in memory, past every store buffer and without the code under test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mmc.segments.layout import (
    AT_CLOSING,
    AT_TERM,
    CLIENT,
    EXTENT_WORDS,
    GENERATION,
    HOLDER_BITS,
    KEY,
    KEY_LENGTH,
    RECORD_WORDS,
    SIZE,
    STATE,
    TERM,
    WORD,
    Layout,
)
from tests.simulation.history import number_in
from tests.simulation.memory import SharedBytes

_HOLDER_MASK = (1 << HOLDER_BITS) - 1
_PUBLISHED = 1
_KEY_ROOM = (RECORD_WORDS - KEY) * WORD


class Block(NamedTuple):
    """The extent of a record: bytes of the payload, and the row of whoever reserved it plus one."""

    record: int
    offset: int
    capacity: int
    holder: int


class Stored(NamedTuple):
    """What a published record holds: its key, and the number of the put that its bytes come from.

    Of a term that is not ``is_current`` it is published in vain: no reader believes it.
    """

    record: int
    generation: int
    key: bytes
    number: int
    is_current: bool


class Inspection:
    """One segment's tables."""

    def __init__(self, shared: SharedBytes, layout: Layout) -> None:
        """Reads memory as it is at the time of each question."""
        self._words = shared.words
        self._bytes = shared.bytes
        self._layout = layout

    def block(self, record: int) -> Block:
        """The extent of one record."""
        at = self._layout.extents_at // WORD + record * EXTENT_WORDS
        packed = self._words[at + 1]
        return Block(record, self._words[at], packed >> HOLDER_BITS, packed & _HOLDER_MASK)

    def blocks(self) -> list[Block]:
        """The extents of all records that are not free."""
        blocks = [self.block(record) for record in range(self._layout.records)]
        return [block for block in blocks if block.capacity]

    def client_of(self, holder: int) -> int:
        """The client id of a holder."""
        return self._words[self._layout.holders_at // WORD + holder - 1] if holder else 0

    def writer_of(self, record: int) -> int:
        """The id of the client whose write is open in a record; 0: none is."""
        at = self._layout.records_at // WORD + record * RECORD_WORDS
        return self._words[at + CLIENT] if self._words[at + GENERATION] & 1 else 0

    def stored(self, record: int) -> Stored | None:
        """What a record holds, if it is published."""
        at = self._layout.records_at // WORD + record * RECORD_WORDS
        words = self._words
        if words[at + GENERATION] & 1 or words[at + STATE] != _PUBLISHED:
            return None
        start = (at + KEY) * WORD
        key = bytes(self._bytes[start : start + min(words[at + KEY_LENGTH], _KEY_ROOM)])
        payload = self._layout.payload_at + self.block(record).offset
        size = words[at + SIZE]
        number = number_in(self._bytes[payload : payload + min(size, WORD)])
        term = words[at + TERM]
        is_current = term != 0 and term in (words[AT_TERM], words[AT_CLOSING])
        return Stored(record, words[at], key, number, is_current)

    def all_stored(self) -> Iterator[Stored]:
        """What every published record holds."""
        for block in self.blocks():
            stored = self.stored(block.record)
            if stored is not None:
                yield stored
