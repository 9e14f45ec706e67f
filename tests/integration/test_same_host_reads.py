"""Reads on one host need no broker and no meta service."""

import contextlib

from tests.integration.processes import Cluster, content_of, finish, run_python

_READER = """
import sys, mmc
from tests.integration.processes import content_of
client = mmc.Client(sys.argv[1])
client.wait_for_ranks(2)
print("connected", flush=True)
sys.stdin.readline()
keys = [f"unseen-{i}" for i in range(100)]
assert all(code == 0 for code in client.exist_batch(keys, timeout=1))
for key in keys:
    assert client.get(key, timeout=1) == content_of(key), key
    with client.view(key, timeout=1) as memory:
        assert bytes(memory) == content_of(key), key
print("verified", len(keys), flush=True)
"""


def test_keys_never_seen_are_read_while_broker_and_meta_service_stand_still() -> None:
    """Another process finds and reads 100 keys it has never seen, with both stopped."""
    with Cluster() as cluster:
        writer = cluster.client()
        reader = run_python(_READER, cluster.meta_url)
        assert reader.stdout is not None
        assert reader.stdout.readline() == "connected\n"
        keys = [f"unseen-{i}" for i in range(100)]
        assert not any(writer.put_batch(keys, [content_of(key) for key in keys]))
        with contextlib.ExitStack() as standing:
            standing.enter_context(cluster.broker.stopped())
            standing.enter_context(cluster.meta.stopped())
            output = finish(reader, "go\n")
        assert output == "verified 100\n", output
