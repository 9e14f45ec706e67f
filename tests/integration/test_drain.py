"""Ranks that leave without loss: their objects go to others while they are read and written."""

from __future__ import annotations

import threading

from mmc.client import Client
from mmc.errors import Code
from tests.integration.processes import Cluster, wait_until

SIZE = 40_000


def content(key: str) -> bytes:
    """What is stored under a key."""
    return (key.encode() * (SIZE // len(key) + 1))[:SIZE]


def put_all(client: Client, keys: list[str], replicas: int = 1, ranks: tuple[int, ...] = ()) -> None:
    """Store these keys."""
    codes = client.put_batch(keys, list(map(content, keys)), replicas=replicas, preferred_ranks=ranks)
    assert set(codes) == {Code.OK}


def ranks_of(client: Client, keys: list[str]) -> list[set[int]]:
    """Where they are."""
    return [set(client.query(key).ranks) for key in keys]


def await_drained(client: Client, rank: int) -> None:
    """Wait until nothing is left."""
    wait_until(lambda: client.drain_status(rank).state == "drained", f"rank {rank} is drained")


def test_a_drained_rank_can_be_stopped_without_loss() -> None:
    """Readers and writers go on meanwhile; every byte is there afterwards."""
    with Cluster(3, "32MB") as cluster:
        client, other = cluster.client(), cluster.client()
        keys = [f"key-{at}" for at in range(200)]
        put_all(client, keys)
        held = sum(1 in ranks for ranks in ranks_of(client, keys))
        assert held
        failures: list[object] = []
        later: list[str] = []
        is_over = threading.Event()

        def read_and_write() -> None:
            turn = 0
            while not is_over.is_set():
                key = keys[turn % len(keys)]
                if other.get(key) != content(key):
                    failures.append(key)
                later.append(f"later-{turn}")
                other.put(later[-1], content(later[-1]))
                turn += 1

        thread = threading.Thread(target=read_and_write)
        thread.start()
        try:
            status = client.drain(1)
            assert status.state in ("running", "drained")
            await_drained(client, 1)
        finally:
            is_over.set()
            thread.join()
        assert not failures
        status = client.drain_status(1)
        assert status.left_objects == 0
        assert status.moved_objects >= held
        cluster.locals[1].end()
        for key in (*keys, *later):
            assert client.get(key) == content(key)
        assert all(1 not in ranks for ranks in ranks_of(client, keys))
