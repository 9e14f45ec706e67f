"""Memory that callers name by address: ``(address, size)`` as a buffer, and what they have registered.

Whether an address is the caller's to read or write nobody can check: a wrong one ends the process, as it does
in C.  Null, a size of 0, and ranges beyond the address space are refused.
"""

from __future__ import annotations

import bisect
import ctypes
import mmap
import operator
from collections.abc import Sized
from typing import TYPE_CHECKING

from mmc.errors import Code, InvalidArgument, error_for
from mmc.segments.mapping import populate_range

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import SupportsIndex

_SPACE = 1 << 64
_FLAGS = {False: 0x100, True: 0x200}  # PyBUF_READ, PyBUF_WRITE
_from_memory = ctypes.pythonapi.PyMemoryView_FromMemory
_from_memory.argtypes = (ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int)
_from_memory.restype = ctypes.py_object
_LONGEST = (1 << 63) - 1


def address_of_argument(pointer: SupportsIndex | ctypes.c_void_p) -> int:
    """An address, from an integer or a ctypes pointer.

    Raises:
        InvalidArgument: null, or not an address.
    """
    if isinstance(pointer, ctypes.c_void_p):
        pointer = pointer.value or 0
    try:
        address = operator.index(pointer)
    except TypeError:
        raise InvalidArgument(f"an address must be an integer, not {type(pointer).__name__}") from None
    if not 0 < address < _SPACE:
        raise InvalidArgument(f"address {address:#x}: null, or none at all")
    return address


def bytes_at(pointer: SupportsIndex | ctypes.c_void_p, size: SupportsIndex, *, writable: bool) -> memoryview:
    """``size`` bytes from an address on.  They are the caller's, and must stay while this is used.

    Raises:
        InvalidArgument: null, a size that is not positive, or beyond the address space.
    """
    address = address_of_argument(pointer)
    try:
        length = operator.index(size)
    except TypeError:
        raise InvalidArgument(f"a size must be an integer, not {type(size).__name__}") from None
    if not 0 < length <= _LONGEST or address + length > _SPACE:
        raise InvalidArgument(f"{length} bytes at {address:#x}")
    view: memoryview = _from_memory(address, length, _FLAGS[writable])
    return view


def pieces_at(
    pointers: Sequence[SupportsIndex], sizes: Sequence[SupportsIndex], most: int, *, writable: bool
) -> list[memoryview]:
    """Pieces of memory that follow one another in an object.

    Raises:
        InvalidArgument: not as many sizes as pointers, none, more than ``most``, or one of them is no memory.
    """
    if not isinstance(pointers, Sized) or not isinstance(sizes, Sized):
        raise InvalidArgument("buffers and sizes must be lists")
    if len(pointers) != len(sizes):
        raise InvalidArgument(f"{len(pointers)} buffers and {len(sizes)} sizes")
    if not 0 < len(pointers) <= most:
        raise InvalidArgument(f"an object must have 1 to {most} buffers, not {len(pointers)}")
    return [bytes_at(at, size, writable=writable) for at, size in zip(pointers, sizes, strict=True)]


class RegisteredRanges:
    """Ranges of the caller's memory; their pages are made present, so that first copies run at full speed."""

    def __init__(self) -> None:
        """None is registered."""
        self._ranges: list[tuple[int, int]] = []

    def register(self, pointer: SupportsIndex, size: SupportsIndex) -> None:
        """Take a range up.

        Raises:
            CacheError: -3000, no memory, or it overlaps a registered range; -3005, it is registered.
        """
        memory = bytes_at(pointer, size, writable=True)
        start = address_of_argument(pointer)
        end = start + memory.nbytes
        if (start, end) in self._ranges:
            raise error_for(Code.REPEATED_CALL, f"register_buffer of {memory.nbytes} bytes at {start:#x}")
        at = bisect.bisect(self._ranges, (start, end))
        before, after = self._ranges[:at][-1:], self._ranges[at : at + 1]
        if any(other_end > start for _, other_end in before) or any(other < end for other, _ in after):
            raise InvalidArgument(f"{memory.nbytes} bytes at {start:#x} overlap a registered range")
        self._ranges.insert(at, (start, end))
        first = start - start % mmap.PAGESIZE
        populate_range(first, end - first)

    def unregister(self, pointer: SupportsIndex, size: SupportsIndex) -> None:
        """Let a range go.

        Raises:
            InvalidArgument: exactly this range is not registered.
        """
        memory = bytes_at(pointer, size, writable=True)
        start = address_of_argument(pointer)
        try:
            self._ranges.remove((start, start + memory.nbytes))
        except ValueError:
            raise InvalidArgument(f"{memory.nbytes} bytes at {start:#x} are not registered") from None

    def clear(self) -> None:
        """Let all go."""
        self._ranges.clear()
