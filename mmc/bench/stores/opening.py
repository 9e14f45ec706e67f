"""Opens a store by the name of its column; nothing of a peer is imported before that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.bench.columns import (
    BARE,
    FAR,
    MEMCACHED,
    MEMMOVE,
    MOONCAKE,
    MOONCAKE_SHM,
    MOONCAKE_TCP,
    OURS,
    REDIS,
    SOCKET,
)
from mmc.bench.stores.bare import Bare
from mmc.bench.stores.memcached_peer import MemcachedStore
from mmc.bench.stores.memmove import Memmove
from mmc.bench.stores.mooncake_peer import MooncakeSidecarStore, MooncakeStore
from mmc.bench.stores.ours import FarStore, OurStore
from mmc.bench.stores.redis_peer import RedisStore
from mmc.bench.stores.socket_floor import SocketStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmc.bench.dataset import Content, Dataset
    from mmc.bench.stores.contract import Store, Where


def open_store(where: Where, dataset: Dataset, content: Content) -> Store:
    """A store, reached as told.

    Raises:
        CacheError: it cannot be reached.
        OSError: it cannot be reached.
    """
    openings: dict[str, Callable[[], Store]] = {
        OURS: lambda: OurStore(where.address, where.amount),
        FAR: lambda: FarStore(where.address),
        SOCKET: lambda: SocketStore(where.address),
        MEMMOVE: lambda: Memmove(dataset, content),
        BARE: lambda: Bare(where.address),
        REDIS: lambda: RedisStore(where.address),
        MEMCACHED: lambda: MemcachedStore(where.address),
        MOONCAKE: lambda: MooncakeStore().join(where.address, where.amount),
        MOONCAKE_TCP: lambda: MooncakeStore().join(where.address, where.amount),
        MOONCAKE_SHM: lambda: MooncakeSidecarStore().attach(where.address),
    }
    return openings[where.column]()
