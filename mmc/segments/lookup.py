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
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mmc.segments.layout import Segment

    Words = NDArray[np.uint64]

_HALF = np.uint64(32)
_SECOND_SHIFT = np.uint64(SECOND_SHIFT)
_ONE = np.uint64(1)
_ONE_HALF = np.uint32(1)
_KEY_ENTRIES = 2 * BUCKET_ENTRIES
_KEY_SHIFT = _KEY_ENTRIES.bit_length() - 1
_LOWER, _UPPER = slice(0, None, 2), slice(1, None, 2)
"""The halves of words, as x86 stores them."""


def find_each(segments: Sequence[Segment], hashes: Words, clock: int) -> NDArray[np.bool_]:
    """Of each hash whether a readable record in any of the segments has it; refreshes their access clocks."""
    found = np.zeros(len(hashes), np.bool_)
    fragments = (hashes >> _HALF).astype(np.uint32)
    missing: NDArray[np.intp] | slice = slice(None)
    buckets, mask = None, 0
    for segment in segments:
        if buckets is None or segment.bucket_mask != mask:
            buckets, mask = _buckets(segment, hashes), segment.bucket_mask
        found[missing] = _find(segment, hashes[missing], fragments[missing], buckets[missing], clock)
        (missing,) = (~found).nonzero()
        if not len(missing):
            break
    return found


def _find(
    segment: Segment,
    hashes: Words,
    fragments: NDArray[np.uint32],
    buckets: NDArray[np.intp],
    clock: int,
) -> NDArray[np.bool_]:
    """The same in one segment; ``fragments`` are the upper halves of the hashes, which entries repeat."""
    found = np.zeros(len(hashes), np.bool_)
    entries = segment.memory.rows(segment.index_word, BUCKET_ENTRIES, BUCKET_ENTRIES, buckets)
    halves = entries.reshape(-1).view(np.uint32)
    (places,) = (halves[_UPPER] == fragments.repeat(_KEY_ENTRIES)).nonzero()
    keys = places >> _KEY_SHIFT
    numbers = halves[_LOWER][places] - _ONE_HALF  # of an empty entry the largest there is
    are_hints = numbers < segment.layout.records
    if np.count_nonzero(are_hints) < len(numbers):
        keys, numbers = keys[are_hints], numbers[are_hints]
    if not len(numbers):
        return found
    clocks, are_readable = _match(segment, numbers, hashes[keys])
    found[keys[are_readable]] = True
    are_readable &= clocks != clock
    if segment.memory.writable and np.count_nonzero(are_readable):
        words, first = segment.words, segment.records_word + CLOCK
        for record in numbers[are_readable].tolist():
            words[record * RECORD_WORDS + first] = clock
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
    second = hashes >> _SECOND_SHIFT
    second &= mask
    second ^= first == second
    buckets = np.empty((len(hashes), 2), np.intp)
    buckets[:, 0], buckets[:, 1] = first, second
    return buckets


def _match(segment: Segment, records: NDArray[np.uint32], hashes: Words) -> tuple[Words, NDArray[np.bool_]]:
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
