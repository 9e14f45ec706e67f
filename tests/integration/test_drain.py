"""Ranks that leave without loss: their objects go to others while they are read and written."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

import mmc
from mmc.client import Client
from mmc.errors import CacheError, Code
from tests.integration.processes import Cluster, wait_until
from tests.integration.test_cli import Shell

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
    wait_until(lambda: client.drain_status(rank).state == "drained", f"rank {rank} is drained", 60.0)


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


def test_what_fits_nowhere_stays_until_it_is_discarded() -> None:
    """A drain whose objects no other rank has room for is blocked, and loses none unless it is told to."""
    with Cluster(2, "8MB") as cluster:
        client = cluster.client()
        kept, going = [f"kept-{at}" for at in range(150)], [f"going-{at}" for at in range(150)]
        put_all(client, kept, ranks=(0,))
        put_all(client, going, ranks=(1,))
        client.drain(1)
        wait_until(lambda: client.drain_status(1).state == "blocked", "it is blocked")
        status = client.drain_status(1)
        assert status.left_objects == status.refused_objects > 0
        assert client.read_batch([*kept, *going])[1] == [Code.OK] * 300
        with pytest.raises(CacheError) as last:
            client.drain(0)
        assert last.value.code == Code.NO_SPACE
        client.drain(1, discard=True)
        await_drained(client, 1)
        status = client.drain_status(1)
        assert status.moved_objects + status.discarded_objects == 150
        codes = client.read_batch(going)[1]
        assert codes.count(Code.OK) == status.moved_objects
        assert client.read_batch(kept)[1] == [Code.OK] * 150


def test_a_leased_object_leaves_when_its_lease_has_ended() -> None:
    """Its holder was promised that it stays where it is."""
    with Cluster(2) as cluster:
        client = cluster.client()
        put_all(client, ["leased", "other"], ranks=(1,))
        client.add_lease("leased", 600_000)
        client.drain(1)
        wait_until(lambda: client.drain_status(1).left_objects == 1, "the other has gone")
        assert ranks_of(client, ["leased", "other"]) == [{1}, {0}]
        client.remove_lease("leased")
        await_drained(client, 1)
        assert client.get("leased") == content("leased")


def test_a_cancelled_drain_leaves_a_rank_of_normal_duty() -> None:
    """It takes objects again."""
    with Cluster(2) as cluster:
        client = cluster.client()
        put_all(client, [f"key-{at}" for at in range(20)])
        client.drain(1)
        await_drained(client, 1)
        wait_until(lambda: client.connection.actor.writable_ranks == [0], "it is known to drain")
        put_all(client, ["not there"])
        assert ranks_of(client, ["not there"]) == [{0}]
        assert client.cancel_drain(1).state == "cancelled"
        wait_until(lambda: client.connection.actor.writable_ranks == [0, 1], "it is known not to drain")
        wait_until(  # its rank hears of it with its next heartbeat
            lambda: client.put_batch(["again"], [b"x"], preferred_ranks=[1]) == [Code.OK], "it takes objects"
        )


def test_a_drain_goes_on_when_its_rank_and_the_meta_service_are_killed() -> None:
    """It is written down, and the rank has its objects again."""
    with Cluster(2, "64MB") as cluster:
        client = cluster.client()
        keys = [f"key-{at}" for at in range(600)]
        put_all(client, keys, ranks=(1,))
        client.drain(1)
        cluster.locals[1].signal(signal.SIGKILL)
        cluster.locals[1].start()
        cluster.meta.signal(signal.SIGKILL)
        cluster.meta.start()
        await_drained(client, 1)
        assert client.read_batch(keys) == (list(map(content, keys)), [Code.OK] * len(keys))
        assert ranks_of(client, keys) == [{0}] * len(keys)


def test_replicas_are_made_again_when_a_rank_is_given_up(tmp_path: Path) -> None:
    """Where that is asked for; what had one replica there is lost."""
    settings = tmp_path / "config.toml"
    settings.write_text("[meta]\nrepair = true\nsuspect_ms = 3000\nserve_ms = 6000\ngrace_ms = 1000\n")
    with Cluster(3, config=str(settings)) as cluster:
        client = cluster.client()
        keys = [f"key-{at}" for at in range(60)]
        put_all(client, keys, replicas=2)
        cluster.locals[1].signal(signal.SIGKILL)
        wait_until(lambda: ranks_of(client, keys) == [{0, 2}] * len(keys), "replicas are made again", 60.0)
        cluster.locals[0].signal(signal.SIGKILL)
        assert client.read_batch(keys)[0] == list(map(content, keys))
        for rank in (0, 1):
            cluster.locals[rank].start()  # it takes its segment along when it ends


def test_an_embedded_cluster_can_be_closed_right_after_a_drain() -> None:
    """What copies ends before what it uses does."""
    with mmc.embedded("16MB", ranks=2) as client:
        keys = [f"key-{at}" for at in range(50)]
        put_all(client, keys, ranks=(1,))
        client.drain(1)
        await_drained(client, 1)
        assert ranks_of(client, keys) == [{0}] * len(keys)
    assert not [thread for thread in threading.enumerate() if thread.name == "mmc-mover"]


def test_the_command_says_how_it_ends() -> None:
    """0 when nothing is left, or when it was cancelled; 1 with a sentence otherwise."""
    with Cluster(2) as cluster:
        client = cluster.client()
        put_all(client, ["one", "two"], ranks=(1,))
        shell = Shell(cluster.meta_url)
        unknown, never = shell.run("drain 7", "drain 0 --cancel")
        assert (unknown.status, never.status) == (1, 1)
        assert "-3018" in unknown.complaint
        assert "-3007" in never.complaint
        (drained,) = shell.run("drain 1 --json --within 60")
        assert drained.status == 0
        assert drained.json["state"] == "drained"
        assert drained.json["left_objects"] == 0
        last, status = shell.run("drain 0", "status --json")
        assert last.status == 1
        assert "-3016" in last.complaint
        assert status.json["ranks"]["1"]["state"] == "draining"
        (cancelled,) = shell.run("drain 1 --cancel")
        assert cancelled.status == 0
        assert b"cancelled" in cancelled.output
