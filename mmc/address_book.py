"""Addresses of object bytes that were handed out, and what lies there.

Callers add offsets to an address, so it means any place within the range that it begins.  A range that
overlaps an older one takes its place: the space has been used again.
"""

from __future__ import annotations

import bisect
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Range(NamedTuple, Generic[T]):
    """Bytes from an address on, and what they belong to."""

    start: int
    end: int
    holder: T


class AddressBook(Generic[T]):
    """Ranges that do not overlap; of more than ``most``, the oldest are forgotten."""

    def __init__(self, most: int) -> None:
        """No range is known."""
        self._most = most
        self._starts: list[int] = []
        self._ranges: dict[int, Range[T]] = {}

    def add(self, start: int, size: int, holder: T) -> None:
        """A range was handed out."""
        end = start + size
        at = max(0, bisect.bisect_right(self._starts, start) - 1)
        while at < len(self._starts) and self._starts[at] < end:
            if self._ranges[self._starts[at]].end > start:
                del self._ranges[self._starts.pop(at)]
            else:
                at += 1
        bisect.insort(self._starts, start)
        self._ranges[start] = Range(start, end, holder)
        if len(self._ranges) > self._most:
            self.remove(next(iter(self._ranges)))

    def find(self, address: int, size: int) -> T | None:
        """What the whole of these bytes belongs to."""
        at = bisect.bisect_right(self._starts, address) - 1
        if at < 0:
            return None
        found = self._ranges[self._starts[at]]
        return found.holder if address + size <= found.end else None

    def remove(self, start: int) -> None:
        """Forget the range that begins here, if there is one."""
        if self._ranges.pop(start, None) is not None:
            del self._starts[bisect.bisect_left(self._starts, start)]

    def holders(self) -> list[T]:
        """What all ranges belong to, oldest first."""
        return [one.holder for one in self._ranges.values()]

    def clear(self) -> None:
        """Forget all."""
        self._ranges.clear()
        self._starts.clear()
