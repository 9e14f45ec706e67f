"""The floor of every copy: ``ctypes.memmove`` in one thread, over warm pages, with the buffers of the others.

Its memory is as large as what the others hold of a size, and as many objects are read by turns, so that the
processor's caches help it no more than them.  It is shared memory, as that of every store is that several
processes use: the kernel gives it small pages, where private memory may have huge ones.
"""

from __future__ import annotations

import ctypes
import mmap
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mmc.bench.dataset import Block, Part, pieces_of
from mmc.bench.stores.contract import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.bench.dataset import Content, Dataset
    from mmc.bench.stores.contract import Call, Item

_memmove = ctypes.memmove
_WRITTEN_BYTES = 256 << 20


class Memmove(Store):
    """Shared memory alone in place of a store."""

    keeps = False

    def __init__(self, dataset: Dataset, content: Content) -> None:
        """Nothing is held yet: memory for the objects of a size is made when they are first needed."""
        self._dataset = dataset
        self._content = content
        self._held: dict[Part, Block] = {}
        self._written: Block | None = None
        self._next = 0

    def get(self, items: Sequence[Item]) -> Call:
        """Copies from the held objects."""
        return _copies([(item.block.ctypes.data, self._address(item), item.part.size) for item in items])

    def get_pieces(self, items: Sequence[Item]) -> Call:
        """A copy for each piece."""
        copies = []
        for item in items:
            at = self._address(item)
            for piece in pieces_of(item.block):
                copies.append((piece.ctypes.data, at, piece.nbytes))
                at += piece.nbytes
        return _copies(copies)

    def put(self, items: Sequence[Item]) -> Call:
        """Copies to places that rotate over warm memory."""
        return _copies([(self._place(item.part), item.block.ctypes.data, item.part.size) for item in items])

    def put_pieces(self, items: Sequence[Item]) -> Call:
        """A copy for each piece."""
        copies = []
        for item in items:
            at = self._place(item.part)
            for piece in pieces_of(item.block):
                copies.append((at, piece.ctypes.data, piece.nbytes))
                at += piece.nbytes
        return _copies(copies)

    def _address(self, item: Item) -> int:
        held = self._held.get(item.part)
        if held is None:
            held = self._held[item.part] = self._make(item.part)
        return held.ctypes.data + item.number * item.part.size

    def _make(self, part: Part) -> Block:
        size = part.size
        memory = _shared(self._dataset.count(part) * size)
        for number in range(self._dataset.count(part)):
            memory[number * size : (number + 1) * size] = self._content.of(part, number)
        return memory

    def _place(self, part: Part) -> int:
        if self._written is None:
            self._written = _shared(_WRITTEN_BYTES)
            self._written.fill(1)
        if self._next + part.size > _WRITTEN_BYTES:
            self._next = 0
        at = self._next
        self._next += part.size
        return self._written.ctypes.data + at


def _shared(size: int) -> Block:
    return np.frombuffer(mmap.mmap(-1, size), np.uint8)


def _copies(copies: list[tuple[int, int, int]]) -> Call:
    if len(copies) == 1:
        return partial(_memmove, *copies[0])

    def copy_all() -> None:
        for to, source, size in copies:
            _memmove(to, source, size)

    return copy_all
