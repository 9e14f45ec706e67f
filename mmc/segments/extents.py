"""The reservation table: whose the bytes of each record are.  Only the rank writes it.

A record is *free* (capacity 0), *reserved* (a holder's), *stored* (nobody's, published) or
*quarantined* (nobody's, not published: its bytes wait for pins or for the meta service).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mmc.segments.layout import EXTENT_WORDS, HOLDER_BITS

if TYPE_CHECKING:
    from mmc.segments.layout import Segment

_HOLDER_MASK = (1 << HOLDER_BITS) - 1


class Extent(NamedTuple):
    """Bytes of the payload, and the row of the client they are reserved by, plus one (0: nobody)."""

    offset: int
    capacity: int
    holder: int
    grant: int = 0


def read_extent(segment: Segment, record: int) -> Extent:
    """The extent of one record."""
    at = segment.extents_word + record * EXTENT_WORDS
    packed = segment.words[at + 1]
    return Extent(segment.words[at], packed >> HOLDER_BITS, packed & _HOLDER_MASK, segment.words[at + 2])


def write_extent(segment: Segment, record: int, extent: Extent) -> None:
    """Store an extent: whose it is comes after the grant, and whose it was goes before the grant does.

    So whatever has a holder has the grant by which that holder knows it.
    """
    words, at = segment.words, segment.extents_word + record * EXTENT_WORDS
    offset, capacity, holder, grant = extent
    words[at] = offset
    if holder:
        words[at + 2] = grant
    words[at + 1] = capacity << HOLDER_BITS | holder
    if not holder:
        words[at + 2] = grant


def release_extent(segment: Segment, record: int) -> None:
    """The record is free; its bytes are nobody's."""
    segment.words[segment.extents_word + record * EXTENT_WORDS + 1] = 0


def all_extents(segment: Segment) -> list[Extent]:
    """Every record's extent, in record order."""
    start, count = segment.extents_word, segment.layout.records
    offsets = segment.memory.column(start, EXTENT_WORDS, count)
    packed = segment.memory.column(start + 1, EXTENT_WORDS, count)
    grants = segment.memory.column(start + 2, EXTENT_WORDS, count)
    return [
        Extent(offset, word >> HOLDER_BITS, word & _HOLDER_MASK, grant)
        for offset, word, grant in zip(offsets, packed, grants, strict=True)
    ]


def payload_position(segment: Segment, record: int) -> int:
    """The byte of the segment at which a record's payload begins."""
    return segment.payload_at + segment.words[segment.extents_word + record * EXTENT_WORDS]
