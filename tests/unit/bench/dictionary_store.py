"""A store that is a dictionary, and that can be told to be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import cast

from mmc.bench.stores.contract import Call, Item, Store


class DictionaryStore(Store):
    """Keeps copies; ``spoils`` a byte of every object that is read, or ``denies`` every key."""

    def __init__(self) -> None:
        """Empty and honest."""
        self.kept: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.handled = 0
        self.spoils = self.denies = False

    def get(self, items: Sequence[Item]) -> Call:
        """Fills the blocks."""
        return partial(self._get, items)

    def _get(self, items: Sequence[Item]) -> None:
        for item in items:
            self.asked.append(item.key)
            item.block[:] = memoryview(self.kept[item.key])
            if self.spoils:
                item.block[item.part.size // 2] ^= 1

    def put(self, items: Sequence[Item]) -> Call:
        """Copies the blocks."""
        return partial(self._put, items)

    def _put(self, items: Sequence[Item]) -> None:
        self.handled += 1
        for item in items:
            self.kept[item.key] = item.block.tobytes()

    def exist(self, keys: Sequence[str]) -> Call:
        """Looks them up."""
        return lambda: [key in self.kept and not self.denies for key in keys]

    def found(self, result: object, keys: Sequence[str]) -> list[bool]:
        """As looked up."""
        return cast("list[bool]", result)

    def remove(self, keys: Sequence[str]) -> None:
        """Drops them."""
        for key in keys:
            del self.kept[key]

    def messages(self) -> int:
        """One for each call of a put."""
        return self.handled
