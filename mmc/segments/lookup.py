"""Looking up many keys of one segment at once: each step is done for all of them, as arrays.

A record is copied up to its clock, and then its generation is read once more: the same and even, it says that
all of the copy was read of one life of the record; the segment's terms are read after that.  Nothing else is
copied by what is found here, so that nothing else is read again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mmc.segments.index import SECOND_SHIFT
from mmc.segments.layout import (
    AT_CLOSING,
    AT_TERM,
    BUCKET_ENTRIES,
    CLOCK,
    GENERATION,
    HASH,
    RECORD_WORDS,
    STATE,
    TERM,
)
from mmc.segments.records import PUBLISHED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmc.segments.layout import Segment

    Words = NDArray[np.uint64]

_HALF = np.uint64(32)
_SECOND_SHIFT = np.uint64(SECOND_SHIFT)
_RECORD_MASK = np.uint64(0xFFFFFFFF)
_ONE = np.uint64(1)
_KEY_ENTRIES = 2 * BUCKET_ENTRIES


def find_each(segment: Segment, hashes: Words, clock: int) -> NDArray[np.bool_]:
    """Of each hash whether a readable record has it; refreshes the access clocks of those records."""
    found = np.zeros(len(hashes), np.bool_)
    buckets = segment.memory.rows(
        segment.index_word, BUCKET_ENTRIES, BUCKET_ENTRIES, _buckets(segment, hashes)
    )
    entries = buckets.reshape(-1)
    (places,) = (entries >> _HALF == (hashes >> _HALF).repeat(_KEY_ENTRIES)).nonzero()
    keys = places // _KEY_ENTRIES
    numbers = (entries[places] & _RECORD_MASK) - _ONE  # of an empty entry the largest there is
    are_hints = numbers < segment.layout.records
    if np.count_nonzero(are_hints) < len(numbers):
        keys, numbers = keys[are_hints], numbers[are_hints]
    if not len(numbers):
        return found
    records = numbers.astype(np.intp)
    clocks, are_readable = _match(segment, records, hashes[keys])
    found[keys[are_readable]] = True
    late = are_readable & (clocks != clock)
    if segment.memory.writable and np.count_nonzero(late):
        words = segment.words
        for at in (records[late] * RECORD_WORDS + (segment.records_word + CLOCK)).tolist():
            words[at] = clock
    return found


def without_hint(segment: Segment, records: list[int]) -> list[int]:
    """Those of these stored records to which no entry of the index leads."""
    numbers = np.array(records, np.intp)
    memory = segment.memory
    (hashes,) = memory.rows(segment.records_word + HASH, RECORD_WORDS, 1, numbers).T
    hints = hashes >> _HALF << _HALF | (numbers + 1).astype(np.uint64)
    entries = memory.rows(segment.index_word, BUCKET_ENTRIES, BUCKET_ENTRIES, _buckets(segment, hashes))
    are_there = (entries.reshape(-1, _KEY_ENTRIES) == hints[:, None]).any(1)
    lacking: list[int] = numbers[~are_there].tolist()
    return lacking


def _buckets(segment: Segment, hashes: Words) -> NDArray[np.intp]:
    """The numbers of both buckets of each hash."""
    mask = np.uint64(segment.bucket_mask)
    first = hashes & mask
    second = hashes >> _SECOND_SHIFT & mask
    second ^= first == second
    buckets = np.empty((len(hashes), 2), np.intp)
    buckets[:, 0], buckets[:, 1] = first, second
    return buckets


def _match(segment: Segment, records: NDArray[np.intp], hashes: Words) -> tuple[Words, NDArray[np.bool_]]:
    """The access clocks of records, and whether they are readable and have these hashes."""
    memory = segment.memory
    copied = memory.rows(segment.records_word, RECORD_WORDS, CLOCK + 1, records).T
    (generations,) = memory.rows(segment.records_word + GENERATION, RECORD_WORDS, 1, records).T
    are_readable: NDArray[np.bool_] = copied[HASH] == hashes
    are_readable &= copied[STATE] == PUBLISHED
    are_readable &= copied[GENERATION] & _ONE == 0
    are_readable &= copied[GENERATION] == generations
    closing, current = segment.words[AT_CLOSING], segment.words[AT_TERM]
    terms = copied[TERM]
    if closing or not current:
        are_readable &= (terms != 0) & ((terms == current) | (terms == closing))
    else:
        are_readable &= terms == current
    if segment.is_dead:
        are_readable[:] = False
    return copied[CLOCK], are_readable
