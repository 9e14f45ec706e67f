"""Writers of the same keys."""

from __future__ import annotations

import time

from tests.integration.processes import Cluster, content_of, finish, run_python, wait_until

_RIVAL = """
import sys, time, mmc
from tests.integration.processes import content_of
client = mmc.Client(sys.argv[1])
client.wait_for_ranks(2)
keys = [f"same-{i}" for i in range(200)]
if sys.argv[2] == "down":
    keys.reverse()
print("connected", flush=True)
sys.stdin.readline()
began = time.monotonic()
codes = client.put_batch(keys, [(key + sys.argv[2]).encode() * 500 for key in keys])
took = time.monotonic() - began
assert set(map(int, codes)) <= {0, -3006}, set(codes)
print(sum(code == 0 for code in codes), took < 5, flush=True)
"""


def test_two_batches_of_the_same_keys_in_opposite_order_both_return() -> None:
    """Both return at once, and each key is one whole object of one of the two."""
    with Cluster() as cluster:
        rivals = [run_python(_RIVAL, cluster.meta_url, way) for way in ("up", "down")]
        for rival in rivals:
            assert rival.stdout is not None
            assert rival.stdout.readline() == "connected\n"
        for rival in rivals:
            assert rival.stdin is not None
            rival.stdin.write("go\n")
            rival.stdin.flush()
        outputs = [finish(rival).split() for rival in rivals]
        assert [output[1] for output in outputs] == ["True", "True"], outputs
        assert sum(int(output[0]) for output in outputs) == 200
        client = cluster.client()
        for number in range(200):
            key = f"same-{number}"
            wanted = [(key + way).encode() * 500 for way in ("up", "down")]
            assert client.get(key) in wanted


def test_a_pending_key_is_answered_by_the_deadline() -> None:
    """A put of a key whose writer is stopped mid-way answers -3101 by its deadline, never later."""
    script = """
import os, signal, sys, mmc
from mmc.actors.client import calls
from tests.integration.processes import content_of
client = mmc.Client(sys.argv[1])
client.wait_for_ranks(2)
calls.Copy.perform = lambda self: (print("claimed", flush=True), sys.stdin.readline())
client.put("slow", content_of("slow"))
print("put", flush=True)
"""
    with Cluster() as cluster:
        client = cluster.client()
        writer = run_python(script, cluster.meta_url)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "claimed\n"
        wait_until(lambda: dict(client.status().counters)["unconfirmed"] == 1, "the claim has arrived")
        began = time.monotonic()
        assert client.put_batch(["slow"], [content_of("slow")], timeout=3) == [-3101]
        assert time.monotonic() - began < 6
        assert not client.exist("slow")
        assert finish(writer, "go\n") == "put\n"
        assert client.exist("slow")
