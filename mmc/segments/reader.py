"""Finding and reading objects through the segments of this host, without a message.

Nothing found here is believed before it was checked: a hint leads to a record, the record's generation,
state, term and key decide, and after the copy the generation is read once more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mmc.errors import Code
from mmc.identifiers import key_hash, rendezvous_weight
from mmc.segments import index, records
from mmc.segments.extents import payload_position

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.segments.layout import Segment


class Hit(NamedTuple):
    """A readable replica, as of the time it was looked at."""

    segment: Segment
    record: int
    generation: int


class Reader:
    """The segments of this host in rank order, and what is remembered of where keys lie.

    Usable from any thread: a change of membership makes a new reader.
    """

    def __init__(self, segments: dict[int, Segment], locations_max: int) -> None:
        """``locations_max`` keys' places are remembered."""
        self.segments = segments
        self._order = tuple(segments.items())
        self._locations: dict[bytes, Hit] = {}
        self._locations_max = locations_max

    def locate(self, key: bytes) -> Hit | None:
        """A replica of this key on this host, if the hints lead to one."""
        hit = self._locations.get(key)
        if hit is not None and records.still_readable(hit.segment, hit.record, hit.generation):
            return hit
        hashed = key_hash(key)
        for segment in self._segments_for(hashed):
            for record in index.candidates(segment, hashed):
                hit = check(segment, record, key, hashed)
                if hit is not None:
                    self.remember(key, hit)
                    return hit
        return None

    def has(self, key: bytes, clock: int) -> bool:
        """Whether a readable record of the key's full hash is here; refreshes its access clock."""
        hashed = key_hash(key)
        for segment in self._segments_for(hashed):
            for record in index.candidates(segment, hashed):
                if records.match(segment, record, hashed):
                    touch(segment, record, clock)
                    return True
        return False

    def remember(self, key: bytes, hit: Hit) -> None:
        """Look here first the next time."""
        if len(self._locations) >= self._locations_max:
            self._locations.clear()
        self._locations[key] = hit

    def _segments_for(self, hashed: int) -> Sequence[Segment]:
        if len(self._order) < 2:  # noqa: PLR2004 - one segment needs no order
            return [segment for _, segment in self._order]
        home = max(self._order, key=lambda item: rendezvous_weight(hashed, item[0]))
        return [home[1], *(segment for rank, segment in self._order if rank != home[0])]


def check(segment: Segment, record: int, key: bytes, hashed: int) -> Hit | None:
    """The record as a hit, if it is readable and holds this key."""
    generation = records.match(segment, record, hashed)
    if not generation or not records.holds_key(segment, record, key):
        return None
    if not records.unchanged(segment, record, generation):
        return None
    return Hit(segment, record, generation)


def extent_of(hit: Hit) -> tuple[int, int] | None:
    """Where in the segment a hit's bytes lie and how many there are; None when it has passed."""
    segment = hit.segment
    size = records.size_of(segment, hit.record)
    at = payload_position(segment, hit.record)
    if not records.unchanged(segment, hit.record, hit.generation):
        return None
    if at + size > segment.layout.total:
        return None
    return at, size


def fetch(hit: Hit, targets: Sequence[memoryview], clock: int) -> Code:
    """Copy an object into buffers, in their order.

    Returns:
        0; -3103, their sizes together are not the object's (nothing was written); -3007, the replica
        passed away before or during the copy, and what the buffers hold is worth nothing.
    """
    extent = extent_of(hit)
    if extent is None:
        return Code.NOT_FOUND
    at, size = extent
    if size != sum(target.nbytes for target in targets):
        return Code.WRONG_SIZE
    for target in targets:
        hit.segment.memory.copy_out(at, target)
        at += target.nbytes
    if not records.unchanged(hit.segment, hit.record, hit.generation):
        return Code.NOT_FOUND
    touch(hit.segment, hit.record, clock)
    return Code.OK


def fetch_bytes(hit: Hit, clock: int) -> bytes | None:
    """A copy of an object; None when the replica passed away before or during the copy."""
    extent = extent_of(hit)
    if extent is None:
        return None
    copied = hit.segment.memory.read(*extent)
    if not records.unchanged(hit.segment, hit.record, hit.generation):
        return None
    touch(hit.segment, hit.record, clock)
    return copied


def touch(segment: Segment, record: int, clock: int) -> None:
    """Note an access, where this process may write."""
    if segment.memory.writable:
        records.touch(segment, record, clock)
