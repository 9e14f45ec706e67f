"""What many records are, read at once: for the rank alone, of records that nobody else may write.

One word of many records is loaded as one column, and keys are copied by the stretch of the table that they
lie in: a rank that comes back looks at every record that it has, and a load for each word of each would keep
it from serving for seconds.  What is read is not of one moment, so it is true only of records that stand
still: those that are stored, of which the rank is the one writer.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from mmc.identifiers import is_key
from mmc.segments.layout import (
    BIRTH_INDEX,
    CLIENT,
    COUNTER,
    GENERATION,
    KEY,
    KEY_LENGTH,
    LEASED_UNTIL,
    RECORD_WORDS,
    SIZE,
    STATE,
    TERM,
    WORD,
)
from mmc.segments.records import PUBLISHED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mmc.segments.layout import Segment

_STRETCH = 4096
_HALF = 32
_HALF_MASK = 0xFFFFFFFF
_RECORD_BYTES = RECORD_WORDS * WORD
_KEY_AT = KEY * WORD
_KEY_ROOM = _RECORD_BYTES - _KEY_AT


class Described(NamedTuple):
    """Some records, in the order in which they were asked for; the lists have one length.

    A version is (epoch, client, counter, position); sizes are bytes; leases end at ``leased_until``, in
    this host's milliseconds, 0 without one.
    """

    generations: list[int]
    versions: list[tuple[int, int, int, int]]
    sizes: list[int]
    keys: list[bytes]
    leased_until: list[int]


def describe_all(segment: Segment, wanted: Sequence[int]) -> Described:
    """What these records are; ``wanted`` ascends."""
    found = Described([], [], [], [], [])
    for part in _stretches(wanted):
        births, clients, counters = (_column(segment, part, word) for word in (BIRTH_INDEX, CLIENT, COUNTER))
        found.generations.extend(_column(segment, part, GENERATION))
        found.versions.extend(
            (birth >> _HALF, client, counter, birth & _HALF_MASK)
            for birth, client, counter in zip(births, clients, counters, strict=True)
        )
        found.sizes.extend(_column(segment, part, SIZE))
        found.keys.extend(_keys(segment, part))
        found.leased_until.extend(_column(segment, part, LEASED_UNTIL))
    return found


def published_among(segment: Segment, wanted: Sequence[int]) -> list[int]:
    """Those of these records that are even and published, under whatever term; ``wanted`` ascends."""
    found: list[int] = []
    for part in _stretches(wanted):
        looked_at = zip(part, _column(segment, part, GENERATION), _column(segment, part, STATE), strict=True)
        found.extend(record for record, even, state in looked_at if state == PUBLISHED and not even & 1)
    return found


def unsound_among(segment: Segment, wanted: Sequence[int], capacities: Sequence[int]) -> list[int]:
    """Those of these records whose key is none, or whose size their extent cannot have; ``wanted`` ascends.

    ``capacities`` are the bytes of each one's extent.
    """
    found: list[int] = []
    rooms = iter(capacities)
    for part in _stretches(wanted):
        sizes, keys = _column(segment, part, SIZE), _keys(segment, part)
        looked_at = zip(part, sizes, keys, rooms, strict=False)
        found.extend(r for r, size, key, room in looked_at if not (0 < size <= room and is_key(key)))
    return found


def restamp_all(segment: Segment, wanted: Sequence[int], term: int) -> None:
    """Give published records a new term."""
    words, at = segment.words, segment.records_word + TERM
    for record in wanted:
        words[at + record * RECORD_WORDS] = term


def _stretches(wanted: Sequence[int]) -> Iterator[Sequence[int]]:
    """The records, in parts that lie close together in the table."""
    start = 0
    while start < len(wanted):
        stop = bisect_left(wanted, wanted[start] + _STRETCH, start)
        yield wanted[start:stop]
        start = stop


def _column(segment: Segment, part: Sequence[int], word: int) -> list[int]:
    """One word of each of these records, which lie close together."""
    first, count = part[0], part[-1] - part[0] + 1
    column = segment.memory.column(segment.record_word(first) + word, RECORD_WORDS, count)
    return column if count == len(part) else [column[record - first] for record in part]


def _keys(segment: Segment, part: Sequence[int]) -> list[bytes]:
    """The keys of these records, which lie close together."""
    first = part[0]
    table = segment.memory.read(segment.record_word(first) * WORD, (part[-1] - first + 1) * _RECORD_BYTES)
    starts = [(record - first) * _RECORD_BYTES + _KEY_AT for record in part]
    lengths = _column(segment, part, KEY_LENGTH)
    return [table[at : at + min(length, _KEY_ROOM)] for at, length in zip(starts, lengths, strict=True)]
