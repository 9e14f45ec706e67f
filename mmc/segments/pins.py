"""Pins: a reader or a view is using a record's bytes, which delays their reuse and nothing else.

Each client has a page of slots of its own.  A slot is one word, ``generation << 32 | record + 1`` with
the low half of the generation; 0 is free.

1. The client stores the slot, fences, and reads the record's generation again: unchanged, and the
   rank will see the pin; changed, and the pin is taken back.
2. The rank makes the generation odd, fences, and reads the pins: it sees every pin whose client saw
   the generation unchanged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.segments.records import unchanged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mmc.segments.layout import Segment

_HALF = 32
_HALF_MASK = 0xFFFFFFFF


def slots_of(segment: Segment, row: int) -> range:
    """The words of a row's slots."""
    start = segment.pins_word + row * segment.layout.pins
    return range(start, start + segment.layout.pins)


def pin(segment: Segment, slot: int, record: int, generation: int) -> bool:
    """Pin a record through a free slot of one's own; False when the generation has passed."""
    segment.words[slot] = (generation & _HALF_MASK) << _HALF | record + 1
    segment.memory.fence()
    if unchanged(segment, record, generation):
        return True
    segment.words[slot] = 0
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
