"""What is stored for a measurement: keys of 60 to 165 bytes, objects of four sizes, and their bytes.

Every process makes the same keys and bytes from the same seed, so that nothing of them has to be sent.  An
object's bytes are a stretch of one random pattern, which begins elsewhere for every object of a size.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Block = npt.NDArray[np.uint8]
else:
    Block = Any

SHORTEST_KEY = 60
LONGEST_KEY = 165
_KEY_STRIDE = 7919

SMALL_BYTES = 4096
MEDIUM_BYTES = 64 << 10
MIDDLE_BYTES = 1 << 20
_KEY_PIECE = 128 << 10
_ROPE_PIECE = 16 << 10
_LAYERS = 61
PIECE_BYTES = (_KEY_PIECE, _ROPE_PIECE) * _LAYERS
"""The pieces of a large object: two for each of 61 layers, as an engine keeps 128 tokens of a model."""
LARGE_BYTES = sum(PIECE_BYTES)

_PATTERN_BYTES = 48 << 20
_STEP_BYTES = 8
_LARGE_STEP_BYTES = 4096 + 64


class Part(Enum):
    """The objects of one size."""

    SMALL = SMALL_BYTES
    MEDIUM = MEDIUM_BYTES
    MIDDLE = MIDDLE_BYTES
    LARGE = LARGE_BYTES

    @property
    def size(self) -> int:
        """Bytes of each of its objects."""
        return self.value


@dataclass(frozen=True, slots=True)
class Dataset:
    """How many objects of each size are stored, and the seed of everything."""

    small: int
    medium: int
    middle: int
    large: int
    seed: int = 0

    def count(self, part: Part) -> int:
        """How many objects of a size there are."""
        match part:
            case Part.SMALL:
                return self.small
            case Part.MEDIUM:
                return self.medium
            case Part.MIDDLE:
                return self.middle
            case Part.LARGE:
                return self.large

    @property
    def objects(self) -> int:
        """How many objects there are."""
        return sum(map(self.count, Part))

    @property
    def stored_bytes(self) -> int:
        """Bytes of all objects."""
        return sum(self.count(part) * part.size for part in Part)

    def key(self, part: Part, number: int, kind: str = "kv") -> str:
        """The key of an object; another ``kind`` is for keys that are not stored from the beginning."""
        name = f"{kind}/{part.name.lower()}/{number}"
        digest = hashlib.blake2b(f"{self.seed}/{name}".encode()).hexdigest()
        length = SHORTEST_KEY + number * _KEY_STRIDE % (LONGEST_KEY - SHORTEST_KEY + 1)
        return f"{digest[:32]}@{name}/".ljust(length, digest[32:33])

    def keys(self, part: Part) -> list[str]:
        """The keys of all objects of a size."""
        return [self.key(part, number) for number in range(self.count(part))]


class Content:
    """The bytes of every object."""

    def __init__(self, pattern: Block) -> None:
        """Stretches of this pattern."""
        self._pattern = pattern

    @classmethod
    def drawn(cls, seed: int) -> Self:
        """Stretches of a random pattern."""
        words = np.random.default_rng(seed).integers(0, 1 << 63, _PATTERN_BYTES // 8, dtype=np.uint64)
        return cls(words.view(np.uint8))

    def in_memory_of(self, make: Callable[[int], Block]) -> Content:
        """The same bytes in memory that is made by ``make``, of so many bytes."""
        pattern = make(_PATTERN_BYTES)
        pattern[:] = self._pattern
        return Content(pattern)

    def of(self, part: Part, number: int) -> Block:
        """The bytes of an object, in place: not to be written to."""
        step = _STEP_BYTES if part is Part.SMALL else _LARGE_STEP_BYTES
        at = number * step % (_PATTERN_BYTES - part.size)
        return self._pattern[at : at + part.size]


def pieces_of(block: Block) -> list[Block]:
    """A large object's buffer as its pieces."""
    ends = np.cumsum(PIECE_BYTES)
    return [block[end - size : end] for end, size in zip(ends, PIECE_BYTES, strict=True)]
