"""A process that may write a segment, and writes whatever it likes: what it can break, and what it cannot."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tests.integration.processes import Cluster, content_of, finish, run_python, wait_until

if TYPE_CHECKING:
    from mmc.client import Client

_SIZE = 3000
_KEYS = 40
_WRITER = """
import random, select, sys, time
from mmc.segments.directory import open_shared
path, identity, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
segment = open_shared(path, identity)
words, layout, chance = segment.words, segment.layout, random.Random(1)
starts = (0, layout.extents_at, layout.holders_at, layout.pins_at, layout.index_at, layout.records_at)
ends = (4096, *(start + 20_000 for start in starts[1:]))
print("writes", flush=True)
until = time.monotonic() + seconds
while time.monotonic() < until:
    for _ in range(20):
        table = chance.randrange(6)
        at = chance.randrange(starts[table] // 8, ends[table] // 8)
        old = words[at]
        flipped = old ^ 1 << chance.randrange(64)
        words[at] = chance.choice((flipped, chance.getrandbits(64), 0, (1 << 64) - 1, old))
        if at < 512:
            words[at] = old  # the superblock is put right again: else nobody would look any further
    select.select([], [], [], 0.001)
"""
_READER = """
import select
import sys
import mmc
url, keys, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = mmc.Client(url)
client.wait_for_ranks(1)
names = [f"safe {number}" for number in range(keys)], [f"at risk {number}" for number in range(keys)]
turns = 0
print("reads", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    turns += 1
    for call in (
        lambda: client.get_batch(names[1], timeout=0.3),
        lambda: client.exist_batch(names[1], timeout=0.3),
        lambda: client.put_batch([f"new {turns}"], [b"x" * size], preferred_ranks=[0], timeout=0.3),
        lambda: client.view(names[1][turns % keys], timeout=0.3).close(),
        lambda: client.get_into(names[1][turns % keys], bytearray(size), timeout=0.3),
        lambda: client.remove_batch([f"new {turns}"], timeout=0.3),
    ):
        try:
            answer = call()
            assert not isinstance(answer, list) or -1 not in answer
        except mmc.CacheError as error:
            assert error.code != -1, error
    assert all(content is not None for content in client.get_batch(names[0], timeout=5))
print("turns", turns, flush=True)
client.close()
"""


def _fill(client: Client) -> None:
    for name, rank in (("safe", 1), ("at risk", 0)):
        for number in range(_KEYS):
            key = f"{name} {number}"
            client.put(key, content_of(key, _SIZE), preferred_ranks=[rank])


def test_scribbling_on_the_tables_of_a_living_rank_ends_nobody() -> None:
    """Reads and puts are answered, no process ends, the other segment is whole; started anew, all is well."""
    with Cluster() as cluster:
        client = cluster.client()
        _fill(client)
        member = client.connection.actor.members[0]
        reader = run_python(_READER, cluster.meta_url, str(_KEYS), str(_SIZE))
        assert reader.stdout is not None
        assert reader.stdout.readline() == "reads\n"
        writer = run_python(_WRITER, member.path, str(member.segment), "2")
        assert finish(writer) == "writes\n"
        output = finish(reader, "enough\n")
        assert reader.returncode == 0, output
        assert output.startswith("turns")
        assert all(service.process.poll() is None for service in (*cluster.locals, cluster.meta))
        keys = [f"safe {number}" for number in range(_KEYS)]
        assert client.get_batch(keys) == [content_of(key, _SIZE) for key in keys]
        cluster.locals[0].signal(signal.SIGKILL)
        cluster.locals[0].start()
        wait_until(lambda: _can_put(client), "both ranks take objects again")


def _can_put(client: Client) -> bool:
    keys = [f"anew {rank}" for rank in (0, 1)]
    codes = [
        code
        for key, rank in zip(keys, (0, 1), strict=True)
        for code in client.put_batch([key], [content_of(key, _SIZE)], preferred_ranks=[rank], timeout=1)
    ]
    removed = client.remove_batch(keys, timeout=1)
    return not any(codes) and not any(removed)
