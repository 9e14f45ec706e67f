"""What follows for a memory from how it loads single words and copies bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmc.segments.memory import Words


class WordByWord(ABC):
    """The loads of many words at once, as loads of one after the other."""

    words: Words

    @abstractmethod
    def column(self, start: int, stride: int, count: int) -> list[int]:
        """Load ``count`` words from word ``start`` on, ``stride`` words apart."""

    @abstractmethod
    def read(self, at: int, size: int) -> bytes:
        """Copy ``size`` bytes from byte ``at``."""

    def is_whole(self) -> bool:
        """Nobody truncates it."""
        return True

    def array(self, start: int, stride: int, count: int) -> NDArray[np.uint64]:
        """Load words as :meth:`column` does."""
        return np.array(self.column(start, stride, count), np.uint64)

    def rows(
        self, start: int, stride: int, width: int, numbers: NDArray[np.intp] | NDArray[np.uint32]
    ) -> NDArray[np.uint64]:
        """Load rows of a table from word ``start`` on: ``width`` words of each, one after the other."""
        positions = start + numbers[..., None] * stride + np.arange(width)
        words = [self.words[at] for at in positions.ravel().tolist()]
        return np.array(words, np.uint64).reshape(positions.shape)

    def find(self, sought: bytes, start: int, end: int) -> int:
        """Search what :meth:`read` gives."""
        found = self.read(start, end - start).find(sought)
        return found if found < 0 else start + found
