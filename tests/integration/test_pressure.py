"""A full pool: puts succeed while anything evictable is there, and are refused in time when nothing is."""

from __future__ import annotations

import time

from mmc.errors import Code
from tests.integration.processes import Cluster, content_of, wait_until

_SIZE = 3 << 20


def test_pinned_bytes_do_not_keep_eviction_from_starting() -> None:
    """With a removed object still in a view, further puts evict what can be evicted."""
    with Cluster(ranks=1) as cluster:
        client = cluster.client()
        client.put("viewed", content_of("viewed", _SIZE))
        with client.view("viewed") as memory:
            client.remove("viewed")
            for number in range(12):
                client.put(f"more-{number}", content_of(f"more-{number}", _SIZE), timeout=5)
            assert memory == content_of("viewed", _SIZE)


def test_a_pool_full_of_leases_refuses_and_then_accepts() -> None:
    """All leased, a put answers -3016, or -3004, by its deadline; once a lease ends it succeeds."""
    with Cluster(ranks=1) as cluster:
        client = cluster.client()
        size = 9 << 19
        keys = [f"leased-{number}" for number in range(3)]
        assert not any(client.put_batch(keys, [content_of(key, size) for key in keys]))
        assert not any(client.lease_batch(keys, 60000))
        began = time.monotonic()
        code = client.put_batch(["late"], [content_of("late", size)], timeout=2)[0]
        assert code in (Code.NO_SPACE, Code.TIMED_OUT)
        assert time.monotonic() - began < 3
        for key in keys:
            assert client.get(key) == content_of(key, size)
        client.remove_lease(keys[1])
        wait_until(
            lambda: client.put_batch(["late"], [content_of("late", size)])[0] == Code.OK,
            "the put succeeds",
        )
        assert [client.exist(key) for key in keys] == [True, False, True]


def test_the_coldest_objects_go_first_and_what_was_read_stays() -> None:
    """Eviction takes the least recently used: what is read again and again outlives what is not."""
    with Cluster(ranks=1) as cluster:
        client = cluster.client()
        client.put("hot", content_of("hot", 65536))
        client.put("cold", content_of("cold", 65536))
        for number in range(600):
            key = f"stream-{number}"
            client.put(key, content_of(key, 65536))
            assert client.get("hot") == content_of("hot", 65536), number
        assert not client.exist("cold")
        assert cluster.rank_counters(client)[0]["evictions"] > 250
