"""A full pool: puts succeed while anything evictable is there, and are refused in time when nothing is."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import pytest

from mmc.client import Client
from mmc.errors import Code
from tests.integration.processes import Cluster, content_of, finish, run_python, wait_until

_SIZE = 3 << 20
_WRITERS = 3
_HELD = 6

_WRITER = """
import random, sys
import mmc

def content(key, size):
    return key.encode().ljust(64, b".") * (size // 64)

name, puts, sizes = sys.argv[2], int(sys.argv[3]), [int(size) << 10 for size in sys.argv[4].split(",")]
chance = random.Random(name)
failed, wrong, stored = [], 0, {}
with mmc.Client(sys.argv[1]) as client:
    client.wait_for_ranks(1)
    for number in range(puts):
        key, size = f"{name}/{number}", chance.choice(sizes)
        code = client.put_batch([key], [content(key, size)], timeout=20)[0]
        if code:
            failed.append(code.name)
        else:
            stored[key] = size
        key, size = chance.choice([*stored.items()])
        found = client.get_batch([key])[0]
        wrong += found is not None and found != content(key, size)
print(puts, "puts,", len(failed), "failed", *sorted(set(failed)), "-", wrong, "wrong")
"""


def _probe(client: Client, held: dict[str, memoryview], leased: list[str], end: Event) -> int:
    """Ask for cold keys and look at what is held, until the end; how much of it was wrong."""
    wrong = 0
    number = 0
    while not end.is_set():
        number += 1
        client.exist_batch([f"{number % _WRITERS}/{number % 50 + at}" for at in range(32)])
        client.get_batch([f"{number % _WRITERS}/{number % 50}"])
        wrong += sum(memory != content_of(key, 65536) for key, memory in held.items())
        wrong += sum(client.get_batch([key])[0] != content_of(key, 65536) for key in leased[:1])
    return wrong


def _config(directory: Path, kib_per_record: int) -> str:
    """A file with this setting."""
    path = directory / "config.toml"
    path.write_text(f"[local]\nbytes_per_record = {kib_per_record << 10}\n")
    return str(path)


@pytest.mark.parametrize(
    ("kib_per_record", "sizes", "puts"),
    [(16, "4,4,4,64,64,1024,1024,8192,32768", 60), (1024, "4,4,4,4,4,4,4,64,64,64,1024,8192", 240)],
    ids=["bytes", "records"],
)
def test_every_put_succeeds_while_anything_can_be_evicted(
    tmp_path: Path, kib_per_record: int, sizes: str, puts: int
) -> None:
    """L1: of many puts of 4 KiB to 32 MiB into a full pool none fails, and nobody reads wrong bytes."""
    with Cluster(1, "256MB", config=_config(tmp_path, kib_per_record)) as cluster, ExitStack() as stack:
        client = cluster.client()
        keys = [f"held-{number}" for number in range(2 * _HELD)]
        assert not any(client.put_batch(keys, [content_of(key, 65536) for key in keys]))
        assert not any(client.lease_batch(keys[_HELD:], 60000))
        held = {key: stack.enter_context(client.view(key)) for key in keys[:_HELD]}
        end = Event()
        with ThreadPoolExecutor(1) as pool:
            prober = pool.submit(_probe, cluster.client(), held, keys[_HELD:], end)
            writers = [
                run_python(_WRITER, cluster.meta_url, str(number), str(puts), sizes)
                for number in range(_WRITERS)
            ]
            try:
                said = [finish(writer) for writer in writers]
            finally:
                end.set()
        assert said == [f"{puts} puts, 0 failed - 0 wrong\n"] * _WRITERS
        assert prober.result() == 0
        assert client.get_batch(keys[_HELD:]) == [content_of(key, 65536) for key in keys[_HELD:]]
        counters = cluster.rank_counters(client)[0]
        assert counters["evictions"] > 0
        assert counters["waiting_reserves"] <= _WRITERS


def test_leases_in_the_way_are_answered_at_once_and_pins_are_waited_for() -> None:
    """Leases that leave no room in one piece are -3016 at once; for the end of views a put waits."""
    with Cluster(ranks=1) as cluster, ThreadPoolExecutor(1) as pool:
        client = cluster.client()
        keys = [f"island-{number}" for number in range(8)]
        for key in keys:
            client.put(key, content_of(key, 15 << 17))
        there: list[str] = []

        def every_third_is_leased() -> bool:  # what is on its way out is not
            there[:] = [key for key in keys if client.exist(key)]
            return not any(client.lease_batch(there[::3], 60000))

        wait_until(every_third_is_leased, "every third object is leased")
        assert len(there) > 4
        began = time.monotonic()
        assert client.put_batch(["large"], [bytes(12 << 20)], timeout=20)[0] == Code.NO_SPACE
        assert time.monotonic() - began < 10
        assert client.put_batch(["small"], [bytes(1 << 20)])[0] == Code.OK
        client.unlease_batch(keys)
        with ExitStack() as stack:
            viewed = [key for key in there[::3] if stack.enter_context(client.view(key))]
            waiting = pool.submit(cluster.client().put_batch, ["large"], [bytes(12 << 20)], timeout=20)

            def large_put_waits() -> bool:
                assert not waiting.done(), waiting.result()
                return cluster.rank_counters(client)[0]["waiting_reserves"] == 1

            wait_until(large_put_waits, "the large put waits")
            assert client.put_batch(["beside"], [bytes(1 << 16)])[0] == Code.OK
            assert viewed
            assert not waiting.done()
        assert waiting.result(20)[0] == Code.OK


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
