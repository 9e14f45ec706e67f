"""memcached, through pymemcache, over a unix socket."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, cast

from mmc.bench.stores.contract import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.bench.dataset import Block
    from mmc.bench.stores.contract import Call, Item

_TIMEOUT_S = 30.0
_AT_ONCE = 64


class MemcachedStore(Store):
    """A client of a memcached server."""

    gives_bytes = True

    def __init__(self, socket: str) -> None:
        """Connect."""
        client = import_module("pymemcache.client.base")
        self._client = client.Client(socket, default_noreply=False, timeout=_TIMEOUT_S)
        self._client.version()

    def get(self, items: Sequence[Item]) -> Call:
        """``get``, or ``get_many``."""
        if len(items) == 1:
            return partial(self._client.get, items[0].key)
        return partial(self._client.get_many, [item.key for item in items])

    def put(self, items: Sequence[Item]) -> Call:
        """``set``, or ``set_many``, of bytes that were made beforehand: the client takes nothing else."""
        if len(items) == 1:
            return partial(self._client.set, items[0].key, items[0].block.tobytes())
        return partial(self._client.set_many, {item.key: item.block.tobytes() for item in items})

    def succeeded(self, result: object, count: int) -> bool:
        """``set_many`` returns the keys that failed."""
        return not (result is False or (isinstance(result, list) and result))

    def exist(self, keys: Sequence[str]) -> Call:
        """A meta get without the value; of several ``get_many``, as the client can ask for no less."""
        if len(keys) == 1:
            return partial(self._client.raw_command, b"mg " + keys[0].encode())
        return partial(self._client.get_many, list(keys))

    def found(self, result: object, keys: Sequence[str]) -> list[bool]:
        """HD for a hit; or a dictionary of what was found."""
        if isinstance(result, bytes):
            return [result == b"HD"]
        there = cast("dict[str, bytes]", result)
        return [key in there for key in keys]

    def contents(self, result: object, items: Sequence[Item]) -> list[bytes | Block | None]:
        """Bytes, or a dictionary of them."""
        if len(items) == 1:
            return [cast("bytes | None", result)]
        found = cast("dict[str, bytes]", result)
        return [found.get(item.key) for item in items]

    def remove(self, keys: Sequence[str]) -> None:
        """``delete_many`` of a few: it reads no answer before it has sent every request."""
        for at in range(0, len(keys), _AT_ONCE):
            self._client.delete_many(keys[at : at + _AT_ONCE])

    def close(self) -> None:
        """Disconnect."""
        self._client.close()
