"""An object on its way into the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.identifiers import ObjectVersion, key_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.actors.client.ranks import RankHandle
    from mmc.errors import Code


class Replica:
    """A reserved record that a draft is written to; ``generation`` is 0 until it is."""

    __slots__ = ("capacity", "generation", "handle", "record")

    def __init__(self, handle: RankHandle, record: int, capacity: int) -> None:
        """Reserved, not touched."""
        self.handle = handle
        self.record = record
        self.capacity = capacity
        self.generation = 0


class Draft:
    """One object of a put: ``code`` is its outcome once that is known."""

    __slots__ = ("code", "hashed", "is_published", "key", "pieces", "replicas", "size", "version")

    def __init__(self, key: bytes, version: ObjectVersion, pieces: Sequence[memoryview]) -> None:
        """Nothing is reserved yet."""
        self.key = key
        self.version = version
        self.pieces = pieces
        self.size = sum(piece.nbytes for piece in pieces)
        self.hashed = key_hash(key)
        self.replicas: list[Replica] = []
        self.is_published = False
        self.code: Code | None = None
