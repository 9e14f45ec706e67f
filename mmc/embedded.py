"""``mmc.embedded``: a store with everything in the caller's process."""

from __future__ import annotations

import atexit
import os
from typing import TYPE_CHECKING

from mmc.client import Client
from mmc.config import load_config, with_local
from mmc.errors import InvalidArgument
from mmc.services.embedded import EmbeddedCluster

if TYPE_CHECKING:
    from mmc.config import Config

_MOST_RANKS = 64


def embedded(dram: str | int | None = None, *, ranks: int = 1, config: Config | None = None) -> Client:
    """A client with a broker, a meta service and ``ranks`` local services of its own.

    Closing the client stops them and frees the memory.

    Args:
        dram: the pool of each rank, like ``"1GB"``; None: ``local.dram`` of the configuration.
        ranks: 1 to 64.
        config: limits; None: the defaults.

    Raises:
        InvalidArgument: the size or the number of ranks makes no sense.
        CacheError: -3001 not enough shared memory, -3002 the segment directory cannot be used.
    """
    if not 1 <= ranks <= _MOST_RANKS:
        raise InvalidArgument(f"ranks must be 1 to {_MOST_RANKS}, not {ranks}")
    used = config or load_config()
    if dram is not None:
        used = with_local(used, dram=str(dram))
    cluster = EmbeddedCluster(used, ranks)
    process = os.getpid()

    def close() -> None:
        """A program that ends leaves no memory behind; its forked children leave it alone."""
        if os.getpid() == process:
            client.close()

    def stop() -> None:
        atexit.unregister(close)
        cluster.stop()

    try:
        client = Client(cluster.meta_url, used, context=cluster.context, on_close=stop)
        client.wait_for_ranks(ranks)
    except BaseException:  # boundary: clears away and raises again
        cluster.stop()
        raise
    atexit.register(close)
    return client
