"""Redis, through redis-py with hiredis as its parser, over a unix socket."""

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


class RedisStore(Store):
    """A client of a Redis server."""

    gives_bytes = True

    def __init__(self, socket: str) -> None:
        """Connect."""
        import_module("hiredis")
        redis = import_module("redis")
        self._client = redis.Redis(unix_socket_path=socket, socket_timeout=_TIMEOUT_S)
        self._client.ping()

    def get(self, items: Sequence[Item]) -> Call:
        """GET, or MGET."""
        if len(items) == 1:
            return partial(self._client.get, items[0].key)
        return partial(self._client.mget, [item.key for item in items])

    def put(self, items: Sequence[Item]) -> Call:
        """SET, or MSET."""
        if len(items) == 1:
            return partial(self._client.set, items[0].key, items[0].block.data)
        return partial(self._client.mset, {item.key: item.block.data for item in items})

    def exist(self, keys: Sequence[str]) -> Call:
        """EXISTS, one after the other in a pipeline."""
        if len(keys) == 1:
            return partial(self._client.exists, keys[0])

        def ask() -> object:
            pipeline = self._client.pipeline(transaction=False)
            for key in keys:
                pipeline.exists(key)
            return pipeline.execute()

        return ask

    def found(self, result: object, keys: Sequence[str]) -> list[bool]:
        """Numbers."""
        return [result == 1] if isinstance(result, int) else [one == 1 for one in cast("list[int]", result)]

    def contents(self, result: object, items: Sequence[Item]) -> list[bytes | Block | None]:
        """Bytes."""
        return [result] if len(items) == 1 else result  # type: ignore[list-item,return-value] # what GET and MGET give

    def remove(self, keys: Sequence[str]) -> None:
        """DEL."""
        self._client.delete(*keys)

    def close(self) -> None:
        """Disconnect."""
        self._client.close()
