"""A segment that somebody removes or truncates while it is used: engines live, ranks begin anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmc.errors import CacheError, Code
from tests.integration.broken_places import Logs
from tests.integration.processes import Cluster, content_of, finish, run_python, wait_until

LOST = "the segment is lost: this service ends"
ENGINE = """
import sys, threading, mmc
client = mmc.Client(sys.argv[1])
client.wait_for_ranks(1)
with client.view("k") as memory:
    print(len(client.get("k")), flush=True)
    sys.stdin.readline()
    turn = threading.Event()
    while client.connection.actor.ranks:
        turn.wait(0.01)
    print("dropped", flush=True)
print("view closed", flush=True)
try:
    print(client.get("k", timeout=1))
except mmc.CacheError as error:
    print(error, flush=True)
sys.stdin.readline()
client.wait_for_ranks(1)
client.put("k", b"again")
print(client.get("k").decode())
client.close()
"""


def segment_of(cluster: Cluster) -> Path:
    """The only segment."""
    return next(Path("/dev/shm").glob(f"mmc-{cluster.pool}*.dram"))


@pytest.mark.parametrize("size", [0, 4096 * 16])
def test_an_idle_engine_survives_a_truncated_segment(tmp_path: Path, size: int) -> None:
    """It notices, closes its views, says so in a code, and goes on with the segment that follows."""
    logs = Logs(tmp_path / "logs")
    with Cluster(1, config=logs.settings()) as cluster:
        other = run_python("import sys, mmc; c = mmc.Client(sys.argv[1]); c.wait_for_ranks(1); "
                           "c.put('k', b'x' * 4096); c.close()", cluster.meta_url)  # fmt: skip
        assert finish(other) == ""
        engine = run_python(ENGINE, cluster.meta_url)
        assert engine.stdin is not None
        assert engine.stdout is not None
        assert engine.stdout.readline() == "4096\n"
        os.truncate(segment_of(cluster), size)
        rank = cluster.locals[0]
        wait_until(lambda: rank.process.poll() is not None, "the rank ends")
        engine.stdin.write("\n")
        engine.stdin.flush()
        said = [engine.stdout.readline() for _ in range(3)]
        assert said[:2] == ["dropped\n", "view closed\n"]
        assert "-3014" in said[2] or "-3018" in said[2]
        assert "; segment /dev/shm/" in said[2]
        rank.start()
        assert finish(engine, "\n").splitlines()[-1:] == ["again"]
        assert engine.returncode == 0
        if rank.process.returncode == 1:  # else the kernel was faster
            assert "was truncated to" in logs.lines("local", LOST)[0]


def test_a_removed_segment_is_noticed_by_its_rank(tmp_path: Path) -> None:
    """The rank says what happened and leaves, its objects are gone for all, and its next life serves."""
    logs = Logs(tmp_path / "logs")
    with Cluster(1, config=logs.settings()) as cluster:
        client = cluster.client()
        client.put("k", content_of("k"))
        segment_of(cluster).unlink()
        rank = cluster.locals[0]
        wait_until(lambda: rank.process.poll() is not None, "the rank ends")
        assert rank.process.returncode == 1
        (line,) = logs.lines("local", LOST)
        assert "was removed by another process" in line
        rank.start()
        client.wait_for_ranks(1)
        with pytest.raises(CacheError) as caught:
            client.get("k")
        assert caught.value.code == Code.NOT_FOUND
        client.put("k", content_of("k"))
        assert client.get("k") == content_of("k")
