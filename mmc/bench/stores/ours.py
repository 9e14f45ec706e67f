"""This cache, through its blocking client."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mmc.bench.dataset import pieces_of
from mmc.bench.stores.contract import Store
from mmc.client import Client
from mmc.config import load_config
from mmc.errors import Code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.bench.stores.contract import Call, Item

_PATIENCE_S = 60.0
_COUNTED = ("alloc", "batch_alloc", "query", "batch_query", "update_state", "batch_update_state")


class OurStore(Store):
    """A client of the cluster that is measured."""

    def __init__(self, meta_url: str, ranks: int) -> None:
        """Connect, and see every rank."""
        self.client = Client(meta_url)
        self.client.wait_for_ranks(ranks, timeout=_PATIENCE_S)

    def get(self, items: Sequence[Item]) -> Call:
        """``get_into``, or ``get_into_batch``."""
        if len(items) == 1:
            return partial(self.client.get_into, items[0].key, items[0].block)
        blocks = [item.block for item in items]
        return partial(self.client.get_into_batch, [item.key for item in items], blocks)

    def get_pieces(self, items: Sequence[Item]) -> Call:
        """The same with lists of buffers."""
        pieces = [pieces_of(item.block) for item in items]
        if len(items) == 1:
            return partial(self.client.get_into, items[0].key, pieces[0])
        return partial(self.client.get_into_batch, [item.key for item in items], pieces)

    def put(self, items: Sequence[Item]) -> Call:
        """``put``, or ``put_batch``."""
        if len(items) == 1:
            return partial(self.client.put, items[0].key, items[0].block, timeout=_PATIENCE_S)
        blocks = [item.block for item in items]
        return partial(self.client.put_batch, [item.key for item in items], blocks, timeout=_PATIENCE_S)

    def put_pieces(self, items: Sequence[Item]) -> Call:
        """The same with lists of buffers."""
        pieces = [pieces_of(item.block) for item in items]
        keys = [item.key for item in items]
        return partial(self.client.put_batch, keys, pieces, timeout=_PATIENCE_S)

    def exist(self, keys: Sequence[str]) -> Call:
        """``exist``, or ``exist_batch``."""
        if len(keys) == 1:
            return partial(self.client.exist, keys[0])
        return partial(self.client.exist_batch, list(keys))

    def view(self, key: str) -> Call:
        """``view``, opened and closed."""
        view = self.client.view

        def look() -> None:
            with view(key):
                pass

        return look

    def found(self, result: object, keys: Sequence[str]) -> list[bool]:
        """A truth value, or codes."""
        return [result] if isinstance(result, bool) else [code == Code.OK for code in _codes(result)]

    def succeeded(self, result: object, count: int) -> bool:
        """A single call has raised otherwise; a batch has codes."""
        return result is None or not any(_codes(result))

    def remove(self, keys: Sequence[str]) -> None:
        """``remove_batch``."""
        self.client.remove_batch(keys, timeout=_PATIENCE_S)

    def messages(self) -> int:
        """Claims, look-ups and confirmations that the meta service has handled, each through the broker."""
        counters = dict(self.client.status().counters)
        return sum(counters[f"{name}_requests"] for name in _COUNTED)

    def close(self) -> None:
        """Close the client."""
        self.client.close()


class FarStore(OurStore):
    """A client that cannot open our segments, as one of another host."""

    def __init__(self, meta_url: str) -> None:
        """Connect."""
        self.client = Client(meta_url, load_config(overrides={"client": {"map_segments": False}}))

    def travelled(self) -> int:
        """Bytes of objects that went between this client and data servers, either way."""
        counters = self.client.traffic()
        return counters["remote_read_bytes"] + counters["remote_written_bytes"]


def _codes(result: object) -> list[Code]:
    assert isinstance(result, list)
    return result
