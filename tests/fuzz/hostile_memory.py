"""A segment that somebody else scribbles on: between any two loads a word may be anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mmc.segments.mapping import BufferMemory

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from mmc.segments.layout import Layout
    from tests.fuzz.choices import Choices, Known

_PATIENCE = 48
_UINT64 = (1 << 64) - 1


class _Words:
    """The words of a memory, each load of which may be preceded by a stranger's store."""

    def __init__(self, words: memoryview[int], before_load: Callable[[int, int], None]) -> None:
        self._words = words
        self._before_load = before_load

    def __getitem__(self, at: int) -> int:
        self._before_load(at, 1)
        return self._words[at]

    def __setitem__(self, at: int, value: int) -> None:
        self._words[at] = value


class HostileMemory(BufferMemory):
    """Memory of this process in which a stranger stores, as the choices have it.

    The stranger waits for a while, and then stores into what is about to be loaded.
    """

    def __init__(self, size: int) -> None:
        """Nobody stores yet."""
        super().__init__(bytearray(size))
        self._raw = self.words
        self.words = _Words(self._raw, self._strike)  # type: ignore[assignment] # all that is used of words
        self._choices: Choices | None = None
        self._known: Known | None = None
        self._loads_left = 0

    def haunt(self, choices: Choices, known: Known) -> None:
        """From now on the stranger stores."""
        self._choices, self._known = choices, known
        self._loads_left = choices.below(_PATIENCE)

    def rest(self) -> None:
        """From now on nobody does."""
        self._choices = None

    def scribble(self, at: int, value: int) -> None:
        """Store a word."""
        self._raw[at] = value

    def _strike(self, start: int, count: int) -> None:
        if self._choices is None or self._known is None:
            return
        self._loads_left -= 1
        if self._loads_left > 0 or not self._choices:
            return
        self._loads_left = 1 + self._choices.below(_PATIENCE)
        if 0 <= start < len(self._raw) and count:
            at = min(start + self._choices.below(count), len(self._raw) - 1)
            self._raw[at] = damaged(self._raw[at], self._choices, self._known)

    def column(self, start: int, stride: int, count: int) -> list[int]:
        """Load words; the stranger may store into one of them first."""
        self._strike(start, stride * count)
        column: list[int] = self._array[start : start + stride * count : stride].tolist()
        assert len(column) == count, "a column leaves the memory"
        return column

    def array(self, start: int, stride: int, count: int) -> NDArray[np.uint64]:
        """Load words; the stranger may store into one of them first."""
        self._strike(start, stride * count)
        return super().array(start, stride, count)

    def rows(
        self, start: int, stride: int, width: int, numbers: NDArray[np.intp] | NDArray[np.uint32]
    ) -> NDArray[np.uint64]:
        """Load words; the stranger may store into one of them first."""
        if numbers.size:
            first, last = int(numbers.min()) * stride, int(numbers.max()) * stride + width
            assert 0 <= start + first <= start + last <= len(self._raw), "outside the memory"
            self._strike(start + int(numbers.flat[0]) * stride, width)
        return super().rows(start, stride, width, numbers)

    def read(self, at: int, size: int) -> bytes:
        """Copy bytes, which lie in the memory."""
        assert 0 <= at <= at + size <= len(self), "outside the memory"
        self._strike(at // 8, size // 8)
        return super().read(at, size)


def damaged(word: int, choices: Choices, known: Known) -> int:
    """A word with one bit flipped, one byte replaced, or another word."""
    match choices.below(4):
        case 0:
            return word ^ 1 << choices.below(64)
        case 1:
            at = 8 * choices.below(8)
            return word & ~(255 << at) & _UINT64 | choices.byte() << at
        case _:
            return choices.word(known)


def tables_of(layout: Layout) -> tuple[range, ...]:
    """The words of a segment's tables: superblock, extents, holders, pins, index, records."""
    starts = (0, layout.extents_at, layout.holders_at, layout.pins_at, layout.index_at, layout.records_at)
    stops = (*starts[1:], layout.payload_at)
    return tuple(range(start // 8, stop // 8) for start, stop in zip(starts, stops, strict=True))


def scribble_somewhere(memory: HostileMemory, layout: Layout, choices: Choices, known: Known) -> None:
    """A stranger stores one word in one of the tables."""
    words = choices.one_of(tables_of(layout))
    at = words[choices.below(min(len(words), 1 << 16))]
    memory.scribble(at, damaged(memory._raw[at], choices, known))  # noqa: SLF001 - what is there now
