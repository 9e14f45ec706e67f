"""A client that dies at any step of a put leaves nothing behind but, perhaps, a whole object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mmc.errors import Code
from tests.integration.processes import Cluster, content_of, finish, run_python, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmc.client import Client

_WRITER = """
import os, signal, sys
import mmc
from mmc.actors.client import calls, putting, reserving
from mmc.actors.client.ranks import RankHandle
from tests.integration.processes import content_of

def die(*_args, **_more):
    os.kill(os.getpid(), signal.SIGKILL)

def before(owner, name):
    assert hasattr(owner, name), name
    setattr(owner, name, die)

def after(owner, name):
    real = getattr(owner, name)
    def run(*args, **more):
        real(*args, **more)
        die()
    setattr(owner, name, run)

def half_copied(self):
    whole = bytes(self.pieces[0])
    self.memory.copy_in(self.at, memoryview(whole[: len(whole) // 2]))
    die()

STEPS = {
    "reserved": lambda: after(reserving, "_take_granted"),
    "odd": lambda: after(putting.records, "begin_write"),
    "described": lambda: after(putting.records, "describe"),
    "claim sent": lambda: before(calls.Copy, "perform"),
    "half copied": lambda: setattr(calls.Copy, "perform", half_copied),
    "copied": lambda: after(calls.Copy, "perform"),
    "claimed": lambda: before(putting, "publish"),
    "published": lambda: after(putting.records, "publish"),
    "indexed": lambda: after(putting.index, "insert"),
    "before confirming": lambda: before(RankHandle, "confirm"),
    "confirming": lambda: before(RankHandle, "flush_confirmations"),
}
client = mmc.Client(sys.argv[1])
client.wait_for_ranks(1)
STEPS[sys.argv[2]]()
client.put(sys.argv[3], content_of(sys.argv[3]))
while True:
    signal.pause()
"""
_STEPS = (
    "reserved", "odd", "described", "claim sent", "half copied", "copied", "claimed", "published",
    "indexed", "before confirming", "confirming",
)  # fmt: skip


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One rank, for all steps."""
    with Cluster(ranks=1) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Client:
    """A client that outlives the writers."""
    return cluster.client()


@pytest.mark.parametrize("step", _STEPS)
def test_the_key_of_a_killed_writer_is_readable_or_can_be_put(
    cluster: Cluster, client: Client, step: str
) -> None:
    """Killed at any step, the key is whole or free at once, and all space returns."""
    key = f"victim {step}"
    finish(run_python(_WRITER, cluster.meta_url, step, key))
    codes = client.put_batch([key], [content_of(key)])
    assert codes[0] in (Code.OK, Code.EXISTS), codes
    assert client.get(key) == content_of(key)
    client.remove(key)

    def all_is_free() -> bool:
        counters = cluster.rank_counters(client)[0]
        return counters["free_records"] == counters["records"]

    wait_until(all_is_free, "every record is free again")
    counters = cluster.rank_counters(client)[0]
    assert counters["used_bytes"] == counters["reserved_bytes"] == 0
    assert counters["quarantined_bytes"] == 0
