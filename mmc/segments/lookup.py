"""Looking up many keys at once, in several segments: each step is done for all of them, as arrays.

A record is copied up to its clock, and then its generation is read once more: the same and even, it says that
all of the copy was read of one life of the record; the segment's terms are read after that.  Nothing else is
copied by what is found here, so that nothing else is read again.
"""

from __future__ import annotations

from itertools import groupby, pairwise
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

    from mmc.segments.layout import Layout, Segment

    Words = NDArray[np.uint64]
    Halves = NDArray[np.uint32]

_HALF = np.uint64(32)
_SECOND_SHIFT = np.uint64(SECOND_SHIFT)
_ONE = np.uint64(1)
_ONE_HALF = np.uint32(1)
_KEY_ENTRIES = 2 * BUCKET_ENTRIES
_KEY_SHIFT = _KEY_ENTRIES.bit_length() - 1
_TOGETHER = 512
"""So many keys times segments are looked up at once; of more, what one has is not sought in the next."""
_FEW = 2
"""Of so many segments each is looked through alone."""
_LOWER, _UPPER = slice(0, None, 2), slice(1, None, 2)
"""The halves of words, as x86 stores them."""


def find_each(segments: Sequence[Segment], hashes: Words, clock: int) -> NDArray[np.bool_]:
    """Of each hash whether a readable record in any of the segments has it; refreshes their access clocks."""
    found = np.zeros(len(hashes), np.bool_)
    fragments = (hashes >> _HALF).astype(np.uint32)
    together = _TOGETHER // max(1, len(hashes))
    missing: NDArray[np.intp] | slice = slice(None)
    for _, alike in groupby(segments, _layout_of):
        several = tuple(alike)
        buckets = _buckets(several[0], hashes)
        at_once = together if min(together, len(several)) > _FEW else 1
        for at in range(0, len(several), at_once):
            sought = hashes[missing], fragments[missing], buckets[missing]
            if at_once == 1:
                found[missing] = _find(several[at], *sought, clock)
            else:
                found[missing] = _find_in_all(several[at : at + at_once], *sought, clock)
            (missing,) = (~found).nonzero()
            if not len(missing):
                return found
    return found


def _find(
    segment: Segment, hashes: Words, fragments: Halves, buckets: NDArray[np.intp], clock: int
) -> NDArray[np.bool_]:
    """The same in one segment; ``fragments`` are the upper halves of the hashes, which entries repeat."""
    found = np.zeros(len(hashes), np.bool_)
    places, numbers = _hints(segment, _entries(segment, buckets), fragments.repeat(_KEY_ENTRIES))
    if len(numbers):
        keys = places >> _KEY_SHIFT
        copied = _copies(segment, numbers).T
        are_readable = _are_whole(copied, _generations(segment, numbers), hashes[keys])
        _except_old_terms(segment, copied[TERM], are_readable)
        found[keys[are_readable]] = True
        are_readable &= copied[CLOCK] != clock
        _touch(segment, numbers[are_readable], clock)
    return found


def _find_in_all(
    segments: Sequence[Segment], hashes: Words, fragments: Halves, buckets: NDArray[np.intp], clock: int
) -> NDArray[np.bool_]:
    """The same in segments of one layout: what is found in them stands one segment after the other."""
    found = np.zeros(len(hashes), np.bool_)
    entries = np.concatenate([_entries(segment, buckets) for segment in segments])
    repeated = np.tile(fragments.repeat(_KEY_ENTRIES), len(segments))
    places, numbers = _hints(segments[0], entries, repeated)
    if len(numbers):
        keys = places >> _KEY_SHIFT
        ends = keys.searchsorted(np.arange(1, len(segments) + 1) * len(hashes)).tolist()
        keys %= len(hashes)
        parts = [slice(*bounds) for bounds in pairwise((0, *ends))]
        each = [(segment, numbers[part]) for segment, part in zip(segments, parts, strict=True)]
        copied = np.concatenate([_copies(segment, some) for segment, some in each]).T
        generations = np.concatenate([_generations(segment, some) for segment, some in each])
        are_readable = _are_whole(copied, generations, hashes[keys])
        for segment, part in zip(segments, parts, strict=True):
            _except_old_terms(segment, copied[TERM, part], are_readable[part])
        found[keys[are_readable]] = True
        are_readable &= copied[CLOCK] != clock
        for (segment, some), part in zip(each, parts, strict=True):
            _touch(segment, some[are_readable[part]], clock)
    return found


def _entries(segment: Segment, buckets: NDArray[np.intp]) -> Words:
    return segment.memory.rows(segment.index_word, BUCKET_ENTRIES, BUCKET_ENTRIES, buckets)


def _hints(segment: Segment, entries: Words, fragments: Halves) -> tuple[NDArray[np.intp], Halves]:
    """Which of the entries bear their fragment, and the records that they lead to."""
    halves = entries.reshape(-1).view(np.uint32)
    (places,) = (halves[_UPPER] == fragments).nonzero()
    numbers = halves[_LOWER][places] - _ONE_HALF  # of an empty entry the largest there is
    are_hints = numbers < segment.layout.records
    if np.count_nonzero(are_hints) < len(numbers):
        return places[are_hints], numbers[are_hints]
    return places, numbers


def _copies(segment: Segment, records: Halves) -> Words:
    return segment.memory.rows(segment.records_word, RECORD_WORDS, CLOCK + 1, records)


def _generations(segment: Segment, records: Halves) -> Words:
    return segment.memory.rows(segment.records_word + GENERATION, RECORD_WORDS, 1, records).reshape(-1)


def _are_whole(copied: Words, generations: Words, hashes: Words) -> NDArray[np.bool_]:
    """Whether records have these hashes and are published, if their generations are now what they were."""
    are_whole: NDArray[np.bool_] = copied[HASH] == hashes
    are_whole &= copied[STATE] == PUBLISHED
    are_whole &= copied[GENERATION] & _ONE == 0
    are_whole &= copied[GENERATION] == generations
    return are_whole


def _except_old_terms(segment: Segment, terms: Words, are_readable: NDArray[np.bool_]) -> None:
    """What bears no term of the segment is not readable."""
    closing, current = segment.words[AT_CLOSING], segment.words[AT_TERM]
    if closing or not current:
        are_readable &= (terms != 0) & ((terms == current) | (terms == closing))
    else:
        are_readable &= terms == current
    if segment.is_dead:
        are_readable[:] = False


def _touch(segment: Segment, records: Halves, clock: int) -> None:
    """Note an access to records, where this process may."""
    if len(records) and segment.memory.writable:
        words, first = segment.words, segment.records_word + CLOCK
        for record in records.tolist():
            words[record * RECORD_WORDS + first] = clock


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


def _layout_of(segment: Segment) -> Layout:
    return segment.layout
