"""An object on its way into the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.identifiers import ObjectVersion, key_hash
from mmc.segments import records
from mmc.segments.extents import payload_position

if TYPE_CHECKING:
    from mmc.actors.client.ranks import RankHandle
    from mmc.errors import Code


class Replica:
    """A reserved record that a draft is written to; ``generation`` is 0 until it is.

    Its bytes begin at byte ``at`` of the segment, once :meth:`find_place` has found them.
    """

    __slots__ = ("at", "capacity", "generation", "handle", "rank", "record")
    is_here = True

    def __init__(self, handle: RankHandle, record: int, capacity: int) -> None:
        """Reserved, not touched."""
        self.handle = handle
        self.rank = handle.rank
        self.record = record
        self.capacity = capacity
        self.generation = 0
        self.at = 0

    def find_place(self, size: int) -> bool:
        """See where the record's bytes lie; False when ``size`` of them are not all in the payload."""
        segment = self.handle.segment
        self.at = payload_position(segment, self.record)
        return self.at + size <= segment.layout.total

    def confirm(self, now: float) -> None:
        """It is published: tell the rank, soon."""
        self.handle.confirm(self.record, self.generation, now)

    def withdraw(self) -> None:
        """Published in vain: the rank is to invalidate it, unless it has taken it over."""
        self.handle.give_back(self.record, self.generation)

    def abandon(self, now: float) -> None:
        """It is not written any more, and its record is an idle reserve again."""
        if self.generation:
            records.abandon(self.handle.segment, self.record)
        self.handle.keep(self.record, self.capacity, now)


class Draft:
    """One object on its way: ``code`` is its outcome once that is known.

    ``terms`` are those of its ranks under which its name was granted, while it is not published.
    """

    __slots__ = ("code", "hashed", "is_published", "key", "replicas", "size", "terms", "version")

    def __init__(self, key: bytes, version: ObjectVersion, size: int) -> None:
        """Nothing is reserved yet."""
        self.key = key
        self.version = version
        self.size = size
        self.hashed = key_hash(key)
        self.replicas: list[Replica] = []
        self.terms: dict[int, int] = {}
        self.is_published = False
        self.code: Code | None = None
