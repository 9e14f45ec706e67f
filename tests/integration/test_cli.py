"""The commands of ``mmc`` for objects and hosts, as a user types them, against one cluster."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mmc.client import Client
from mmc.errors import Code
from tests.integration.processes import Cluster, wait_until

RANKS = 2
BINARY = bytes(range(256)) * 300
ODD_KEY = b"odd/\xff"
PATIENCE_S = 30


class Ended(NamedTuple):
    """What a command printed, and its exit status."""

    status: int
    output: bytes
    complaint: str

    @property
    def json(self) -> dict[str, Any]:
        """The JSON object that it printed."""
        found = json.loads(self.output)
        assert isinstance(found, dict)
        return found


class Shell:
    """Runs commands against one cluster, several at once since each takes a second to start."""

    def __init__(self, meta_url: str) -> None:
        """Every command is told of this URL."""
        self._meta_url = meta_url

    def run(self, *commands: str | tuple[str | bytes, ...], given: bytes = b"") -> list[Ended]:
        """Run commands beside one another; each is handed the same standard input."""
        started = [
            subprocess.Popen(
                [sys.executable, "-m", "mmc.cli", *self._arguments(command)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            for command in commands
        ]
        ended = []
        for process in started:
            output, complaint = process.communicate(given, PATIENCE_S)
            ended.append(Ended(process.returncode, output, complaint.decode()))
            assert b"Traceback" not in complaint, complaint
        return ended

    def _arguments(self, command: str | tuple[str | bytes, ...]) -> list[str | bytes]:
        words: list[str | bytes] = [*(command.split() if isinstance(command, str) else command)]
        return words if "--meta-url" in words else [*words, "--meta-url", self._meta_url]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster for all tests of this file."""
    with Cluster(ranks=RANKS) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster: Cluster) -> Client:
    """A client of it in this process."""
    return cluster.client()


@pytest.fixture
def mmc(cluster: Cluster) -> Shell:
    """The command line."""
    return Shell(cluster.meta_url)


def fill(client: Client, keys: list[str]) -> None:
    """Put small objects, and wait until they can be listed."""
    assert client.put_batch(keys, [b"content"] * len(keys)) == [Code.OK] * len(keys)
    wait_until(lambda: set(keys) <= set(client.keys()), "they are listed")


def test_bytes_go_in_and_come_out(mmc: Shell, client: Client, tmp_path: Path) -> None:
    """Standard streams and files carry any bytes, to the ranks that were asked for, once."""
    source, target, empty = tmp_path / "in", tmp_path / "out", tmp_path / "empty"
    source.write_bytes(BINARY)
    empty.touch()
    piped, filed, none = mmc.run(
        "put cli/pipe",
        ("put", "cli/file", str(source), "--rank", "1", "--rank", "0", "--json"),
        ("put", "cli/empty", str(empty)),
        given=BINARY,
    )
    assert (piped.status, piped.output, piped.complaint) == (0, b"", "")
    assert filed.json == {"results": [{"key": "cli/file", "code": 0, "size_bytes": len(BINARY)}]}
    assert sorted(client.query("cli/file").ranks) == [0, 1]
    assert (none.status, none.output) == (1, b"")
    assert "at least one byte (-3000)" in none.complaint

    out, file, absent, taken = mmc.run(
        "get cli/file",
        ("get", "cli/pipe", str(target), "--json"),
        ("get", "cli/absent", str(tmp_path / "absent")),
        "put cli/pipe --timeout 2",
        given=b"other",
    )
    assert out.output == target.read_bytes() == BINARY
    assert file.json["results"][0]["size_bytes"] == len(BINARY)
    assert absent.status == 1
    assert "no such object (-3007)" in absent.complaint
    assert not (tmp_path / "absent").exists()
    assert taken.status == 1
    assert "already exists (-3006)" in taken.complaint
    assert client.get("cli/pipe") == BINARY


def test_objects_are_asked_about(mmc: Shell, client: Client) -> None:
    """What is there is told key by key, also of keys that are no text; what is not is status 1."""
    fill(client, ["ask/1", "ask/2"])
    client.put(ODD_KEY, b"odd")
    wait_until(lambda: len(list(client.keys("odd/"))) == 1, "it is listed")
    yes, mixed, info, odd, listed, limited = mmc.run(
        "exists ask/1 ask/2",
        "exists ask/1 ask/absent --json",
        "info ask/1 ask/absent --json",
        ("info", ODD_KEY),
        "keys ask/ --json",
        "keys odd/ --limit 1",
    )
    assert (yes.status, yes.output) == (0, b"yes\task/1\nyes\task/2\n")
    assert mixed.status == 1
    assert [(row["exists"], row["code"]) for row in mixed.json["results"]] == [(True, 0), (False, -3007)]
    assert "'ask/absent': there is no such object (-3007)" in mixed.complaint
    found, absent = info.json["results"]
    assert (found["size_bytes"], found["leased"], len(found["ranks"])) == (7, False, 1)
    assert absent == {"key": "ask/absent", "code": -3007}
    assert info.status == 1
    assert odd.output.startswith(ODD_KEY + b"\t3 bytes\tranks ")
    assert odd.output.endswith(b"not leased\n")
    assert sorted(listed.json["keys"]) == ["ask/1", "ask/2"]
    assert limited.output == ODD_KEY + b"\n"


def test_a_lease_outlives_its_command_until_it_is_ended(mmc: Shell, client: Client) -> None:
    """A leased object cannot be removed after the command has exited; another command ends the lease."""
    fill(client, ["lease/1", "lease/2"])
    (leased,) = mmc.run("lease lease/1 lease/absent --ttl-ms 60000 --json")
    assert leased.status == 1
    assert [row["code"] for row in leased.json["results"]] == [0, -3007]
    assert client.query("lease/1").leased
    assert client.unlease_batch(["lease/1"]) == [Code.OK]
    (refused,) = mmc.run("rm lease/1 lease/2 --json")
    assert refused.status == 1
    assert refused.json["removed"] == 1
    assert [row["code"] for row in refused.json["results"]] == [-3104, 0]
    assert "explicit lease (-3104)" in refused.complaint
    (ended,) = mmc.run("lease lease/1 --end")
    assert ended == (0, b"", "")
    assert client.remove_batch(["lease/1"]) == [Code.OK]


def test_what_was_removed_is_counted(mmc: Shell, client: Client) -> None:
    """Objects go by their keys, by the beginning of their keys, or all at once."""
    fill(client, ["rm/a/1", "rm/a/2", "rm/b"])
    absent, part = mmc.run("rm rm/absent", "rm --prefix rm/a")
    assert (absent.status, absent.output) == (1, b"removed 0\n")
    assert (part.status, part.output) == (0, b"removed 2\n")
    assert list(client.keys("rm/")) == ["rm/b"]
    left = len(list(client.keys()))
    (rest,) = mmc.run("rm --all --json")
    assert (rest.status, rest.json) == (0, {"removed": left, "results": []})
    assert list(client.keys()) == []


def test_status_tells_everything(mmc: Shell, cluster: Cluster, client: Client) -> None:
    """Ranks with their states and sizes, totals, hits, and orphans that are left where they are."""
    fill(client, ["status/1"])
    with Client(cluster.meta_url) as passing:
        passing.wait_for_ranks(1)
        passing.get_batch(["status/1", "status/absent"])
    wait_until(lambda: dict(client.status().counters)["gets"] >= 2, "hits are told at a goodbye")
    orphan = Path(f"/dev/shm/mmc-test-orphan-{os.getpid()}.dram")
    orphan.write_bytes(b"left")
    try:
        shown, table = mmc.run("status --json", "status")
        assert orphan.exists()
    finally:
        orphan.unlink()
    facts = shown.json
    assert set(facts) == {"meta", "ranks", "totals", "hit_rate", "orphans"}
    assert set(facts["ranks"]) == {"0", "1"}
    assert {rank["state"] for rank in facts["ranks"].values()} == {"live"}
    for name in ("capacity_bytes", "used_bytes", "reserved_bytes", "quarantined_bytes", "records",
                 "free_records", "objects", "evictions", "clients"):  # fmt: skip
        assert facts["totals"][name] == sum(rank[name] for rank in facts["ranks"].values())
    assert facts["totals"]["capacity_bytes"] == RANKS * (16 << 20)
    assert facts["hit_rate"] == facts["meta"]["hits"] / facts["meta"]["gets"]
    assert facts["meta"]["sessions"] >= 1
    assert {"path": str(orphan), "bytes": 4, "waits": False} in facts["orphans"]
    assert all(name.isidentifier() for name in (*facts["meta"], *facts["ranks"]["0"]))
    for word in (b"hit rate", b"live", orphan.name.encode()):
        assert word in table.output


def test_the_doctor_names_every_check(mmc: Shell) -> None:
    """The exit status is that of the findings, each of which has all its fields."""
    (found,) = mmc.run("doctor --json")
    findings = found.json["findings"]
    names = {finding["name"] for finding in findings}
    assert names >= {
        "segment_dir", "segment_room", "segment_files", "orphans", "open_files", "locked_memory", "port_5000",
        "port_8000", "kernel", "processor", "python", "package_mmc", "package_pyzmq",
    }  # fmt: skip
    assert all(set(finding) == {"name", "ok", "sentence", "remedy"} for finding in findings)
    assert found.json["ok"] == all(finding["ok"] for finding in findings)
    assert found.status == (0 if found.json["ok"] else 1)


def test_where_nobody_answers_the_complaint_says_so(mmc: Shell) -> None:
    """Without a cluster the complaint has -3017 and nothing is on standard output."""
    (alone,) = mmc.run("keys --json --meta-url tcp://127.0.0.1:1 --timeout 0.3")
    assert (alone.status, alone.output) == (1, b"")
    assert "(-3017)" in alone.complaint
