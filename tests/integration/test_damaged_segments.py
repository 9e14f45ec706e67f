"""A rank that is started again on a segment that it cannot take up: it says why, and serves."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mmc.errors import Code
from mmc.segments.layout import AT_FORMAT, PAGE
from tests.integration.broken_places import Logs
from tests.integration.processes import Cluster, content_of, finish, run_python

COLD = "a segment is not taken up again: starting cold"
WRITER = """
import sys, mmc
with mmc.Client(sys.argv[1]) as client:
    client.wait_for_ranks(1)
    client.put("k", b"before" * 100)
"""


def write_at(path: Path, at: int, data: bytes) -> None:
    """Scribble on a file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def cut(path: Path) -> None:
    """Some pages are missing."""
    os.truncate(path, path.stat().st_size - 4 * PAGE)


def empty(path: Path) -> None:
    """Nothing is left."""
    os.truncate(path, 0)


def age(path: Path) -> None:
    """Another version laid it out."""
    write_at(path, 8 * AT_FORMAT, b"\x63")


def scribble(path: Path) -> None:
    """All tables are noise."""
    write_at(path, PAGE, os.urandom(64 * PAGE))


DAMAGES: dict[Callable[[Path], None], str] = {
    cut: "truncated or damaged",
    empty: "0 bytes",
    age: "layout is version 99",
    scribble: "tables are damaged",
}
CHANGES = {
    "local.dram": "",
    "local.clients_max": "clients_max = 64",
    "local.bytes_per_record": "bytes_per_record = 65536",
}


def restarted(cluster: Cluster, logs: Logs, between: Callable[[Path], None]) -> str:
    """Kill the rank, let something be done to its segment, start it again; what it says of that."""
    finish(run_python(WRITER, cluster.meta_url))
    rank = cluster.locals[0]
    rank.signal(signal.SIGKILL)
    between(next(Path("/dev/shm").glob(f"mmc-{cluster.pool}*.dram")))
    rank.start()
    client = cluster.client()
    assert not client.exist("k")
    assert client.put_batch(["k"], [content_of("k")]) == [Code.OK]
    assert client.get("k") == content_of("k")
    (line,) = logs.lines("local", COLD)
    assert "level=warning" in line
    return line


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_segment_is_replaced_with_a_warning(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Whatever became of the file, the rank names it and the reason, and serves from a new one."""
    logs = Logs(tmp_path / "logs")
    with Cluster(1, config=logs.settings()) as cluster:
        assert DAMAGES[damage] in restarted(cluster, logs, damage)


@pytest.mark.parametrize("setting", CHANGES)
def test_changed_settings_cost_the_objects_and_are_named(tmp_path: Path, setting: str) -> None:
    """A rank that is started with another layout begins empty, and says which setting has done that."""
    logs = Logs(tmp_path / "logs")
    with Cluster(1, config=logs.settings()) as cluster:
        rank = cluster.locals[0]
        changed = replace(rank.options, config=logs.settings("[local]", CHANGES[setting]))
        rank.options = changed if CHANGES[setting] else replace(rank.options, dram="32MB")
        line = restarted(cluster, logs, lambda _path: None)
        assert "settings were changed: " in line
        assert setting in line
