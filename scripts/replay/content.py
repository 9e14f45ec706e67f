"""What every block holds, and whether a copy of it is right.

Word ``w`` of block ``b`` is ``mix(b ^ salt) ^ mix(w)``.  The mix is one-to-one, so that each word
of a block differs from the same word of every other block, and from every other word of its own
block.  Bytes that are torn, foreign, displaced or flipped are therefore seen, and making or
checking a block costs one pass over it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

WORD = 8
"""Blocks are whole words of this many bytes."""

_MASK = (1 << 64) - 1
_STEP = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


def mix(number: int) -> int:
    """A one-to-one scattering of the numbers below 2**64 (the finisher of splitmix64)."""
    number = (number + _STEP) & _MASK
    number = ((number ^ (number >> 30)) * _FIRST) & _MASK
    number = ((number ^ (number >> 27)) * _SECOND) & _MASK
    return number ^ (number >> 31)


def _mix_all(numbers: Words) -> Words:
    """:func:`mix` of each number."""
    numbers = numbers + np.uint64(_STEP)
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(_FIRST)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(_SECOND)
    return numbers ^ (numbers >> np.uint64(31))


class Content:
    """The bytes of blocks of one size, in one run."""

    def __init__(self, block_bytes: int, seed: int) -> None:
        """``block_bytes``: a multiple of 8.  Runs of another seed have other bytes."""
        assert block_bytes % WORD == 0
        self._salt = mix(seed & _MASK)
        self._pattern = _mix_all(np.arange(block_bytes // WORD, dtype=np.uint64))
        self._scratch = np.empty_like(self._pattern)

    def write(self, block: int, target: Words) -> None:
        """Fill a buffer with a block."""
        np.bitwise_xor(self._pattern, self._key(block), out=target)

    def wrong_bytes(self, block: int, words: Words) -> int:
        """How many bytes differ from those of the block; 0 for a true copy."""
        np.bitwise_xor(words, self._key(block), out=self._scratch)
        if np.array_equal(self._scratch, self._pattern):
            return 0
        differing = self._scratch.view(np.uint8) != self._pattern.view(np.uint8)
        return int(np.count_nonzero(differing))

    def _key(self, block: int) -> np.uint64:
        return np.uint64(mix(block ^ self._salt))
