"""Listing keys and telling hits, over a cluster in this process and over real sockets."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

import mmc
from mmc.config import Config, load_config
from mmc.errors import Code
from tests.integration.processes import Cluster, wait_until

KEYS = [f"prompt/{number}" for number in range(20)]
ODD_KEY = b"odd/\xff\x00".replace(b"\x00", b"\x01")


def small_pages() -> Config:
    """Limits under which a listing takes many pages, and hits are told often."""
    config = load_config()
    return replace(config, client=replace(config.client, keys_per_message=3, report_ms=50))


def test_every_key_is_listed_once() -> None:
    """Over many pages each key comes once, whatever its replicas, and goes where every call takes keys."""
    with mmc.embedded(dram="16MB", ranks=2, config=small_pages()) as cache:
        assert list(cache.keys()) == []
        assert set(cache.put_batch(KEYS, [b"x"] * len(KEYS), replicas=2)) == {Code.OK}
        cache.put(ODD_KEY, b"odd")
        cache.put("other", b"other")
        wait_until(lambda: len(list(cache.keys())) == len(KEYS) + 2, "all are confirmed")
        assert sorted(cache.keys("prompt/")) == sorted(KEYS)
        assert sorted(cache.keys()) == sorted([*KEYS, "other", "odd/\udcff\x01"])
        assert [cache.get(key) for key in cache.keys("odd/")] == [b"odd"]
        listing = cache.keys("prompt/")
        seen = [next(listing)]
        assert cache.remove_batch(sorted(set(KEYS) - set(seen))) == [Code.OK] * (len(KEYS) - 1)
        assert set(listing) <= set(KEYS)
        assert list(cache.keys(b"prompt/")) == seen


def counters(cache: mmc.Client) -> tuple[int, int]:
    """Gets and hits as status tells them."""
    known = dict(cache.status().counters)
    return known["gets"], known["hits"]


def test_gets_and_views_are_told_as_hits_and_misses() -> None:
    """Objects asked for and found arrive at the meta service; asking whether one is there does not count."""
    with mmc.embedded(dram="16MB", config=small_pages()) as cache:
        cache.put_batch(KEYS, [b"x"] * len(KEYS))
        cache.get_batch([*KEYS, "missing"])
        cache.get_into(KEYS[0], bytearray(1))
        with cache.view(KEYS[1]):
            pass
        with pytest.raises(mmc.NotFound):
            cache.view("missing")
        cache.exist_batch([*KEYS, "missing"])
        wait_until(lambda: counters(cache) == (len(KEYS) + 4, len(KEYS) + 2), "all is told")


def test_other_processes_list_and_their_hits_remain() -> None:
    """Blocking and asynchronous clients list alike; what they found stays known when they are gone."""
    with Cluster(ranks=1) as cluster:
        client = cluster.client()
        client.put_batch(KEYS, [b"x"] * len(KEYS))
        wait_until(lambda: sorted(client.keys()) == sorted(KEYS), "all are confirmed")

        async def use() -> list[str]:
            async with await mmc.AsyncClient.connect(cluster.meta_url, small_pages()) as other:
                await other.wait_for_ranks(1)
                assert await other.get_batch([KEYS[0], "missing"]) == [b"x", None]
                return [key async for key in other.keys("prompt/1")]

        assert sorted(asyncio.run(use())) == sorted(key for key in KEYS if key.startswith("prompt/1"))
        wait_until(lambda: counters(client) == (2, 1), "the other has told at its goodbye")
