"""Looking up many keys of one segment at once: each step is done for all of them, as arrays.

The order of the loads of each record is that of :func:`mmc.segments.records.match`: generation, state, hash,
term, and then the segment's terms.  Nothing is copied by what is found here, so that nothing is read again.
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
    HASH,
    RECORD_WORDS,
    STATE,
    TERM,
)
from mmc.segments.records import PUBLISHED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmc.segments.layout import Segment

_ENTRIES = np.arange(BUCKET_ENTRIES, dtype=np.intp)
_HALF = np.uint64(32)
_RECORD_MASK = np.uint64(0xFFFFFFFF)
_ONE = np.uint64(1)


def find_each(segment: Segment, hashes: NDArray[np.uint64], clock: int) -> NDArray[np.bool_]:
    """Of each hash whether a readable record has it; refreshes the access clocks of those records."""
    found = np.zeros(len(hashes), np.bool_)
    entries = segment.memory.gather(_places_of(segment, hashes))
    numbers = entries & _RECORD_MASK
    are_hints = (entries >> _HALF == (hashes >> _HALF)[:, None]) & (numbers > 0)
    rows, columns = np.nonzero(are_hints & (numbers <= segment.layout.records))
    if not len(rows):
        return found
    words = segment.records_word + (numbers[rows, columns].astype(np.intp) - 1) * RECORD_WORDS
    are_readable = _match(segment, words, hashes[rows])
    found[rows[are_readable]] = True
    if segment.memory.writable:
        clocks = words[are_readable] + CLOCK
        for late in clocks[segment.memory.gather(clocks) != clock].tolist():
            segment.words[late] = clock
    return found


def _places_of(segment: Segment, hashes: NDArray[np.uint64]) -> NDArray[np.intp]:
    """For each hash the words of its two buckets."""
    mask = np.uint64(segment.layout.buckets - 1)
    first = hashes & mask
    second = hashes >> np.uint64(SECOND_SHIFT) & mask
    second ^= second == first
    buckets = np.stack((first, second), axis=1).astype(np.intp) * BUCKET_ENTRIES + segment.index_word
    return (buckets[:, :, None] + _ENTRIES).reshape(len(hashes), 2 * BUCKET_ENTRIES)


def _match(segment: Segment, words: NDArray[np.intp], hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether the records at these words are readable and have these hashes."""
    gather = segment.memory.gather
    are_readable: NDArray[np.bool_] = gather(words) & _ONE == 0
    are_readable &= gather(words + STATE) == PUBLISHED
    are_readable &= gather(words + HASH) == hashes
    terms = gather(words + TERM)
    current, closing = segment.words[AT_TERM], segment.words[AT_CLOSING]
    are_readable &= (terms != 0) & ((terms == current) | (terms == closing))
    if segment.is_dead:
        are_readable[:] = False
    return are_readable
