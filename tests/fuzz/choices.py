"""Choices made by bytes: whoever draws the bytes, hypothesis or a fuzzer, decides what happens.

A string that is used up chooses the first of everything, so that every string is a story that ends.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

from tests.strategies import EDGES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

T = TypeVar("T")
_BYTE = 256
_REMEMBERED = 64
_ITEMS = 4
_LONG = 300


class Known:
    """Numbers and keys that were seen, so that hostile messages can name what is there."""

    def __init__(self, words: Iterable[int] = (), keys: Iterable[bytes] = ()) -> None:
        """The latest few of each are remembered."""
        self.words = deque(words, _REMEMBERED)
        self.keys = deque(keys, _REMEMBERED)


class Choices:
    """A string of bytes as choices."""

    def __init__(self, data: bytes) -> None:
        """None is made yet."""
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        """Whether any are left."""
        return self._at < len(self._data)

    def byte(self) -> int:
        """The next byte; 0 after the last."""
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def raw(self, count: int) -> bytes:
        """The next bytes, as many as there are."""
        self._at += count
        return self._data[self._at - count : self._at]

    def below(self, count: int) -> int:
        """A number from 0 on; ``count`` is at least 1."""
        number = self.byte()
        while count > _BYTE:
            number = number * _BYTE + self.byte()
            count //= _BYTE
        return number % count if count <= _BYTE else number

    def one_of(self, values: Sequence[T]) -> T:
        """One of some values."""
        return values[self.below(len(values))]

    def is_rare(self, one_in: int) -> bool:
        """Whether something happens that seldom does."""
        return self.byte() % one_in == one_in - 1

    def word(self, known: Known) -> int:
        """A 64-bit number: small, known, at an edge, or any."""
        match self.below(4):
            case 0:
                return self.below(16)
            case 1 if known.words:
                return max(0, min(self.one_of(known.words) + self.below(3) - 1, EDGES[-1]))
            case 2:
                return self.one_of(EDGES)
            case _:
                return int.from_bytes(self.raw(8), "little")

    def key(self, known: Known) -> bytes:
        """A key that is known, new, or none at all."""
        match self.below(8):
            case 0:
                return self.raw(self.below(8))
            case 1:
                return b"k" * self.below(_LONG)
            case 2:
                return b"new %d" % self.byte()
            case _:
                return self.one_of(known.keys) if known.keys else b"key"

    def count(self) -> int:
        """How many items a list has."""
        return self.below(_ITEMS + 1)
