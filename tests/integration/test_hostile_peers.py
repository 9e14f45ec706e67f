"""Real services under peers that speak no protocol, half of one, or ours without meaning it."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
import zmq

from mmc.client import Client
from mmc.wire.requests import REQUESTS_TO_META, REQUESTS_TO_RANK
from tests.integration.hostile_peers import Connections, babbling, openings, subscription
from tests.integration.processes import Cluster, Service, content_of, run_python, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIZE = 5000
_MOST_GROWTH_MB = 200
_MESSAGES = 1500
_FILES = 96
_KEYS = 400
_ROUNDS = 100


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One rank for all tests of this file: what one does to it the next finds."""
    with Cluster(ranks=1) as cluster:
        yield cluster


def services(cluster: Cluster) -> dict[str, Service]:
    """Each process of the cluster."""
    return {"broker": cluster.broker, "meta": cluster.meta, "rank": cluster.locals[0]}


def doors(cluster: Cluster, client: Client) -> dict[str, tuple[str, bytes]]:
    """Each address that strangers can connect to, and the kind of socket that is expected there."""
    rank = client.connection.actor.members[0].control_url
    return {
        "requests": (cluster.meta_url, b"DEALER"),
        "events": (cluster.events_url, b"SUB"),
        "rank": (rank, b"DEALER"),
    }


def megabytes(service: Service) -> float:
    """Resident memory of a process, in MB."""
    pages = int(Path(f"/proc/{service.process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def works(client: Client, key: str) -> None:
    """A client puts, finds, gets and removes."""
    content = content_of(key, _SIZE)
    client.put(key, content)
    assert client.get(key) == content
    wait_until(lambda: client.query(key).size == _SIZE, "it is known")
    client.remove(key)
    assert not client.exist(key)


@contextlib.contextmanager
def unharmed(cluster: Cluster) -> Iterator[Client]:
    """What is done meanwhile ends no process, takes little memory, and honest clients are served."""
    before = {name: megabytes(service) for name, service in services(cluster).items()}
    pids = {name: service.process.pid for name, service in services(cluster).items()}
    with Client(cluster.meta_url) as client:
        client.wait_for_ranks(1)
        works(client, "before")
        yield client
        works(client, "after")
    for name, service in services(cluster).items():
        assert service.process.poll() is None, f"{name} has ended"
        assert service.process.pid == pids[name]
        assert megabytes(service) < before[name] + _MOST_GROWTH_MB, name
    with Client(cluster.meta_url) as newcomer:
        newcomer.wait_for_ranks(1)
        works(newcomer, "newcomer")


@pytest.mark.parametrize("door", ["requests", "events", "rank"])
def test_whatever_is_said_to_a_port(cluster: Cluster, door: str) -> None:
    """Noise, half a handshake, frames that claim to be immense: clients are served meanwhile, and after."""
    chance = Random(1)
    with unharmed(cluster) as client:
        url, kind = doors(cluster, client)[door]
        with Connections(url) as strangers:
            for _ in range(10):
                for opening in openings(kind, chance):
                    strangers.say(opening)
            works(client, "meanwhile")


def test_many_connections_that_say_nothing(cluster: Cluster) -> None:
    """Hundreds of half-open connections keep nobody from connecting and working."""
    with unharmed(cluster) as client:
        for url, _ in doors(cluster, client).values():
            with Connections(url) as strangers:
                for _ in range(300):
                    strangers.say(b"")
                with Client(cluster.meta_url) as newcomer:
                    newcomer.wait_for_ranks(1)
                    works(newcomer, "beside them")


def test_more_connections_than_a_broker_may_have_files(cluster: Cluster) -> None:
    """At its limit of open files the broker serves whom it knows, and newcomers once there is room."""
    pid = cluster.broker.process.pid
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    with unharmed(cluster) as client:
        with Connections(cluster.meta_url) as strangers:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (_FILES, hard))
            for _ in range(2 * _FILES):
                strangers.knock()
            works(client, "at the limit")
        wait_until(lambda: len(list(Path(f"/proc/{pid}/fd").iterdir())) < _FILES, "connections are gone")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("door", ["requests", "rank"])
def test_messages_that_nobody_means(cluster: Cluster, door: str) -> None:
    """Wild and damaged messages are answered with codes, none of which is a fault of the service's own."""
    kinds = REQUESTS_TO_RANK if door == "rank" else tuple(k for k in REQUESTS_TO_META if k not in _MEMBERS)
    with unharmed(cluster) as client:
        url, _ = doors(cluster, client)[door]
        with babbling(url, kinds) as babbler:
            babbler.babble(Random(2), _MESSAGES)
            assert babbler.answers > _MESSAGES // 3
            assert babbler.faults == []


_MEMBERS = frozenset(kind for kind in REQUESTS_TO_META if kind.__name__ in ("Join", "Leave"))
"""What makes a member, or changes one: a stranger who says it is one."""


def test_a_flood_of_frames_in_one_message(cluster: Cluster) -> None:
    """A message of a hundred thousand parts is refused like any other that is none."""
    context = zmq.Context[zmq.Socket[bytes]]()
    with unharmed(cluster), context, context.socket(zmq.DEALER) as stranger:
        stranger.setsockopt(zmq.LINGER, 0)
        stranger.connect(cluster.meta_url)
        stranger.send_multipart([b""] * 100_000)
        assert stranger.poll(20_000), "no answer"


def test_a_topic_that_is_none_of_ours(cluster: Cluster) -> None:
    """A subscription of megabytes, which would be kept byte by byte, cuts its subscriber off."""
    with unharmed(cluster), Connections(cluster.events_url) as strangers:
        for size in (2000, 16 << 20):
            assert strangers.is_dropped(subscription(size))


def test_a_subscriber_that_stands_still_costs_its_own_events(tmp_path: Path) -> None:
    """Beside a stopped subscriber to everything the events of others arrive, and little memory is taken."""
    config = tmp_path / "short.toml"
    config.write_text("[wire]\nqueue_messages = 64\n", encoding="utf-8")
    with (
        Cluster(ranks=1, config=str(config)) as cluster,
        run_python(_SUBSCRIBER, cluster.events_url) as stranger,
        contextlib.closing(_Killed(stranger.pid)),
        unharmed(cluster) as client,
    ):
        assert stranger.stdout is not None
        assert stranger.stdout.readline() == "heard\n"
        os.kill(stranger.pid, signal.SIGSTOP)
        keys = [f"key {number}" for number in range(_KEYS)]
        for _ in range(_ROUNDS):  # each of them makes some 20 KB of events
            assert not any(client.put_batch(keys, [b"x"] * _KEYS))
            assert set(map(int, client.remove_batch(keys))) <= {0, -3007}  # some may be evicted before


class _Killed:
    """A process that does not outlive this, though it stands still."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def close(self) -> None:
        """Kill it."""
        os.kill(self._pid, signal.SIGKILL)


_SUBSCRIBER = """
import sys, zmq
subscriber = zmq.Context().socket(zmq.SUB)
subscriber.setsockopt(zmq.RCVHWM, 1)
subscriber.setsockopt(zmq.RCVBUF, 4096)
subscriber.setsockopt(zmq.SUBSCRIBE, b"")
subscriber.connect(sys.argv[1])
subscriber.recv_multipart()
print("heard", flush=True)
sys.stdin.read()
"""
