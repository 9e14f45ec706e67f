"""Clients that cannot open a rank's segment put and get everything through its data server."""

import signal
import threading
import time

import numpy as np
import pytest
from xxhash import xxh3_64_intdigest

from mmc.client import Client
from mmc.errors import CacheError, Code, NotFound
from tests.integration.processes import (
    Cluster,
    bulk_of,
    can_have_own_memory,
    content_of,
    keys_on_rank,
    run_python,
    wait_until,
)

LARGE = 3_000_001
OTHER_HOST = pytest.mark.skipif(not can_have_own_memory(), reason="may not have a /dev/shm of its own")


def test_a_client_without_a_rank_on_its_host_can_do_everything() -> None:
    """Put, get, pieces, batches, views, exist, query, lease and remove, with the bytes verified."""
    with Cluster(1) as cluster:
        near, far = cluster.client(), cluster.far_client()
        assert far.local_rank() != 0
        small, large = content_of("small"), bulk_of("large", LARGE)
        far.put("small", small)
        far.put("large", [large[:70_000], large[70_000:70_001], large[70_001:]])
        assert near.get("small") == far.get("small") == small
        assert near.get("large") == far.get("large") == large
        pieces = [bytearray(70_001), bytearray(LARGE - 70_001)]
        far.get_into("large", pieces)
        assert b"".join(pieces) == large
        with pytest.raises(CacheError, match="size differs"):
            far.get_into("large", bytearray(7))
        with far.view("large") as memory:
            assert memory.readonly
            assert bytes(memory) == large
        keys = [f"batch-{at}" for at in range(300)]
        assert set(far.put_batch(keys, [content_of(key) for key in keys])) == {Code.OK}
        assert near.get_batch(keys) == far.get_batch(keys) == [content_of(key) for key in keys]
        assert far.exist_batch([*keys, "missing"]) == [Code.OK] * 300 + [Code.NOT_FOUND]
        assert far.put_batch(["small", "new"], [b"other", b"new"]) == [Code.EXISTS, Code.OK]
        assert near.get("small") == small
        assert far.query("large").size == LARGE
        assert far.add_lease("small", 2000) > 0
        with pytest.raises(CacheError) as leased:
            near.remove("small")
        assert leased.value.code == Code.LEASED
        far.remove_lease("small")
        far.remove("small")
        assert not near.exist("small")
        assert not far.exist("small")
        with pytest.raises(NotFound):
            far.get("small")
        near.remove_batch([*keys, "large", "new"])
        assert set(far.exist_batch(keys)) == {Code.NOT_FOUND}
        wait_until(lambda: cluster.rank_counters(near)[0]["reserved_bytes"] == 0, "all space comes back")


def test_what_was_just_put_beside_the_rank_is_read_from_afar() -> None:
    """A get finds what a put has acknowledged, before the meta service has heard that it is published."""
    with Cluster(1) as cluster:
        near, far = cluster.client(), cluster.far_client()
        for at in range(100):
            near.put(f"k{at}", content_of(f"k{at}"))
            assert far.exist(f"k{at}")
            assert far.get(f"k{at}") == content_of(f"k{at}")
            far.put(f"f{at}", content_of(f"f{at}"))
            assert near.get(f"f{at}") == content_of(f"f{at}")


def test_a_first_read_where_keys_prefer_to_lie_asks_no_meta_service() -> None:
    """What a client without a rank has put is found by another without a look-up, alone and in a batch."""
    with Cluster(2) as cluster:
        writer, reader = cluster.far_client(), cluster.far_client()
        keys = [f"k{at}" for at in range(40)]
        assert set(writer.put_batch(keys, [content_of(key) for key in keys])) == {Code.OK}
        before = looked_up(reader)
        for key in keys[:8]:
            target = bytearray(len(content_of(key)))
            reader.get_into(key, target)
            assert target == content_of(key)
        assert reader.get_batch(keys[8:]) == [content_of(key) for key in keys[8:]]
        assert looked_up(reader) == before
        with pytest.raises(NotFound):
            reader.get("none")
        assert looked_up(reader) == before + 1


def looked_up(client: Client) -> int:
    """How many look-ups the meta service has answered."""
    counters = dict(client.status().counters)
    return counters["query_requests"] + counters["batch_query_requests"]


def test_counters_tell_the_bytes_that_travelled() -> None:
    """The client's and the rank's counters of both directions equal the payload."""
    with Cluster(1) as cluster:
        far = cluster.far_client()
        far.put("k", bulk_of("k", LARGE))
        far.get("k")
        far.get("k")
        counters = far.traffic()
        assert counters["remote_written_bytes"] == LARGE
        assert counters["remote_read_bytes"] == 2 * LARGE

        def rank_has_told() -> bool:
            told = cluster.rank_counters(far)[0]
            return (told["remote_written_bytes"], told["remote_read_bytes"]) == (LARGE, 2 * LARGE)

        wait_until(rank_has_told, "the heartbeat tells the same")


def test_many_threads_read_and_write_afar() -> None:
    """More callers than connections wait for one another, and every byte is right."""
    with Cluster(1, dram="64MB") as cluster:
        far = cluster.far_client(connections_per_rank=2, request_bytes=60_000)
        wrong: list[str] = []

        def work(name: int) -> None:
            for at in range(15):
                key = f"{name}-{at}"
                content = bulk_of(key, 50_000)
                keys = [f"{key}-{part}" for part in range(4)]
                if any(far.put_batch(keys, [content] * 4)) or far.get_batch(keys) != [content] * 4:
                    wrong.append(key)

        threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


def test_a_stopped_rank_holds_nobody_beyond_the_deadline() -> None:
    """Get and put of a rank that stands still end with a code in time, and work when it goes on."""
    with Cluster(1) as cluster:
        far = cluster.far_client()
        far.put("k", content_of("k"))
        far.get("k")
        with cluster.locals[0].stopped():
            began = time.monotonic()
            for call in (lambda: far.get("k", timeout=0.5), lambda: far.put("n", b"x", timeout=0.5)):
                with pytest.raises(CacheError) as error:
                    call()
                assert error.value.code in (Code.TIMED_OUT, Code.UNREACHABLE)
            assert time.monotonic() - began < 10
        assert far.get("k") == content_of("k")
        far.put("n2", b"y")
        assert far.get("n2") == b"y"


def test_a_killed_rank_is_a_code_and_is_found_again_when_it_is_back() -> None:
    """A get of a dead rank says -3014; after its restart on another port the same client reads again."""
    with Cluster(1) as cluster:
        far = cluster.far_client()
        far.put("k", bulk_of("k", LARGE))
        assert far.get("k") == bulk_of("k", LARGE)
        cluster.locals[0].signal(signal.SIGKILL)
        with pytest.raises(CacheError) as error:
            far.get("k", timeout=1)
        assert error.value.code == Code.UNREACHABLE
        cluster.locals[0].start()

        def is_back() -> bool:
            try:
                return far.get("k", timeout=1) == bulk_of("k", LARGE)
            except CacheError:
                return False

        wait_until(is_back, "it is read again")
        far.put("n", b"n")


def test_a_rank_killed_in_the_midst_of_transfers_tears_nothing() -> None:
    """Batches under way end with codes, what has code 0 is right, and nothing is torn afterwards."""
    with Cluster(1, dram="64MB") as cluster:
        far = cluster.far_client()
        keys = [f"k{at}" for at in range(16)]
        assert not any(far.put_batch(keys, [bulk_of(key, 1 << 20) for key in keys]))
        outcome: list[tuple[list[bytes | None], list[Code]]] = []
        puts: list[Code] = []
        reading = threading.Thread(target=lambda: outcome.append(far.read_batch(keys * 8, timeout=5)))
        fresh = [f"n{at}" for at in range(16)]
        values = [bulk_of(key, 1 << 20) for key in fresh]
        writing = threading.Thread(target=lambda: puts.extend(far.put_batch(fresh, values, timeout=5)))
        before = far.traffic()["remote_read_bytes"]
        reading.start()
        writing.start()
        cluster.locals[0].signal(signal.SIGKILL)
        reading.join()
        writing.join()
        contents, codes = outcome[0]
        for key, content, code in zip(keys * 8, contents, codes, strict=True):
            assert (content is not None) == (code == Code.OK)
            assert content in (None, bulk_of(key, 1 << 20))
        assert far.traffic()["remote_read_bytes"] >= before
        cluster.locals[0].start()

        def all_is_whole() -> bool:
            contents, codes = far.read_batch(fresh, timeout=2)
            if not set(codes) <= {Code.OK, Code.NOT_FOUND}:
                return False
            for key, content, put in zip(fresh, contents, puts, strict=True):
                assert content in (None, bulk_of(key, 1 << 20))
                assert content is not None or put != Code.OK, "a put that was acknowledged is lost"
            return True

        wait_until(all_is_whole, "the rank is back")


def test_reads_under_eviction_are_right_or_missing() -> None:
    """While a pool turns over under its readers from afar, no read ever gives other bytes."""
    with Cluster(1, dram="16MB") as cluster:
        near, far = cluster.client(), cluster.far_client()
        size = 300_000
        done = threading.Event()
        read = [0]
        wrong: list[str] = []

        def read_all() -> None:
            while not done.is_set():
                for at in range(60):
                    key = f"k{at}"
                    try:
                        content = far.get(key, timeout=2)
                    except CacheError:
                        continue
                    read[0] += 1
                    if xxh3_64_intdigest(content) not in expected[at]:
                        wrong.append(key)

        values = [[bulk_of(f"k{at}/{turn}", size) for turn in range(3)] for at in range(60)]
        expected = [{xxh3_64_intdigest(value) for value in of_key} for of_key in values]
        reader = threading.Thread(target=read_all)
        reader.start()
        for turn in range(12):
            for at in range(60):
                near.put_batch([f"k{at}"], [values[at][turn % 3]])
                if turn % 3 == 1:
                    near.remove_batch([f"k{at}"])
        done.set()
        reader.join()
        assert wrong == []
        assert read[0] > 0
        assert cluster.rank_counters(near)[0]["evictions"] > 0


def test_closing_ends_what_is_under_way() -> None:
    """A client that is closed while a transfer stalls is closed at once, and its caller is told -3019."""
    with Cluster(1) as cluster:
        far = cluster.far_client()
        far.put("k", content_of("k"))
        far.get("k")
        codes: list[int] = []

        def read() -> None:
            try:
                far.get("k", timeout=20)
            except CacheError as error:
                codes.append(error.code)

        with cluster.locals[0].stopped():
            caller = threading.Thread(target=read)
            caller.start()
            used = far.connection.carrier._connections._used  # noqa: SLF001 - nothing else tells that it waits
            wait_until(lambda: bool(used), "the transfer is under way")
            far.close()
            caller.join(5)
            assert not caller.is_alive()
        assert codes == [Code.CLIENT_CLOSED]


@OTHER_HOST
def test_own_host_first_and_others_when_it_is_full() -> None:
    """Puts stay on this host while it has room, and go elsewhere when told to or when nothing here can."""
    with Cluster(1, dram="16MB") as cluster:
        cluster.join_from_other_host(1, "64MB")
        client = cluster.client()
        keys = [f"k{at}" for at in range(40)]
        assert not any(client.put_batch(keys, [content_of(key) for key in keys]))
        assert keys_on_rank(client, 0, keys) == keys
        client.put("there", bulk_of("there", LARGE), preferred_ranks=[1])
        assert client.query("there").ranks == (1,)
        assert client.get("there") == bulk_of("there", LARGE)
        client.put("huge", np.frombuffer(bulk_of("huge", 20_000_000), np.uint8))
        assert client.query("huge").ranks == (1,)
        assert client.get("huge") == bulk_of("huge", 20_000_000)
        assert client.lease_batch(keys, 20_000) == [Code.OK] * 40
        client.remove("huge")
        assert client.exist_batch(["huge", "there", "k1"]) == [Code.NOT_FOUND, Code.OK, Code.OK]


@OTHER_HOST
def test_replicas_on_other_hosts_survive_one_of_them() -> None:
    """Two replicas lie on distinct ranks; when one is killed, a get finds the other within the same call."""
    with Cluster(0) as cluster:
        ranks = [cluster.join_from_other_host(rank) for rank in range(2)]
        client = cluster.client()
        keys = [f"k{at}" for at in range(10)]
        assert not any(client.put_batch(keys, [content_of(key) for key in keys], replicas=2))
        assert all(set(info.ranks) == {0, 1} for info in client.query_batch(keys))  # type: ignore[union-attr]
        ranks[0].signal(signal.SIGKILL)
        assert client.get_batch(keys, timeout=4) == [content_of(key) for key in keys]
        assert client.get_batch(keys, timeout=4) == [content_of(key) for key in keys]


_FORKING = """
import os, select, sys, mmc
from mmc.config import load_config
from tests.integration.processes import content_of
client = mmc.Client(sys.argv[1], load_config(overrides={"client": {"map_segments": False}}))
client.put("parent", content_of("parent"))
assert client.get("parent") == content_of("parent")
child = os.fork()
if not child:
    assert client.get("parent") == content_of("parent")
    client.put("child", content_of("child"))
    client.close()
    print("child done", flush=True)
    select.select([], [], [], 10)
    os._exit(0)
sys.stdin.readline()
assert client.get("child") == content_of("child")
print("parent done", flush=True)
sys.stdin.readline()
"""


def test_a_forked_child_has_connections_of_its_own() -> None:
    """Parent and child both go on, and those of a killed parent end though its child lives."""
    with Cluster(1) as cluster:
        client = cluster.client()
        parent = run_python(_FORKING, cluster.meta_url)
        assert parent.stdin is not None
        assert parent.stdout is not None
        try:
            assert parent.stdout.readline() == "child done\n"
            parent.stdin.write("go\n")
            parent.stdin.flush()
            assert parent.stdout.readline() == "parent done\n"
        finally:
            parent.kill()
            parent.wait()
        wait_until(lambda: cluster.rank_counters(client)[0]["remote_connections"] == 0, "they end")
        parent.stdin.close()
        parent.stdout.close()
