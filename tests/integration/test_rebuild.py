"""What a killed service knew, the next one knows again, and reads on the same host never notice."""

from __future__ import annotations

import signal
import subprocess

import pytest

from mmc.client import Client
from mmc.errors import Code
from tests.integration.processes import Cluster, Service, content_of, finish, run_python, wait_until

_OBJECTS, _REMOVED, _LEASED = 3000, 100, 50
_READS = 200
_LEASE_MS = 600_000

_READER = """
import random, select, sys, mmc
from tests.integration.processes import content_of
client = mmc.Client(sys.argv[1])
client.wait_for_ranks(2)
keys = [f"kept-{i}" for i in range(int(sys.argv[2]))]
reads, wrong = 0, []
print("reading", flush=True)
while True:
    if select.select([sys.stdin], [], [], 0.0005)[0]:
        if not sys.stdin.readline():
            break
        print(reads, wrong[:3], flush=True)
        reads = 0
    key = random.choice(keys)
    try:
        content = client.get(key, timeout=1)
        if content != content_of(key):
            wrong.append(key)
    except mmc.CacheError as error:
        wrong.append((key, str(error)))
    reads += 1
print("end", flush=True)
"""


class _Reader:
    """Another process, which reads random keys all the while."""

    def __init__(self, cluster: Cluster) -> None:
        self.process: subprocess.Popen[str] = run_python(_READER, cluster.meta_url, str(_OBJECTS))
        assert self._line() == "reading\n"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def reads(self) -> int:
        """How many reads have ended since the last call; all of them were right."""
        assert self.process.stdin is not None
        self.process.stdin.write("lap\n")
        self.process.stdin.flush()
        reads, _, wrong = self._line().strip().partition(" ")
        assert wrong == "[]", wrong
        return int(reads)

    def goes_on(self, when: str) -> None:
        """Wait until a good number of reads have ended from here on."""
        self.reads()
        done = 0

        def enough() -> bool:
            nonlocal done
            done += self.reads()
            return done >= _READS

        wait_until(enough, f"reads {when}")

    def end(self) -> None:
        """Have it end."""
        assert finish(self.process) == "end\n"


def _put_everything(client: Client) -> tuple[dict[str, bytes], list[str]]:
    """Objects that are kept, the first of them leased, and the keys of others that are removed."""
    kept = {key: content_of(key) for key in (f"kept-{i}" for i in range(_OBJECTS))}
    removed = [f"removed-{i}" for i in range(_REMOVED)]
    keys = [*kept, *removed]
    assert not any(client.put_batch(keys, [*kept.values(), *map(content_of, removed)]))
    assert not any(client.lease_batch(list(kept)[:_LEASED], ttl_ms=_LEASE_MS))
    assert not any(client.remove_batch(removed))
    return kept, removed


def _all_is_known(client: Client) -> bool:
    """Whether the meta service knows every object, of ranks that have all reported."""
    report = client.status()
    states = [dict(counters)["state"] for _, counters in report.ranks]
    return dict(report.counters)["objects"] == _OBJECTS and states == [1, 1]


def _kill_and_verify(
    service: Service, client: Client, reader: _Reader, kept: dict[str, bytes], removed: list[str]
) -> None:
    service.signal(signal.SIGKILL)
    reader.goes_on("while it is dead")
    service.start()
    wait_until(lambda: _all_is_known(client), "all objects are known again")
    reader.goes_on("after it is back")
    keys = list(kept)
    infos = client.query_batch(keys)
    assert [getattr(info, "size", info) for info in infos] == [4096] * _OBJECTS
    assert [getattr(info, "leased", None) for info in infos] == [i < _LEASED for i in range(_OBJECTS)]
    assert set(client.query_batch(removed)) == {Code.NOT_FOUND}
    assert set(client.read_batch(removed)[1]) == {Code.NOT_FOUND}
    assert set(client.remove_batch(keys[:_LEASED])) == {Code.LEASED}
    assert client.get_batch(keys) == list(kept.values())


def test_everything_is_known_again_after_kills_and_same_host_reads_never_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After SIGKILL of the meta service and of ranks, objects and leases are back, removed keys are not."""
    monkeypatch.setenv("MMC_LOCAL_BYTES_PER_RECORD", "4096")
    with Cluster() as cluster:
        client = cluster.client()
        kept, removed = _put_everything(client)
        reader = _Reader(cluster)
        for service in (cluster.meta, cluster.locals[0], cluster.meta, cluster.locals[1]):
            _kill_and_verify(service, client, reader, kept, removed)
        contents = list(map(content_of, removed))
        assert not any(client.put_batch(removed, contents))
        assert client.get_batch(removed) == contents
        reader.end()
