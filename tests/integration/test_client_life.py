"""The life of a client: threads, forks, views, coroutines, and the end."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

import mmc
from mmc.actors.client import calls
from mmc.errors import CacheError, Code
from tests.integration.processes import Cluster, content_of, finish, run_python, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two ranks for all tests of this file."""
    with Cluster(dram="32MB") as cluster:
        yield cluster


def test_many_threads_share_one_client(cluster: Cluster) -> None:
    """Eight threads put, get, look and remove through one client, and each sees its own bytes."""
    failures: list[str] = []
    with mmc.Client(cluster.meta_url) as client:
        client.wait_for_ranks(2)

        def work(worker: int) -> None:
            for number in range(30):
                key = f"thread-{worker}-{number}"
                client.put(key, content_of(key, 100 + 997 * number))
                if client.get(key) != content_of(key, 100 + 997 * number):
                    failures.append(key)
                if not client.exist(key) or client.exist(f"{key}-no"):
                    failures.append(f"exist {key}")
                client.remove(key)

        threads = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
    assert not failures, failures[:5]


def test_a_forked_child_starts_afresh(cluster: Cluster) -> None:
    """Child and parent both go on, with different client ids, and the child's exit costs nothing."""
    script = """
import os, sys, mmc
from tests.integration.processes import content_of
client = mmc.Client(sys.argv[1])
client.wait_for_ranks(2)
client.put("by parent", content_of("by parent"))
before = client._live.client
child = os.fork()
if child == 0:
    assert client.get("by parent") == content_of("by parent")
    client.put("by child", content_of("by child"))
    assert client._live.client != before
    client.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert client.get("by child") == content_of("by child")
client.put("after the fork", content_of("after the fork"))
assert client._live.client == before
print("both", flush=True)
"""
    assert finish(run_python(script, cluster.meta_url)) == "both\n"


def test_a_living_forked_child_does_not_keep_its_dead_parent_alive(cluster: Cluster) -> None:
    """A parent killed mid-put is found dead, and its space returns, while its forked child lives."""
    script = """
import os, signal, sys, time, mmc
from mmc.actors.client import putting
from tests.integration.processes import content_of
client = mmc.Client(sys.argv[1])
client.wait_for_ranks(2)
def fork_and_die(*_args):
    if os.fork() == 0:
        sys.stdin.readline()
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)
putting.records.describe = fork_and_die
client.put("half", content_of("half"))
"""
    with mmc.Client(cluster.meta_url) as client:
        client.wait_for_ranks(2)
        process = run_python(script, cluster.meta_url)
        assert process.wait(30) == -9

        def reaped() -> bool:
            counters = cluster.rank_counters(client).values()
            return all(rank["reserved_bytes"] == 0 for rank in counters)

        wait_until(reaped, "the dead parent's reserves return")
        client.put("half", content_of("half"))
        finish(process, "go\n")


def test_a_view_outlives_removal_eviction_and_close(cluster: Cluster) -> None:
    """The bytes of an open view stay, whatever becomes of the object and the client."""
    client = mmc.Client(cluster.meta_url)
    client.wait_for_ranks(2)
    client.put("viewed", content_of("viewed", 65536))
    view = client.view("viewed")
    with pytest.raises(TypeError):
        view.memory[0] = 1
    other = cluster.client()
    other.remove("viewed")
    assert not other.exist("viewed")
    names = [f"push-{number}" for number in range(1500)]
    assert not any(other.put_batch(names, [b"z" * 65536] * len(names)))
    client.close()
    assert view.memory == content_of("viewed", 65536)
    array = np.frombuffer(view.memory, np.uint8)
    view.close()
    view.close()
    assert not any(other.put_batch([f"{name}b" for name in names], [b"y" * 65536] * len(names)))
    assert array.tobytes() == content_of("viewed", 65536)
    del array

    def unpinned() -> bool:
        counters = cluster.rank_counters(other).values()
        return all(rank["quarantined_bytes"] == 0 for rank in counters)

    wait_until(unpinned, "the space of the view returns")


def test_closing_is_final_and_idempotent(cluster: Cluster) -> None:
    """After close every call answers -3019; closing again does nothing."""
    client = mmc.Client(cluster.meta_url)
    client.close()
    client.close()
    for call in (lambda: client.get("a"), lambda: client.put("a", b"b"), lambda: client.exist("a")):
        with pytest.raises(CacheError) as caught:
            call()
        assert caught.value.code == Code.CLIENT_CLOSED


def test_a_closed_client_keeps_no_memory_mapped(cluster: Cluster) -> None:
    """Segments are unmapped when their client closes, not when Python's collector finds it."""
    script = """
import gc, sys, mmc
from pathlib import Path

def mapped():
    return sum(".dram" in line for line in Path("/proc/self/maps").read_text().splitlines())

gc.disable()
client = mmc.Client(sys.argv[1])
client.wait_for_ranks(1)
client.put("a closed client's", b"bytes")
assert client.get("a closed client's") == b"bytes"
assert mapped() > 0
client.close()
assert mapped() == 0, mapped()
"""
    assert finish(run_python(script, cluster.meta_url)) == ""


def test_an_interpreter_exits_without_close(cluster: Cluster) -> None:
    """A program that forgets to close ends at once, and its reserves return."""
    script = """
import sys, mmc
client = mmc.Client(sys.argv[1])
client.wait_for_ranks(2)
client.put("forgotten", b"x" * 5000)
print("end", flush=True)
"""
    process = run_python(script, cluster.meta_url)
    assert finish(process, seconds=20) == "end\n"
    assert process.returncode == 0


def test_coroutines_do_what_blocking_calls_do(cluster: Cluster) -> None:
    """The asynchronous client puts, gets, asks, leases and removes, many calls at a time."""

    async def work() -> None:
        async with await mmc.AsyncClient.connect(cluster.meta_url) as client:
            await client.wait_for_ranks(2)
            keys = [f"async-{number}" for number in range(40)]
            await asyncio.gather(*(client.put(key, content_of(key, 300000)) for key in keys))
            for key, content in zip(keys, await client.get_batch(keys), strict=True):
                assert content == content_of(key, 300000)
            assert await client.exist(keys[0])
            assert (await client.query(keys[0])).size == 300000
            assert await client.lease_batch(keys[:1], 60000) == [Code.OK]
            assert await client.remove_batch(keys[:2]) == [Code.LEASED, Code.OK]
            assert await client.unlease_batch(keys[:1]) == [Code.OK]
            task = asyncio.create_task(client.put("cancelled", content_of("cancelled", 300000)))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            codes = await client.put_batch(["cancelled"], [content_of("cancelled", 300000)])
            assert codes[0] in (Code.OK, Code.EXISTS)
            assert await client.get("cancelled") == content_of("cancelled", 300000)

    asyncio.run(work())


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("", b"x", Code.INVALID_ARGUMENT),
        ("k" * 256, b"x", Code.INVALID_ARGUMENT),
        ("nul\0", b"x", Code.INVALID_ARGUMENT),
        ("empty", b"", Code.INVALID_ARGUMENT),
        ("huge", np.zeros(64 << 20, np.uint8), Code.TOO_LARGE),
    ],
)
def test_one_bad_pair_spoils_no_batch(cluster: Cluster, key: str, value: bytes, code: Code) -> None:
    """The bad key or value alone gets its code; the others are stored."""
    client = cluster.client()
    good = f"good beside {code} {len(key)} {os.getpid()}"
    assert client.put_batch([key, good], [value, b"fine"]) == [code, Code.OK]
    assert client.get(good) == b"fine"
    client.remove(good)


def test_buffers_must_be_contiguous_and_targets_writable(cluster: Cluster) -> None:
    """What cannot be copied as bytes is a TypeError; many-byte items and pieces are right."""
    client = cluster.client()
    with pytest.raises(TypeError, match="contiguous"):
        client.put("strided", np.arange(100)[::2])
    with pytest.raises(TypeError, match="writable"):
        client.get_into("any", b"read-only")
    array = np.arange(1000, dtype=np.int64)
    client.put("wide", array)
    target = np.zeros(1000, np.int64)
    client.get_into("wide", target)
    assert (target == array).all()
    client.put("pieces", [b"one", b"two", b"three"])
    first, rest = bytearray(4), bytearray(7)
    client.get_into("pieces", [first, rest])
    assert first + rest == b"onetwothree"


def test_closing_beside_a_copy_writes_into_nobody_else_s_object(cluster: Cluster) -> None:
    """A put that still copies when its client is closed ends with -3019, and harms no other object."""
    script = """
import sys, threading, mmc
from mmc.actors.client import calls
from mmc.errors import CacheError
from tests.integration.processes import content_of
client = mmc.Client(sys.argv[1])
client.wait_for_ranks(2)
real, began, go_on = calls.Copy.perform, threading.Event(), threading.Event()
def slow(self):
    began.set()
    go_on.wait(20)
    real(self)
calls.Copy.perform = slow
codes = []
def put():
    try:
        client.put("slow", b"s" * 300000)
    except CacheError as error:
        codes.append(int(error.code))
putting = threading.Thread(target=put)
putting.start()
began.wait()
client.close()
print("closed", flush=True)
sys.stdin.readline()
go_on.set()
putting.join()
print(codes, flush=True)
"""
    process = run_python(script, cluster.meta_url)
    assert process.stdout is not None
    assert process.stdout.readline() == "closed\n"
    client = cluster.client()

    def nothing_was_taken_back() -> bool:
        counters = cluster.rank_counters(client).values()
        return sum(rank["reserved_bytes"] for rank in counters) >= 300000

    keys = [f"beside-{number}" for number in range(20)]
    assert not any(client.put_batch(keys, [content_of(key, 300000) for key in keys]))
    wait_until(nothing_was_taken_back, "a heartbeat tells of what the put still holds")
    assert finish(process, "go\n") == "[-3019]\n"
    for key in keys:
        assert client.get(key) == content_of(key, 300000)
    assert client.remove_batch(keys) == [Code.OK] * len(keys)


def test_a_put_cancelled_twice_waits_for_its_copy(cluster: Cluster) -> None:
    """However often it is cancelled, an asynchronous put ends only when nothing copies any more."""

    async def work() -> None:
        async with await mmc.AsyncClient.connect(cluster.meta_url) as client:
            await client.wait_for_ranks(2)
            copying, go_on = threading.Event(), threading.Event()
            real = calls.Copy.perform

            def slow(copy: calls.Copy) -> None:
                copying.set()
                go_on.wait(20)
                real(copy)

            calls.Copy.perform = slow  # type: ignore[method-assign,assignment] # put back below
            try:
                task = asyncio.create_task(client.put("twice", b"t" * 300000))
                await asyncio.to_thread(copying.wait, 20)
                for _ in range(3):
                    task.cancel()
                    done, _ = await asyncio.wait([task], timeout=0.05)
                    assert not done, "the put left while it was copying"
                go_on.set()
                with pytest.raises(asyncio.CancelledError):
                    await task
            finally:
                calls.Copy.perform = real  # type: ignore[method-assign] # as it was
            assert not await client.exist("twice")

    asyncio.run(work())


def test_a_forked_child_s_copy_of_a_view_unpins_nothing(cluster: Cluster) -> None:
    """The child drops its copy; the parent's bytes stay."""
    client = cluster.client()
    client.put("forked view", content_of("forked view", 65536))
    with client.view("forked view") as memory:
        child = os.fork()
        if child == 0:
            memory.release()
            os._exit(0)
        os.waitpid(child, 0)
        client.remove("forked view")
        names = [f"after-fork-{number}" for number in range(600)]
        assert not any(client.put_batch(names, [b"z" * 65536] * len(names)))
        assert memory == content_of("forked view", 65536)


def test_an_interrupted_caller_hands_the_driving_on(cluster: Cluster) -> None:
    """An exception in a caller that waits beside a driver leaves no other caller hanging."""
    script = """
import signal, sys, threading, mmc
from mmc.errors import CacheError
client = mmc.Client(sys.argv[1])
client.wait_for_ranks(2)
print("connected", flush=True)
sys.stdin.readline()
ended = []
def ask(timeout):
    try:
        client.exist("nobody", timeout=timeout)
    except CacheError:
        pass
    ended.append(timeout)
threads = [threading.Thread(target=ask, args=(seconds,)) for seconds in (1.0, 2.0, 3.0)]
for thread in threads:
    thread.start()
def interrupt(*_):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.5)
try:
    ask(8.0)
except KeyboardInterrupt:
    ended.append("interrupted")
for thread in threads:
    thread.join(8)
print(sorted(map(str, ended)), flush=True)
"""
    process = run_python(script, cluster.meta_url)
    assert process.stdout is not None
    assert process.stdout.readline() == "connected\n"
    with cluster.broker.stopped():
        output = finish(process, "go\n")
    assert output == "['1.0', '2.0', '3.0', 'interrupted']\n", output
