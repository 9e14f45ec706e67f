"""The index: hints from a key's hash to records, so that a reader needs no message.

Two buckets of eight entries per key; an entry is ``hash >> 32 << 32 | record + 1``, 0 is empty.
Nothing depends on it: whoever follows an entry checks the record, and whoever finds none asks the
meta service.  Writers insert with plain stores and look once whether theirs held; the rank, which
knows every record, repairs at confirmation and moves entries where both buckets are full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.segments.layout import BUCKET_ENTRIES, WORD
from mmc.segments.records import hash_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmc.segments.layout import Segment

_HALF = 32
_HALF_BYTES = 4
_RECORD_MASK = 0xFFFFFFFF
SECOND_SHIFT = 24


def buckets_of(segment: Segment, hashed: int) -> tuple[int, int]:
    """The first words of the two buckets of a hash."""
    mask = segment.bucket_mask
    first = hashed & mask
    second = hashed >> SECOND_SHIFT & mask
    if second == first:
        second ^= 1
    start = segment.index_word
    return start + first * BUCKET_ENTRIES, start + second * BUCKET_ENTRIES


def candidates(segment: Segment, hashed: int) -> Iterator[int]:
    """The records that may hold an object of this hash; the second bucket is looked at when it is asked for.

    The upper halves of the entries are searched for as bytes, which is several times as fast as to compare
    entry after entry.  What is found is looked at as a word.
    """
    fragment = (hashed >> _HALF).to_bytes(_HALF_BYTES, "little")
    find, words, last = segment.memory.find, segment.words, segment.layout.records
    for bucket in buckets_of(segment, hashed):
        start = bucket * WORD
        end = start + BUCKET_ENTRIES * WORD
        while (start := find(fragment, start, end)) >= 0:
            if start % WORD == _HALF_BYTES:
                entry = words[start // WORD]
                if entry >> _HALF == hashed >> _HALF and 0 < (record := entry & _RECORD_MASK) <= last:
                    yield record - 1
            start += 1


def insert(segment: Segment, hashed: int, record: int) -> bool:
    """Add a hint; False when both buckets are full or another writer took the slot meanwhile."""
    words, column = segment.words, segment.memory.column
    entry = _entry(hashed, record)
    for bucket in buckets_of(segment, hashed):
        entries = column(bucket, 1, BUCKET_ENTRIES)
        if entry in entries:
            return True
        if 0 in entries:
            at = bucket + entries.index(0)
            words[at] = entry
            return words[at] == entry
    return False


def erase(segment: Segment, hashed: int, record: int) -> None:
    """Remove the hint to a record, if it is there."""
    entry = _entry(hashed, record)
    for bucket in buckets_of(segment, hashed):
        entries = segment.memory.column(bucket, 1, BUCKET_ENTRIES)
        for position, present in enumerate(entries):
            if present == entry:
                segment.words[bucket + position] = 0


def repair(segment: Segment, hashed: int, record: int) -> bool:
    """The rank sees to it that the hint is there, moving another or dropping a stale one."""
    if present(segment, hashed, record) or insert(segment, hashed, record):
        return True
    for bucket in buckets_of(segment, hashed):
        for at in range(bucket, bucket + BUCKET_ENTRIES):
            other = (segment.words[at] & _RECORD_MASK) - 1
            if not 0 <= other < segment.layout.records:
                segment.words[at] = 0
                return insert(segment, hashed, record)
            if _move(segment, other, at, bucket):
                return insert(segment, hashed, record)
    return False


def present(segment: Segment, hashed: int, record: int) -> bool:
    """Whether the hint to a record is there."""
    entry, column = _entry(hashed, record), segment.memory.column
    first, second = buckets_of(segment, hashed)
    return entry in column(first, 1, BUCKET_ENTRIES) or entry in column(second, 1, BUCKET_ENTRIES)


def _move(segment: Segment, record: int, at: int, bucket: int) -> bool:
    """Move a record's entry out of a full bucket: to its other one, or away when it is stale."""
    other_hash = hash_of(segment, record)
    if segment.words[at] != _entry(other_hash, record):
        segment.words[at] = 0
        return True
    for target in buckets_of(segment, other_hash):
        slot = None if target == bucket else _slot_in(segment, target)
        if slot is not None:
            segment.words[slot] = segment.words[at]
            segment.words[at] = 0
            return True
    return False


def _slot_in(segment: Segment, bucket: int) -> int | None:
    """A word of a bucket that is empty, or whose hint is stale."""
    for at, entry in enumerate(segment.memory.column(bucket, 1, BUCKET_ENTRIES), bucket):
        record = (entry & _RECORD_MASK) - 1
        if not 0 <= record < segment.layout.records or entry != _entry(hash_of(segment, record), record):
            return at
    return None


def _entry(hashed: int, record: int) -> int:
    return hashed >> _HALF << _HALF | record + 1
