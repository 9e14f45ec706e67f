"""Processes without a file descriptor to spare: a code and the remedy, no abort, and well again with room."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.processes import Cluster, content_of, finish, run_python, wait_until

_MMC = (sys.executable, "-m", "mmc.cli")
CONNECTING = """
import os, resource, sys, structlog, time
import mmc
from mmc.config import load_config
with mmc.embedded(dram="2MB") as warm:  # whatever is imported late is imported now
    warm.put("k", b"v")
config = load_config()
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
held = []
def use_up(spared):
    try:
        while True:
            held.append(os.dup(0))
    except OSError:
        for _ in range(spared):
            os.close(held.pop())
"""
NEWCOMER = (
    CONNECTING
    + """
for spared in range(64):
    use_up(spared)
    try:
        with mmc.Client(sys.argv[1], config) as client:
            client.wait_for_ranks(1)
            client.put(f"k{spared}", b"v")
            assert client.get(f"k{spared}") == b"v"
            print("works", spared)
            break
    except mmc.CacheError as error:
        assert int(error.code) in (-3000, -3001, -3002, -3018), (spared, error)
        last = error
print(last)
"""
)
NEIGHBOUR = """
import sys, mmc
client = mmc.Client(sys.argv[1])
client.wait_for_ranks(1)
print("in", flush=True)
client.put("new", b"x", timeout=60)
print("put")
client.close()
"""
RESTARTED = (
    CONNECTING
    + """
client = mmc.Client(sys.argv[1], config)
client.wait_for_ranks(1)
client.put("k", b"before")
use_up(0)
print("none left", flush=True)
sys.stdin.readline()
refused = ""
ends = time.monotonic() + 20
while "file descriptors" not in refused and time.monotonic() < ends:  # until the return has been heard of
    try:
        client.put("other", b"x", timeout=2)
        refused = "put"
        break
    except mmc.CacheError as error:
        refused = f"{int(error.code)} {error.sentence}"
print(refused, flush=True)
for descriptor in held:
    os.close(descriptor)
client.wait_for_rank(0, timeout=20)
client.put("other", b"well again", timeout=20)
print(client.get("other").decode())
client.close()
"""
)


def test_a_client_that_finds_too_few_descriptors_is_refused() -> None:
    """However few are left, connecting and working end with a code and the remedy, or succeed."""
    with Cluster(1) as cluster:
        engine = run_python(NEWCOMER, cluster.meta_url)
        printed = finish(engine, seconds=120)
    assert engine.returncode == 0, printed
    assert "works" in printed
    assert "file descriptors" in printed
    assert "ulimit -n" in printed


def test_a_client_whose_descriptors_run_out_is_well_again_with_room() -> None:
    """A rank comes back with a new segment meanwhile: the put says what is lacking, and works later."""
    with Cluster(1) as cluster:
        engine = run_python(RESTARTED, cluster.meta_url)
        assert engine.stdin is not None
        assert engine.stdout is not None
        assert engine.stdout.readline() == "none left\n"
        rank = cluster.locals[0]
        rank.end()
        rank.start()
        engine.stdin.write("\n")
        engine.stdin.flush()
        refused = engine.stdout.readline()
        assert refused.startswith("-3018")
        assert "file descriptors" in refused
        assert finish(engine, seconds=60).splitlines()[-1:] == ["well again"]
        assert engine.returncode == 0


def test_a_rank_without_descriptors_serves_whom_it_knows() -> None:
    """Newcomers wait, nobody's memory is taken, and with room again they are served."""
    with Cluster(1) as cluster:
        client = cluster.client()
        client.put("k", content_of("k"))
        pid = cluster.locals[0].process.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        in_use = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (in_use, limits[1]))
        newcomer = run_python(NEIGHBOUR, cluster.meta_url)
        assert newcomer.stdout is not None
        assert newcomer.stdout.readline() == "in\n"
        client.put("more", content_of("more"))
        assert client.get("more") == content_of("more")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        assert finish(newcomer, seconds=90) == "put\n"
        wait_until(lambda: cluster.rank_counters(client)[0]["clients"] == 1, "the newcomer has left")
        assert cluster.locals[0].process.poll() is None


@pytest.mark.parametrize("limit", [10, 16, 24])
def test_services_that_may_open_too_few_files_say_so(limit: int) -> None:
    """`mmc up` ends with one sentence that names the limit and the remedy, and no process is left."""
    limited = ("prlimit", f"--nofile={limit}:{limit}", *_MMC)
    ended = subprocess.run(
        [*limited, "up", "--meta-url", "tcp://127.0.0.1:0", "--dram", "4MB"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1, ended
    assert f"the limit is {limit}" in ended.stderr
    assert "ulimit -n" in ended.stderr
    assert "-3002" in ended.stderr
    assert "Traceback" not in ended.stderr
