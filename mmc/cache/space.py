"""Free space of a segment's payload: extents that never overlap, and come back in one piece (S6).

Sizes are rounded to 64 bytes, from 4 KiB up to 4 KiB, and so are offsets.  Allocation is best fit:
the smallest free extent that holds the aligned request.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

SMALL_ALIGNMENT = 64
LARGE_ALIGNMENT = 4096


def rounded(size: int) -> int:
    """The bytes that an object of this size takes."""
    if size >= LARGE_ALIGNMENT:
        return size + -size % LARGE_ALIGNMENT
    return size + -size % SMALL_ALIGNMENT or SMALL_ALIGNMENT


def alignment_of(size: int) -> int:
    """The alignment of an extent of this size."""
    return LARGE_ALIGNMENT if size >= LARGE_ALIGNMENT else SMALL_ALIGNMENT


class Space:
    """The free extents of ``capacity`` bytes."""

    def __init__(self, capacity: int, used: Iterable[tuple[int, int]] = ()) -> None:
        """All of it is free but the extents (offset, length) in ``used``, as after a restart.

        Raises:
            ValueError: used extents overlap, or leave the capacity.
        """
        self.capacity = capacity
        self.free_bytes = 0
        self._ends: dict[int, int] = {}
        self._starts: dict[int, int] = {}
        self._by_size: list[tuple[int, int]] = []
        at = 0
        for offset, length in (*sorted(used), (capacity, 0)):
            if offset < at:
                raise ValueError(f"extents overlap at {offset}")
            if offset > at:
                self.free_bytes += offset - at
                self._add(at, offset)
            at = offset + length
        if at > capacity:
            raise ValueError(f"an extent ends at {at}, beyond {capacity}")

    def allocate(self, size: int) -> int | None:
        """The offset of an extent of ``rounded(size)`` bytes, or None when no hole is large enough."""
        found = self._find(size)
        if found is None:
            return None
        start, free, offset = found
        self._take(start, free, offset, rounded(size))
        return offset

    def _find(self, size: int) -> tuple[int, int, int] | None:
        """The free extent (start, length) that an allocation would use, and the offset that it would give."""
        length = rounded(size)
        alignment = alignment_of(size)
        by_size = self._by_size
        for position in range(bisect_left(by_size, (length, -1)), len(by_size)):
            free, start = by_size[position]
            offset = start + -start % alignment
            if offset + length <= start + free:
                return start, free, offset
        return None

    def fits(self, sizes: Sequence[int]) -> bool:
        """Whether extents of all these sizes can be had at once, when the largest are allocated first."""
        if len(sizes) <= 1:
            return not sizes or self._find(sizes[0]) is not None
        if sum(map(rounded, sizes)) > self.free_bytes or rounded(max(sizes)) > self.largest:
            return False
        with self.tried() as attempt:
            return all(attempt(size) is not None for size in sorted(sizes, reverse=True))

    @contextmanager
    def tried(self) -> Iterator[Callable[[int], tuple[int, int] | None]]:
        """Allocate for the sake of argument: each call takes an extent (offset, length) if it can.

        At the end all of them are free again.
        """
        taken: list[tuple[int, int]] = []

        def attempt(size: int) -> tuple[int, int] | None:
            offset = self.allocate(size)
            if offset is None:
                return None
            taken.append((offset, rounded(size)))
            return taken[-1]

        try:
            yield attempt
        finally:
            for offset, length in taken:
                self.release(offset, length)

    def release(self, offset: int, length: int) -> None:
        """Give an extent back; it joins its free neighbours."""
        assert length > 0
        self.free_bytes += length
        start, end = offset, offset + length
        before = self._starts.get(start)
        if before is not None:
            self._remove(before, start)
            start = before
        after = self._ends.get(end)
        if after is not None:
            self._remove(end, after)
            end = after
        self._add(start, end)

    @property
    def largest(self) -> int:
        """The size of the largest free extent, in bytes."""
        return self._by_size[-1][0] if self._by_size else 0

    @property
    def holes(self) -> int:
        """How many free extents there are."""
        return len(self._by_size)

    def _take(self, start: int, free: int, offset: int, length: int) -> None:
        self._remove(start, start + free)
        self.free_bytes -= length
        if offset > start:
            self._add(start, offset)
        if offset + length < start + free:
            self._add(offset + length, start + free)

    def _add(self, start: int, end: int) -> None:
        self._ends[start] = end
        self._starts[end] = start
        insort(self._by_size, (end - start, start))

    def _remove(self, start: int, end: int) -> None:
        del self._ends[start]
        del self._starts[end]
        self._by_size.pop(bisect_left(self._by_size, (end - start, start)))

    def check(self, used: list[tuple[int, int]]) -> None:
        """Invariant S6: used and free extents tile the capacity, and free neighbours are joined."""
        free = sorted((start, end - start) for start, end in self._ends.items())
        at = 0
        previous_free = False
        for offset, length, is_free in sorted(
            [(*extent, True) for extent in free] + [(*extent, False) for extent in used]
        ):
            assert offset == at, f"gap or overlap at {at}, next extent at {offset}"
            assert not (previous_free and is_free), f"free neighbours at {offset}"
            at = offset + length
            previous_free = is_free
        assert at == self.capacity
        assert self.free_bytes == sum(length for _, length in free)
