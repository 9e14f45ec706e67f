"""What a measurement asks of a store: operations made ready beforehand, so that the call alone is timed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mmc.bench.dataset import Block, Part

Call = Callable[[], object]


class Item(NamedTuple):
    """One object of a call: to be read into ``block``, or written from it."""

    key: str
    part: Part
    number: int
    block: Block


class Where(NamedTuple):
    """How a process reaches a store: a URL or a socket, and ``amount``.

    That is how many ranks there are (this cache), or how many bytes the process brings (Mooncake).
    """

    column: str
    address: str = ""
    amount: int = 0


class Store(ABC):
    """A store as one process uses it.

    An operation is returned as a call without arguments; None: this store has no such operation.
    """

    gives_bytes = False
    """Whether a get returns the objects' bytes instead of writing them into blocks."""
    keeps = True
    """Whether what was put can be read again: a floor keeps nothing."""

    brings_memory = False
    """Whether what is put must lie in memory of the store, too, as what is read into does."""

    def memory(self, size: int) -> Block:
        """Memory for blocks, of so many bytes."""
        return np.zeros(size, np.uint8)

    def adopt(self, memory: Block) -> None:  # noqa: B027 - most stores need not know
        """Every block lies in memory that is announced here first."""

    @abstractmethod
    def get(self, items: Sequence[Item]) -> Call | None:
        """Read objects."""

    def get_pieces(self, items: Sequence[Item]) -> Call | None:
        """Read large objects into their pieces."""
        return None

    @abstractmethod
    def put(self, items: Sequence[Item]) -> Call | None:
        """Store objects."""

    def put_pieces(self, items: Sequence[Item]) -> Call | None:
        """Store large objects from their pieces."""
        return None

    def exist(self, keys: Sequence[str]) -> Call | None:
        """Ask which keys are there."""
        return None

    def view(self, key: str) -> Call | None:
        """Have an object's bytes in place, and let go of them."""
        return None

    def found(self, result: object, keys: Sequence[str]) -> list[bool]:
        """What the result of an ``exist`` says of each key."""
        raise NotImplementedError

    def succeeded(self, result: object, count: int) -> bool:
        """Whether the result of a get or a put says that all went well."""
        return True

    def contents(self, result: object, items: Sequence[Item]) -> list[bytes | Block | None]:
        """The bytes that a get has brought, one buffer an object; None: it was not there."""
        return [item.block for item in items]

    def remove(self, keys: Sequence[str]) -> None:  # noqa: B027 - a floor stores nothing
        """Have the space of these objects free again."""

    def messages(self) -> int | None:
        """How many requests the service behind it has handled; None where nobody can tell."""
        return None

    def travelled(self) -> int | None:
        """Bytes of objects that went over the network so far; None where nobody counts."""
        return None

    def close(self) -> None:  # noqa: B027 - a floor holds nothing
        """Let go of everything."""
