"""Clocks that are set: no deadline, lease or heartbeat asks the wall clock, and namespaces do not matter."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import brokers
import mmc
from tests.integration.processes import Cluster, content_of

_OTHER_TIME = ("unshare", "--time", "--boottime", "864000", "--monotonic", "864000", "--fork", "--kill-child")
_WALL = {"time", "localtime", "gmtime", "ctime", "strftime", "time_ns", "now", "utcnow", "today"}
_STAMPS = {
    "mmc/log.py": "the timestamp of a line",
    "mmc/http/facts.py": "the timestamp of an answer",
    "mmc/http/routes.py": "the timestamp of an answer",
}
"""What the wall clock is for: to be read by people."""
_MEASURING = "mmc/bench/"
LATER = """
import sys, mmc
with mmc.Client(sys.argv[1]) as client:
    client.wait_for_ranks(1)
    assert client.get("k") == b"k" * 100
    assert 0 < client.add_lease("k", 5000) <= 5
    client.put("later", b"x", timeout=5)
    with client.view("k") as memory:
        print(len(memory))
"""


def wall_clocks(path: Path) -> list[str]:
    """Where a file asks the wall clock: CLOCK_REALTIME, `time.time` and its like, `datetime.now`."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Attribute(value=ast.Name(id="time" | "datetime" | "date"), attr=name) if name in _WALL:
                found.append(f"{path}:{node.lineno}")
            case ast.Attribute(attr="CLOCK_REALTIME") | ast.Name(id="CLOCK_REALTIME"):
                found.append(f"{path}:{node.lineno}")
            case ast.ImportFrom(module="time", names=names) if {name.name for name in names} & _WALL:
                found.append(f"{path}:{node.lineno}")
    return found


def test_only_timestamps_ask_the_wall_clock() -> None:
    """Whatever waits, expires or ages does so by the time since the host's boot, which nobody can set."""
    root = Path(mmc.__file__).parents[1]
    files = [path for package in (mmc, brokers) for path in Path(str(package.__file__)).parent.rglob("*.py")]
    asking = {str(path.relative_to(root)) for path in files if wall_clocks(path)}
    assert {name for name in asking if not name.startswith(_MEASURING)} == set(_STAMPS)


def test_a_time_namespace_is_no_other_time() -> None:
    """An engine whose clocks are ten days ahead of its cluster's reads, leases, puts and views."""
    tried = subprocess.run([*_OTHER_TIME, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"no time namespace can be made here: {tried.stderr.decode().strip()}")
    with Cluster(1) as cluster:
        cluster.client().put("k", b"k" * 100)
        command = [*_OTHER_TIME, sys.executable, "-c", LATER, cluster.meta_url]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ended.stdout == "100\n", ended
        cluster.client().put("after", content_of("after"))
