"""The asynchronous client has every call of the blocking one."""

import asyncio
import contextlib

import numpy as np
import pytest

import mmc
from mmc.errors import Code
from tests.integration.processes import Cluster, content_of

_BLOCKING_ALONE = {"run", "check", "connection", "meta_url", "local_rank", "traffic"}
"""What the other has for its own use, or what is asked of no service."""


def test_it_has_every_call() -> None:
    """Whatever one can ask for can be awaited."""
    blocking = {name for name in dir(mmc.Client) if not name.startswith("_")}
    awaited = {name for name in dir(mmc.AsyncClient) if not name.startswith("_")}
    assert blocking - awaited == _BLOCKING_ALONE


def test_views_leases_drains_and_status() -> None:
    """They do what the blocking ones do."""

    async def work(url: str) -> None:
        async with await mmc.AsyncClient.connect(url) as client:
            await client.wait_for_ranks(2)
            await client.wait_for_rank(1)
            await client.put("k", content_of("k", 50_000))
            with await client.view("k") as memory:
                assert memory == content_of("k", 50_000)
            with pytest.raises(mmc.NotFound):
                await client.view("none")
            assert await client.read_batch(["k", "none"]) == (
                [content_of("k", 50_000), None],
                [Code.OK, Code.NOT_FOUND],
            )
            assert 50 < await client.add_lease("k", 60_000) < 60
            with pytest.raises(mmc.CacheError) as leased:
                await client.remove("k")
            assert leased.value.code == Code.LEASED
            await client.remove_lease("k")
            with pytest.raises(mmc.NotFound):
                await client.drain_status(1)
            assert (await client.drain(1)).rank == 1
            state = "running"
            while state == "running":
                state = (await client.drain_status(1)).state
            assert state == "drained"
            assert (await client.cancel_drain(1)).state == "cancelled"
            assert dict((await client.status()).counters)["objects"] == 1
            await client.remove("k")

    with Cluster(2) as cluster:
        asyncio.run(work(cluster.meta_url))


def test_a_cancelled_view_pins_nothing() -> None:
    """Its slot is free again, and the space of the object too."""

    async def work(url: str) -> None:
        async with await mmc.AsyncClient.connect(url) as client:
            await client.wait_for_ranks(1)
            for turn in range(20):
                await client.put(f"k{turn}", np.ones(1 << 20, np.uint8))
                task = asyncio.create_task(client.view(f"k{turn}"))
                await asyncio.sleep(0)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    (await task).close()
                await client.remove(f"k{turn}")
            await client.put("all", np.ones(12 << 20, np.uint8))

    with Cluster(1) as cluster:
        asyncio.run(work(cluster.meta_url))


def test_what_is_wrong_with_a_key_is_said() -> None:
    """Not the key, which may be long, but what is the matter with it."""
    with mmc.embedded("2MB") as client:
        for key, reason in {"": "1 to 255 bytes, not 0", "k" * 999: "not 999", "a\0": "NUL"}.items():
            with pytest.raises(mmc.InvalidArgument, match=reason) as refused:
                client.put(key, b"x")
            assert len(str(refused.value)) < 100
            with pytest.raises(mmc.InvalidArgument, match=reason):
                client.get(key)
        with pytest.raises(mmc.InvalidArgument, match="at least one byte"):
            client.put("empty", b"")
        with pytest.raises(mmc.NotFound) as missing:
            client.get("long" * 60)
        assert len(str(missing.value)) < 150
