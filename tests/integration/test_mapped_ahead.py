"""A client maps the memory of this host's ranks before it copies from it, unless it is told not to."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mmc.client import Client
from mmc.config import load_config
from tests.integration.processes import Cluster, wait_until

_POOL_BYTES = 16 << 20


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """One rank."""
    with Cluster(ranks=1, dram=str(_POOL_BYTES)) as cluster:
        yield cluster


def present_bytes(client: Client) -> int:
    """How much of the rank's segment has pages in this process's page tables."""
    (member,) = client.connection.actor.members.values()
    present = 0
    is_segment = False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            is_segment = words[-1] == member.path
        elif is_segment and words[0] == "Rss:":
            present += int(words[1]) * 1024
    return present


def test_memory_is_mapped_in_the_background(cluster: Cluster) -> None:
    """Without a read or a put, all of the pool is there after a while."""
    with Client(cluster.meta_url) as client:
        client.wait_for_ranks(1)
        wait_until(lambda: present_bytes(client) >= _POOL_BYTES, "the pool is mapped")


def test_memory_is_not_mapped_where_that_is_not_wanted(cluster: Cluster) -> None:
    """``populate = false``: what was not used is not there."""
    config = load_config()
    config = replace(config, client=replace(config.client, populate=False))
    with Client(cluster.meta_url, config) as client:
        client.wait_for_ranks(1)
        client.put("key", bytes(4096))
        assert client.get("key") == bytes(4096)
        wait_until(
            lambda: all(thread.name != "mmc-populate" for thread in threading.enumerate()),
            "nobody maps anything any more",
        )
        assert present_bytes(client) < _POOL_BYTES // 2
