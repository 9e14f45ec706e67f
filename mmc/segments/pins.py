"""Pins: a reader or a view is using a record's bytes, which delays their reuse and nothing else.

Each client has a row of slots.  A slot is one word, ``generation << 32 | record + 1`` with the low half of
the generation; 0 is free.  Most of a row is the client's own; the last part is written by the rank, for pins
that the client asks for by message.  So a pin outlives a restart of the rank, whoever wrote it, and ends with
its client.

1. The client stores the slot, fences, and reads the record's generation again: unchanged, and the
   rank will see the pin; changed, and the pin is taken back.
2. The rank makes the generation odd, fences, and reads the pins: it sees every pin whose client saw
   the generation unchanged.  A pin of its own writing it sees in any case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.segments.layout import RECORD_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mmc.segments.layout import Segment

_HALF = 32
_ASKED_SHARE = 4
_HALF_MASK = 0xFFFFFFFF


def slots_of(segment: Segment, row: int) -> range:
    """The words of a row's slots, its client's and the rank's."""
    start = segment.pins_word + row * segment.layout.pins
    return range(start, start + segment.layout.pins)


def own_slots(segment: Segment, row: int) -> range:
    """The slots of a row that its client writes."""
    return slots_of(segment, row)[: -_asked(segment)]


def asked_slots(segment: Segment, row: int) -> range:
    """The slots of a row that the rank writes, for pins that the client asks for."""
    return slots_of(segment, row)[-_asked(segment) :]


def _asked(segment: Segment) -> int:
    return max(1, segment.layout.pins // _ASKED_SHARE)


def pin(segment: Segment, slot: int, record: int, generation: int) -> bool:
    """Pin a record through a free slot that is one's own to write; False when the generation has passed."""
    words = segment.words
    words[slot] = (generation & _HALF_MASK) << _HALF | record + 1
    segment.memory.fence()
    if words[segment.records_word + record * RECORD_WORDS] == generation:
        return True
    words[slot] = 0
    return False


def unpin(segment: Segment, slot: int) -> None:
    """Free the slot."""
    segment.words[slot] = 0


def clear(segment: Segment, row: int) -> None:
    """Free all slots of a client that is gone."""
    for slot in slots_of(segment, row):
        if segment.words[slot]:
            segment.words[slot] = 0


def pinned_records(segment: Segment, rows: Iterable[int]) -> set[int]:
    """The records that the clients of these rows pin (fence before asking)."""
    count = segment.layout.pins
    return {
        (word & _HALF_MASK) - 1
        for row in rows
        for word in segment.memory.column(slots_of(segment, row).start, 1, count)
        if word
    }
