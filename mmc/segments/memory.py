"""What the layout needs of a segment's memory; :mod:`mmc.segments.mapping` gives it for real.

1. A shared word is read and written only as one aligned 8-byte word, which is one load or store of
   the machine.  Copies of several words at once promise nothing beyond that.
2. x86 keeps the order of stores and the order of loads, but lets a load pass an earlier store of the
   same processor.  Wherever a store must be seen before a following load, ``fence()`` stands
   between them.  (Other processors may reorder more: the README says what that means.)
3. Nothing here knows what the words mean; that is :mod:`mmc.segments.layout`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


BESIDE_BYTES = 1 << 17
"""So many bytes in one piece are worth letting others have the interpreter while they are copied."""


class Words(Protocol):
    """An array of shared 64-bit words."""

    def __getitem__(self, at: int, /) -> int:
        """Load one word."""
        ...

    def __setitem__(self, at: int, value: int, /) -> None:
        """Store one word."""
        ...


class Memory(Protocol):
    """One segment's memory."""

    @property
    def words(self) -> Words:
        """The memory as shared words."""
        ...

    @property
    def writable(self) -> bool:
        """Whether this process may store."""
        ...

    def is_whole(self) -> bool:
        """Whether all of it is there still: a file may have been truncated under it."""
        ...

    def fence(self) -> None:
        """Make all earlier stores visible before any later load."""
        ...

    def column(self, start: int, stride: int, count: int) -> list[int]:
        """Load ``count`` words from word ``start`` on, ``stride`` words apart."""
        ...

    def array(self, start: int, stride: int, count: int) -> NDArray[np.uint64]:
        """The words of :meth:`column`, as an array of its own."""
        ...

    def rows(
        self, start: int, stride: int, width: int, numbers: NDArray[np.intp] | NDArray[np.uint32]
    ) -> NDArray[np.uint64]:
        """Copy rows of a table from word ``start`` on: ``width`` words of each, ``stride`` words apart."""
        ...

    def find(self, sought: bytes, start: int, end: int) -> int:
        """The first byte from which on these bytes stand between two others, or -1."""
        ...

    def read(self, at: int, size: int) -> bytes:
        """Copy ``size`` bytes from byte ``at``."""
        ...

    def copy_out(self, at: int, target: memoryview) -> None:
        """Copy from byte ``at`` into the whole of ``target``."""
        ...

    def copy_out_each(self, at: int, targets: Sequence[memoryview], *, beside: bool = False) -> None:
        """Copy from byte ``at`` into buffers that follow one another; ``beside``: other threads copy, too."""
        ...

    def copy_in(self, at: int, source: memoryview) -> None:
        """Copy the whole of ``source`` to byte ``at``."""
        ...

    def view(self, at: int, size: int) -> memoryview:
        """Give a read-only window on ``size`` bytes, without a copy."""
        ...
