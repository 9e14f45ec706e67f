"""Finding and reading objects through the segments of this host, without a message.

Nothing found here is believed before it was checked: a hint leads to a record, the record's generation,
state, term and key decide, and after the copy the generation is read once more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmc.errors import Code
from mmc.identifiers import home_of, key_hash
from mmc.segments import index, records
from mmc.segments.extents import payload_position
from mmc.segments.layout import CLOCK, SIZE
from mmc.segments.lookup import find_each
from mmc.segments.memory import BESIDE_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.segments.layout import Segment
    from mmc.segments.memory import Memory

_FEW = 2
"""So many segments are looked through sooner than a key's home is computed."""


class Hit(NamedTuple):
    """A readable replica, as of the time it was looked at.

    ``word`` is the first of its record; ``size`` bytes from byte ``at`` of the segment are its own as long as
    the record's generation is this one.
    """

    segment: Segment
    record: int
    generation: int
    word: int
    at: int
    size: int


class Reader:
    """The segments of this host in rank order, and what is remembered of where keys lie.

    Usable from any thread: a change of membership makes a new reader.
    """

    def __init__(self, segments: dict[int, Segment], locations_max: int, gather_keys: int) -> None:
        """``locations_max`` keys' places are remembered; so many keys at once are looked up as arrays."""
        self.segments = segments
        self._in_order = tuple(segments.values())
        self._ranks = tuple(segments)
        self._locations: dict[bytes, Hit] = {}
        self._locations_max = locations_max
        self._gather_keys = gather_keys

    def recall(self, key: bytes) -> Hit | None:
        """The replica of this key that was found before, if it still is readable."""
        hit = self._locations.get(key)
        if hit is None:
            return None
        segment, _, generation, word, _, _ = hit
        return hit if records.still_readable(segment, word, generation) else None

    def locate(self, key: bytes) -> Hit | None:
        """A replica of this key on this host, if the hints lead to one."""
        hit = self.recall(key)
        if hit is not None:
            return hit
        hashed = key_hash(key)
        for segment in self._segments_for(hashed):
            hit = find(segment, key, hashed)
            if hit is not None:
                self.remember(key, hit)
                return hit
        return None

    def has(self, key: bytes, clock: int) -> bool:
        """Whether a readable record of the key's full hash is here; refreshes its access clock."""
        hit = self.recall(key)
        if hit is not None:
            touch(hit.segment, hit.word, clock)
            return True
        hashed = key_hash(key)
        for segment in self._segments_for(hashed):
            for record in index.candidates(segment, hashed):
                if is_there(segment, record, hashed):
                    touch(segment, segment.record_word(record), clock)
                    return True
        return False

    def has_each(self, keys: Sequence[bytes], clock: int) -> Sequence[bool]:
        """Of each key what :meth:`has` says; many are looked up all at once."""
        if len(keys) < self._gather_keys:
            return [self.has(key, clock) for key in keys]
        hashes = np.fromiter(map(key_hash, keys), np.uint64, len(keys))
        found: list[bool] = find_each(self._in_order, hashes, clock).tolist()
        return found

    def remember(self, key: bytes, hit: Hit) -> None:
        """Look here first the next time."""
        if len(self._locations) >= self._locations_max:
            self._locations.clear()
        self._locations[key] = hit

    def _segments_for(self, hashed: int) -> Sequence[Segment]:
        """All of them; of more than a few, the key's home first."""
        if len(self._in_order) <= _FEW:
            return self._in_order
        home = self.segments[home_of(hashed, self._ranks)]
        return [home, *(segment for segment in self._in_order if segment is not home)]


def find(segment: Segment, key: bytes, hashed: int) -> Hit | None:
    """The readable object of this key in a segment, if its index leads to one."""
    for record in index.candidates(segment, hashed):
        hit = check(segment, record, key, hashed)
        if hit is not None:
            return hit
    return None


def is_there(segment: Segment, record: int, hashed: int) -> bool:
    """Whether the record is readable and has this hash, all of it in one life of the record."""
    generation = records.match(segment, record, hashed)
    return generation != 0 and records.unchanged(segment, record, generation)


def check(segment: Segment, record: int, key: bytes, hashed: int) -> Hit | None:
    """The record as a hit, if it is readable and holds this key."""
    generation = records.match(segment, record, hashed)
    if not generation or not records.holds_key(segment, record, key):
        return None
    return hit_at(segment, record, generation)


def hit_at(segment: Segment, record: int, generation: int) -> Hit | None:
    """A record as a hit, with where its bytes lie; None when this generation has passed."""
    word = segment.record_word(record)
    size = segment.words[word + SIZE]
    at = payload_position(segment, record)
    if segment.words[word] != generation or at + size > segment.layout.total:
        return None
    return Hit(segment, record, generation, word, at, size)


def has_passed(hit: Hit) -> bool:
    """Whether the bytes of a hit may be another object's by now."""
    return hit.segment.words[hit.word] != hit.generation


def fetch(hit: Hit, targets: Sequence[memoryview], clock: int) -> Code:
    """Copy an object into buffers, in their order.

    Returns:
        0; -3103, their sizes together are not the object's (nothing was written); -3007, the replica
        passed away before or during the copy, and what the buffers hold is worth nothing.
    """
    if hit.size != sum([target.nbytes for target in targets]):
        return Code.WRONG_SIZE
    hit.segment.memory.copy_out_each(hit.at, targets)
    return outcome(hit, clock)


def outcome(hit: Hit, clock: int) -> Code:
    """What became of a copy that is made: 0; -3007, as in :func:`fetch`."""
    if has_passed(hit):
        return Code.NOT_FOUND
    touch(hit.segment, hit.word, clock)
    return Code.OK


class Run:
    """Some of the buffers that an object is copied into, while other threads copy into others."""

    __slots__ = ("at", "memory", "targets")

    def __init__(self, memory: Memory, at: int, targets: Sequence[memoryview]) -> None:
        """From byte ``at`` on."""
        self.memory = memory
        self.at = at
        self.targets = targets

    def __call__(self) -> None:
        """Copy."""
        self.memory.copy_out_each(self.at, self.targets, beside=True)


def runs_of(hit: Hit, targets: Sequence[memoryview], least: int) -> list[Run]:
    """The copy of :func:`fetch` in runs of at least so many bytes, but for the last, and less than thrice.

    None where the pieces are too small to be shared, or :func:`fetch` would copy nothing.
    """
    sizes = [target.nbytes for target in targets]
    large = sum([size for size in sizes if size >= BESIDE_BYTES])
    if hit.size != sum(sizes) or 2 * large < hit.size:
        return []
    runs: list[Run] = []
    run: list[memoryview] = []
    at = end = hit.at
    for target, size in zip(targets, sizes, strict=True):
        for start in range(0, size, least) if size >= 2 * least else (0,):
            part = target[start : start + least] if size >= 2 * least else target
            run.append(part)
            end += part.nbytes
            if end - at >= least:
                runs.append(Run(hit.segment.memory, at, run))
                run, at = [], end
    if run:
        runs.append(Run(hit.segment.memory, at, run))
    return runs


def fetch_whole(hit: Hit, target: memoryview, clock: int) -> bool:
    """Copy an object into one buffer of its size; False when the replica passed away, as in :func:`fetch`."""
    segment, _, generation, word, at, _ = hit
    segment.memory.copy_out(at, target)
    if segment.words[word] != generation:
        return False
    touch(segment, word, clock)
    return True


def fetch_bytes(hit: Hit, clock: int) -> bytes | None:
    """A copy of an object; None when the replica passed away before or during the copy."""
    copied = hit.segment.memory.read(hit.at, hit.size)
    if has_passed(hit):
        return None
    touch(hit.segment, hit.word, clock)
    return copied


def touch(segment: Segment, word: int, clock: int) -> None:
    """Note an access to the record at this word, where this process may; only eviction depends on it."""
    words = segment.words
    if words[word + CLOCK] != clock and segment.memory.writable:
        words[word + CLOCK] = clock
