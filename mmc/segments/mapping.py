"""Memory of this process: a mapped file or any other buffer, as :class:`~mmc.segments.memory.Memory`.

The only file that touches a mapping.  ``struct`` must not: its copies of shared words tear, while
an item of ``memoryview.cast("Q")`` is one load or one store.  A mapping is never closed by hand:
it goes when the last view of it does, so that no copy in another thread can lose its ground.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
from typing import TYPE_CHECKING

import numpy as np

from mmc.segments.memory import BESIDE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    CopyOctets = Callable[[NDArray[np.uint8], NDArray[np.uint8]], None]
    """Copies all of its second argument to the first, of the same length."""


_UNLOCKED_COPY_BYTES = 1 << 18
_WORD_BYTES = 8
_MADV_POPULATE_READ = 22
_MADV_POPULATE_WRITE = 23
_POPULATE_STEP = 1 << 24
_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_FENCE = threading.Lock()


def fence() -> None:
    """Make all earlier stores visible before any later load: a locked instruction does that."""
    with _FENCE:
        pass


class BufferMemory:
    """A segment's memory over one contiguous buffer of whole words."""

    def __init__(self, buffer: mmap.mmap | bytearray) -> None:
        """The buffer is kept alive by this object and by every view that it gives out.

        ``copy_from`` and ``copy_to`` make its large copies; who has threads for that may replace them.
        """
        self._mapping = buffer if isinstance(buffer, mmap.mmap) else None
        self._bytes = memoryview(buffer).cast("B")
        self._array = np.frombuffer(self._bytes, np.uint64)
        self._octets = np.frombuffer(self._bytes, np.uint8)
        self._unchangeable = self._bytes.toreadonly()
        self._tables: dict[tuple[int, int, int], NDArray[np.uint64]] = {}
        self._base = address_of(self._bytes)
        self.words = self._bytes.cast("Q")
        self.find = buffer.find
        self.writable = not self._bytes.readonly
        self.fence = fence
        self.copy_from: CopyOctets = np.copyto
        self.copy_to: CopyOctets = np.copyto

    def __len__(self) -> int:
        """Bytes of memory."""
        return len(self._bytes)

    def is_whole(self) -> bool:
        """Whether the file is as long as what is mapped of it: one system call."""
        return self._mapping is None or self._mapping.size() >= len(self._bytes)

    def column(self, start: int, stride: int, count: int) -> list[int]:
        """Load ``count`` words from word ``start`` on, ``stride`` words apart."""
        if stride == 1:
            return self.words[start : start + count].tolist()
        column: list[int] = self._array[start : start + stride * count : stride].tolist()
        return column

    def array(self, start: int, stride: int, count: int) -> NDArray[np.uint64]:
        """The words of :meth:`column`, as an array of its own."""
        return self._array[start : start + stride * count : stride].copy()

    def rows(
        self, start: int, stride: int, width: int, numbers: NDArray[np.intp] | NDArray[np.uint32]
    ) -> NDArray[np.uint64]:
        """Copy rows of a table from word ``start`` on: ``width`` words of each, ``stride`` words apart."""
        table = self._tables.get((start, stride, width))
        if table is None:
            count = (len(self._array) - start) // stride
            table = self._array[start : start + count * stride].reshape(count, stride)[:, :width]
            self._tables[start, stride, width] = table
        return table.take(numbers, 0) if width == stride else table[numbers]

    def read(self, at: int, size: int) -> bytes:
        """Copy ``size`` bytes from byte ``at``."""
        return bytes(self._bytes[at : at + size])

    def copy_out(self, at: int, target: memoryview) -> None:
        """Copy from byte ``at`` into the whole of ``target``; large copies release the GIL."""
        size = target.nbytes
        if size < _UNLOCKED_COPY_BYTES:
            target[:] = self._bytes[at : at + size]
        else:
            self._check(at, size)
            self.copy_from(np.frombuffer(target, np.uint8), self._octets[at : at + size])

    def copy_out_each(self, at: int, targets: Sequence[memoryview], *, beside: bool = False) -> None:
        """Copy from byte ``at`` into buffers that follow one another; ``beside``: most release the GIL."""
        octets, every_byte = self._octets, self._bytes
        copy, least = (np.copyto, BESIDE_BYTES) if beside else (self.copy_from, _UNLOCKED_COPY_BYTES)
        for target in targets:
            end = at + target.nbytes
            if end - at < least:
                target[:] = every_byte[at:end]
            else:
                copy(np.frombuffer(target, np.uint8), octets[at:end])
            at = end

    def copy_in(self, at: int, source: memoryview) -> None:
        """Copy the whole of ``source`` to byte ``at``; large copies release the GIL."""
        size = source.nbytes
        if size < _UNLOCKED_COPY_BYTES:
            self._bytes[at : at + size] = source
        else:
            self._check(at, size)
            self.copy_to(self._octets[at : at + size], np.frombuffer(source, np.uint8))

    def view(self, at: int, size: int) -> memoryview:
        """Give a read-only window on ``size`` bytes, without a copy."""
        assert 0 <= at <= at + size <= len(self._unchangeable), "outside the segment"
        return self._unchangeable[at : at + size]

    def window(self, at: int, size: int) -> memoryview:
        """Give a window on ``size`` bytes to be written, without a copy."""
        self._check(at, size)
        return self._bytes[at : at + size]

    def address(self, at: int) -> int:
        """The address in this process of byte ``at``."""
        return self._base + at

    def populate(self, start: int, size: int, step: int) -> Iterator[None]:
        """Make pages present, in steps of ``step`` bytes that release the GIL; ends early if refused.

        Present in this process: page tables are each process's own.
        """
        advice = _MADV_POPULATE_WRITE if self.writable else _MADV_POPULATE_READ
        page = mmap.PAGESIZE
        end = min(start + size, len(self))
        at = start - start % page
        while at < end:
            length = min(step, end - at)
            if _LIBC.madvise(self._base + at, length, advice):
                return
            at += length
            yield

    def _check(self, at: int, size: int) -> None:
        assert 0 <= at <= at + size <= len(self._bytes), "outside the segment"


def populate_range(start: int, size: int) -> None:
    """Make the pages of a range of this process's memory present, as far as the kernel lets us."""
    for at in range(start, start + size, _POPULATE_STEP):
        if _LIBC.madvise(at, min(_POPULATE_STEP, start + size - at), _MADV_POPULATE_WRITE):
            return


def address_of(view: memoryview) -> int:
    """The address of the first byte of a contiguous, non-empty view."""
    address: int = np.frombuffer(view, np.uint8).__array_interface__["data"][0]
    return address


def map_descriptor(descriptor: int, size: int, *, writable: bool) -> BufferMemory:
    """Map a whole segment file; the descriptor may be closed afterwards, and its lock ends with it.

    An ``mmap`` keeps a copy of the descriptor that it is given, and a copy would hold the lock as long as
    any view of the memory lives, in a forked child too: it is given one of another open file.

    A forked child does not get the mapping.  Pins end with the process that made them, so that a child could
    read another object's bytes in a view of its dead parent: it is better stopped (SIGSEGV) than misled.
    """
    flags = os.O_RDWR if writable else os.O_RDONLY
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    unlocked = os.open(f"/proc/self/fd/{descriptor}", flags | os.O_CLOEXEC)
    try:
        mapping = mmap.mmap(unlocked, size, mmap.MAP_SHARED, protection)
    finally:
        os.close(unlocked)
    mapping.madvise(mmap.MADV_DONTFORK)
    return BufferMemory(mapping)


def heap_memory(size: int) -> BufferMemory:
    """Memory that only this process sees, of ``size`` bytes rounded up to whole words."""
    return BufferMemory(bytearray(size + -size % _WORD_BYTES))
