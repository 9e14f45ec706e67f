"""``KeyInfo``: what the Python interface tells of one object; directions and media as numbers."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Direction(IntEnum):
    """Where bytes are copied from and to: L device, G global (the pool), H host memory."""

    L2G = 0
    G2L = 1
    G2H = 2
    H2G = 3
    AUTO = 9


class Medium(IntEnum):
    """What a replica lies in."""

    HBM = 0
    DRAM = 1
    SSD = 2


INTO_POOL: Final = (Direction.L2G, Direction.H2G)
OUT_OF_POOL: Final = (Direction.G2L, Direction.G2H)


class KeyInfo:
    """An object's size and replicas; all empty where there is no object."""

    __slots__ = ("_addresses", "_ranks", "_size")

    def __init__(
        self, size: int = 0, ranks: tuple[int, ...] = (), addresses: list[int] | None = None
    ) -> None:
        """``addresses`` are those of the replicas in this process."""
        self._size = size
        self._ranks = ranks
        self._addresses = addresses or []

    def size(self) -> int:
        """Bytes."""
        return self._size

    def loc_list(self) -> list[int]:
        """The rank of each replica."""
        return list(self._ranks)

    def type_list(self) -> list[int]:
        """The medium of each replica: 0 HBM, 1 DRAM, 2 SSD."""
        return [int(Medium.DRAM)] * len(self._ranks)

    def gva_list(self) -> list[int]:
        """The address of each replica, for ``batch_copy``; 0 where this process has not mapped it.

        Base + offset means a part of the object.  An address means these bytes for as long as the replica
        lives, which a lease promises; a copy from it after that answers -3007.
        """
        return list(self._addresses)

    def __repr__(self) -> str:
        """All of it."""
        return (
            f"KeyInfo(size={self._size}, loc_list={self.loc_list()}, type_list={self.type_list()}, "
            f"gva_list=[{', '.join(map(hex, self._addresses))}])"
        )
