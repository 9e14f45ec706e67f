"""Records: descriptors of replicas, versioned so that readers need no lock.

A record's generation is even while it is stable and odd while its writer changes it.

*Writing* (the holder): generation odd; object version; key, hash, size and payload; state and term;
generation even.  *Invalidating* (the rank): index entry 0; generation odd; state free; generation
even.  *Reading*: generation even, state, term, hash, key; copy; generation unchanged, else what was
copied is worth nothing.  x86 keeps stores in order and loads in order, so no fence is needed in
any of the three; where a store must be seen before a load, the callers fence and say why.

Generation 0 never stands for anything: a record's first published generation is 2.  A stranger that may write
the segment may store any generation; after the largest, which no honest record reaches, comes the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mmc.identifiers import ObjectVersion
from mmc.segments.layout import (
    AT_CLOSING,
    AT_DEAD,
    AT_TERM,
    BIRTH_INDEX,
    CLIENT,
    CLOCK,
    COUNTER,
    GENERATION,
    HASH,
    KEY,
    KEY_LENGTH,
    LEASED_UNTIL,
    RECORD_WORDS,
    SIZE,
    STATE,
    TERM,
    WORD,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mmc.segments.layout import Segment

FREE = 0
PUBLISHED = 1
_HALF = 32
_HALF_MASK = 0xFFFFFFFF
_GENERATIONS = (1 << 64) - 1
_FIRST = 2
_KEY_ROOM = (RECORD_WORDS - KEY) * WORD


class Published(NamedTuple):
    """What a published record says of itself: its key and the hash of that, bytes, and 1/16 s."""

    generation: int
    version: ObjectVersion
    hashed: int
    size: int
    key: bytes
    term: int
    clock: int


def begin_write(segment: Segment, record: int, version: ObjectVersion) -> int:
    """Make a reserved record odd and give it its object version; returns the generation to be."""
    words, at = segment.words, segment.record_word(record)
    generation = words[at] | 1
    words[at] = generation
    words[at + CLIENT] = version.client
    words[at + COUNTER] = version.counter
    words[at + BIRTH_INDEX] = version.epoch << _HALF | version.position
    return _after(generation)


def _after(odd: int) -> int:
    """The even generation after an odd one."""
    return (odd + 1) & _GENERATIONS or _FIRST


def describe(segment: Segment, record: int, key: bytes, hashed: int, size: int) -> None:
    """Fill in what the object is, while the record is odd."""
    words, at = segment.words, segment.record_word(record)
    words[at + HASH] = hashed
    words[at + SIZE] = size
    words[at + LEASED_UNTIL] = 0
    words[at + KEY_LENGTH] = len(key)
    segment.memory.copy_in((at + KEY) * WORD, memoryview(key))


def publish(segment: Segment, record: int, generation: int, term: int, clock: int) -> None:
    """Make an odd record readable, under the term that the claim was granted in."""
    words, at = segment.words, segment.record_word(record)
    words[at + CLOCK] = clock
    words[at + TERM] = term
    words[at + STATE] = PUBLISHED
    words[at] = generation


def abandon(segment: Segment, record: int) -> None:
    """Give up a write: from here on the rank says that this version is gone."""
    words, at = segment.words, segment.record_word(record)
    words[at + CLIENT] = words[at + COUNTER] = words[at + BIRTH_INDEX] = 0
    words[at + STATE] = FREE
    words[at] = _after(words[at] | 1)


def begin_invalidate(segment: Segment, record: int) -> None:
    """Make a record odd, so that no reader of it can end well any more."""
    at = segment.record_word(record)
    segment.words[at] |= 1


def end_invalidate(segment: Segment, record: int) -> None:
    """Finish an invalidation: free, and even again under a generation never used before."""
    abandon(segment, record)


def match(segment: Segment, record: int, hashed: int) -> int:
    """The generation under which a record is readable and has this hash; 0 when it is not."""
    words, at = segment.words, segment.record_word(record)
    generation = words[at]
    if generation & 1 or words[at + STATE] != PUBLISHED or words[at + HASH] != hashed:
        return 0
    return generation if is_of_this_term(segment, record) else 0


def is_current(segment: Segment, term: int) -> bool:
    """Whether records of this term may be read: the segment's, or the one it is changing to.

    Term 0 is none: ``closing`` is 0 unless the segment is changing, and looked at first: it becomes 0
    after the segment has its new term.
    """
    words = segment.words
    return (term == words[AT_CLOSING] or term == words[AT_TERM]) and term != 0 and not words[AT_DEAD]


def is_of_this_term(segment: Segment, record: int) -> bool:
    """Whether a record bears a term that may be read; if it was given another meanwhile, that one."""
    words, at = segment.words, segment.record_word(record) + TERM
    term = words[at]
    if is_current(segment, term):
        return True
    again = words[at]
    return bool(again != term and is_current(segment, again))


def holds_key(segment: Segment, record: int, key: bytes) -> bool:
    """Whether the record's key is this one (to be trusted while the generation stays)."""
    at = segment.record_word(record)
    if segment.words[at + KEY_LENGTH] != len(key):
        return False
    start = (at + KEY) * WORD
    return segment.memory.find(key, start, start + len(key)) == start


def unchanged(segment: Segment, record: int, generation: int) -> bool:
    """Whether all that was read of a record since ``generation`` was seen is true."""
    return segment.words[segment.record_word(record)] == generation


def still_readable(segment: Segment, word: int, generation: int) -> bool:
    """Whether the record at this word is unchanged since this generation, and of a current term."""
    words = segment.words
    if words[word] != generation:
        return False
    term = words[word + TERM]
    return (term == words[AT_TERM] and term != 0 and not words[AT_DEAD]) or is_current(segment, term)


def key_of(segment: Segment, record: int) -> bytes:
    """The record's key."""
    return _key_at(segment, segment.record_word(record))


def _key_at(segment: Segment, at: int) -> bytes:
    """The key of the record at this word; no longer than there is room for, whatever is said."""
    length = segment.words[at + KEY_LENGTH]
    return segment.memory.read((at + KEY) * WORD, min(length, _KEY_ROOM))


def hash_of(segment: Segment, record: int) -> int:
    """The record's key hash."""
    return segment.words[segment.record_word(record) + HASH]


def version_of(segment: Segment, record: int) -> ObjectVersion:
    """The record's object version."""
    words, at = segment.words, segment.record_word(record)
    birth_index = words[at + BIRTH_INDEX]
    return ObjectVersion(
        birth_index >> _HALF, words[at + CLIENT], words[at + COUNTER], birth_index & _HALF_MASK
    )


def is_published(segment: Segment, record: int) -> bool:
    """Whether the record is published and even, under whatever term.

    In this order: a writer that has said published has been odd, so that even is what it is afterwards.
    """
    words, at = segment.words, segment.record_word(record)
    return words[at + STATE] == PUBLISHED and not words[at + GENERATION] & 1


def published(segment: Segment, record: int) -> Published | None:
    """What a record says of itself, under whatever term; None when it is not published and even.

    In the order of :func:`is_published`.
    """
    words, at = segment.words, segment.record_word(record)
    if words[at + STATE] != PUBLISHED or (generation := words[at]) & 1:
        return None
    birth = words[at + BIRTH_INDEX]
    version = ObjectVersion(birth >> _HALF, words[at + CLIENT], words[at + COUNTER], birth & _HALF_MASK)
    key = _key_at(segment, at)
    return Published(
        generation, version, words[at + HASH], words[at + SIZE], key, words[at + TERM], words[at + CLOCK]
    )


def term_of(segment: Segment, record: int) -> int:
    """The packed term that the record was published or restamped in."""
    return segment.words[segment.record_word(record) + TERM]


def generation_of(segment: Segment, record: int) -> int:
    """The record's generation now."""
    return segment.words[segment.record_word(record)]


def lease_of(segment: Segment, record: int) -> int:
    """Until when, in this host's milliseconds, the record is under an explicit lease."""
    return segment.words[segment.record_word(record) + LEASED_UNTIL]


def store_lease(segment: Segment, record: int, until_ms: int) -> None:
    """Set the end of the record's explicit lease."""
    segment.words[segment.record_word(record) + LEASED_UNTIL] = until_ms


def restamp(segment: Segment, record: int, term: int) -> None:
    """Give a published record a new term."""
    segment.words[segment.record_word(record) + TERM] = term


def access_clocks(segment: Segment) -> NDArray[np.uint64]:
    """Every record's access clock, in 1/16 s, in record order."""
    return segment.memory.array(segment.records_word + CLOCK, RECORD_WORDS, segment.layout.records)
