"""A client that dies at any step of a put leaves nothing behind but, perhaps, a whole object."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from mmc.errors import Code
from tests.integration.processes import Cluster, finish, run_python, wait_until
from tests.integration.put_steps import STEPS, WRITER, object_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmc.client import Client


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One rank, for all steps."""
    with Cluster(ranks=1) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Client:
    """A client that outlives the writers."""
    return cluster.client()


@pytest.mark.parametrize("step", STEPS)
def test_the_key_of_a_killed_writer_is_readable_or_can_be_put(
    cluster: Cluster, client: Client, step: str
) -> None:
    """Killed at any step, the key is whole or free at once, and all space returns."""
    key = f"victim {step}"
    writer = run_python(WRITER, cluster.meta_url, step, str(int(signal.SIGKILL)), key)
    finish(writer)
    assert writer.returncode == -signal.SIGKILL
    codes = client.put_batch([key], [object_of(key)])
    assert codes[0] in (Code.OK, Code.EXISTS), codes
    assert client.get(key) == object_of(key)
    client.remove(key)

    def all_is_free() -> bool:
        counters = cluster.rank_counters(client)[0]
        return counters["free_records"] == counters["records"]

    wait_until(all_is_free, "every record is free again")
    counters = cluster.rank_counters(client)[0]
    assert counters["used_bytes"] == counters["reserved_bytes"] == 0
    assert counters["quarantined_bytes"] == 0
