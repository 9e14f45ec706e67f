"""Mooncake Store, through its Python package: objects held by this process, or by another.

Another process is reached over TCP, or through memory that it shares with this one: the "real client" beside.
"""

from __future__ import annotations

import ctypes
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Self, cast

import numpy as np

from mmc.bench.dataset import pieces_of
from mmc.bench.stores.contract import Store
from mmc.errors import CannotCreate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.bench.dataset import Block
    from mmc.bench.stores.contract import Call, Item

_BUFFER_BYTES = 64 << 20
_SHARED_BYTES = 256 << 20
_HOST = "127.0.0.1"


class MooncakeStore(Store):
    """A client of a Mooncake master."""

    def __init__(self) -> None:
        """Not joined yet."""
        self._store = import_module("mooncake.store").MooncakeDistributedStore()

    def join(self, master: str, bytes_held: int) -> Self:
        """Join, and bring so many bytes of memory, or none.

        Raises:
            CannotCreate: the master does not take it.
        """
        code = self._store.setup(_HOST, "P2PHANDSHAKE", bytes_held, _BUFFER_BYTES, "tcp", "", master)
        if code:
            raise CannotCreate(f"Mooncake's setup answered {code}")
        return self

    def adopt(self, memory: Block) -> None:
        """Registers the memory."""
        code = self._store.register_buffer(memory.ctypes.data, memory.nbytes)
        if code:
            raise CannotCreate(f"Mooncake's register_buffer answered {code}")

    def get(self, items: Sequence[Item]) -> Call:
        """``get_into``, or ``batch_get_into``."""
        if len(items) == 1:
            return partial(self._store.get_into, *_place(items[0]))
        return partial(self._store.batch_get_into, *_places(items))

    def get_pieces(self, items: Sequence[Item]) -> Call:
        """``batch_get_into_multi_buffers``."""
        return partial(self._store.batch_get_into_multi_buffers, *_pieces(items))

    def put(self, items: Sequence[Item]) -> Call:
        """``put_from``, or ``batch_put_from``."""
        if len(items) == 1:
            return partial(self._store.put_from, *_place(items[0]))
        return partial(self._store.batch_put_from, *_places(items))

    def put_pieces(self, items: Sequence[Item]) -> Call:
        """``batch_put_from_multi_buffers``."""
        return partial(self._store.batch_put_from_multi_buffers, *_pieces(items))

    def exist(self, keys: Sequence[str]) -> Call:
        """``is_exist``, or ``batch_is_exist``."""
        if len(keys) == 1:
            return partial(self._store.is_exist, keys[0])
        return partial(self._store.batch_is_exist, list(keys))

    def found(self, result: object, keys: Sequence[str]) -> list[bool]:
        """Numbers."""
        return [result == 1] if isinstance(result, int) else [one == 1 for one in cast("list[int]", result)]

    def succeeded(self, result: object, count: int) -> bool:
        """Negative numbers are failures."""
        codes = [result] if isinstance(result, int) else cast("list[int]", result)
        return all(code >= 0 for code in codes)

    def remove(self, keys: Sequence[str]) -> None:
        """``remove``, whatever lease there is."""
        for key in keys:
            self._store.remove(key, True)

    def close(self) -> None:
        """Leave."""
        self._store.close()


class MooncakeSidecarStore(MooncakeStore):
    """A "dummy client": what it is asked is done by a client process beside it, in memory that they share."""

    brings_memory = True

    def attach(self, client: str) -> Self:
        """Use the client process that serves at this address.

        Raises:
            CannotCreate: it does not take us.
        """
        code = self._store.setup_dummy(_SHARED_BYTES, _BUFFER_BYTES, client)
        if code:
            raise CannotCreate(f"Mooncake's setup_dummy answered {code}")
        return self

    def memory(self, size: int) -> Block:
        """Shared memory, registered: all that the process beside can read and write."""
        address = self._store.alloc_from_mem_pool(size)
        if not address:
            raise CannotCreate(f"Mooncake's alloc_from_mem_pool has no {size} bytes")
        memory: Block = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
        super().adopt(memory)
        return memory

    def adopt(self, memory: Block) -> None:
        """Nothing: it was registered when it was made."""


def _place(item: Item) -> tuple[str, int, int]:
    return item.key, item.block.ctypes.data, item.block.nbytes


def _places(items: Sequence[Item]) -> tuple[list[str], list[int], list[int]]:
    keys, addresses, sizes = zip(*map(_place, items), strict=True)
    return list(keys), list(addresses), list(sizes)


def _pieces(items: Sequence[Item]) -> tuple[list[str], list[list[int]], list[list[int]]]:
    parts = [pieces_of(item.block) for item in items]
    addresses = [[piece.ctypes.data for piece in pieces] for pieces in parts]
    sizes = [[piece.nbytes for piece in pieces] for pieces in parts]
    return [item.key for item in items], addresses, sizes
