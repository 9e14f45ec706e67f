"""Shared memory that is small or full: one sentence with sizes and remedy, and no harm to who is there."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mmc.errors import Code
from tests.integration.broken_places import BOXED, Logs, require_box, small_disk
from tests.integration.processes import Cluster, finish, run_python

if TYPE_CHECKING:
    from collections.abc import Sequence

_MMC = (sys.executable, "-m", "mmc.cli")
_REMEDIES = ("/dev/shm has 67 MB free and", "are needed", "--shm-size", "segment_dir", "-3001")
EMBEDDED = """
import mmc
try:
    mmc.embedded(dram="256MB")
except mmc.CacheError as error:
    print(error)
"""
STORE = """
import sys, mmc
store = mmc.DistributedObjectStore()
store.setup(mmc.LocalConfig(meta_service_url=sys.argv[1], dram_size="256MB"))
code = store.init(0)
print(mmc.last_error().sentence, code)
"""
WRITER = """
import sys, mmc
with mmc.Client(sys.argv[1]) as client:
    print(client.get("k").decode())
    try:
        client.put("other", b"x")
    except mmc.CacheError as error:
        print(error)
"""


def boxed(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command where /dev/shm has 64 MB."""
    require_box()
    return subprocess.run([*BOXED, *command], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "arguments",
    [("up", "--meta-url", "tcp://127.0.0.1:0"), ("local", "--meta-url", "tcp://127.0.0.1:1")],
    ids=["up", "local"],
)
def test_a_container_s_shared_memory_is_too_small_for_the_default(arguments: Sequence[str]) -> None:
    """With the 64 MB of a container that asks for nothing, nothing starts, and the remedy is named."""
    ended = boxed([*_MMC, *arguments])
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    for part in _REMEDIES:
        assert part in ended.stderr


def test_an_embedded_cluster_that_does_not_fit() -> None:
    """The program gets the same sentence as an exception."""
    ended = boxed([sys.executable, "-c", EMBEDDED])
    assert ended.returncode == 0, ended.stderr
    for part in _REMEDIES:
        assert part in ended.stdout


def test_a_store_s_rank_that_does_not_fit() -> None:
    """`init` gives -3001, and `last_error` the sentence of the rank's process."""
    with Cluster(1) as cluster:
        ended = boxed([sys.executable, "-c", STORE, cluster.meta_url])
    for part in _REMEDIES:
        assert part in ended.stdout


def test_a_small_pool_fits_into_a_container_s_shared_memory() -> None:
    """In 64 MB a pool of 32 MB can be served, and nothing is left there afterwards."""
    ended = boxed([sys.executable, "-c", EMBEDDED.replace("256MB", "32MB") + "\nprint('served')"])
    assert ended.stdout == "served\n", ended


def test_a_client_without_room_for_its_lock_file_reads_and_says_why(tmp_path: Path) -> None:
    """Where no file can be made, an engine reads what is there, and a put names the reason."""
    logs = Logs(tmp_path / "logs")
    with small_disk(tmp_path / "shm", "32m,nr_inodes=8") as place:
        config = logs.settings("[local]", f'segment_dir = "{place}"')
        with Cluster(1, config=config) as cluster:
            cluster.client().put("k", b"here")
            with contextlib.suppress(OSError):
                for number in range(16):
                    (place / f"file-{number}").touch()
            printed = finish(run_python(WRITER, cluster.meta_url))
    lines = [line for line in printed.splitlines() if "timestamp=" not in line]
    assert lines[0] == "here"
    assert lines[1].endswith("(-3018)")
    assert "only reads segment" in lines[1]
    assert "No space left on device" in lines[1]


def test_objects_stay_when_a_larger_pool_does_not_fit(tmp_path: Path) -> None:
    """A rank that is started again with more than there is room for is refused, and keeps its segment."""
    with small_disk(tmp_path / "shm", "24m") as place:
        config = Logs(tmp_path / "logs").settings("[local]", f'segment_dir = "{place}"')
        with Cluster(1, "4MB", config=config) as cluster:
            cluster.client().put("k", b"kept")
            rank = cluster.locals[0]
            rank.signal(signal.SIGKILL)
            small = rank.options
            rank.options = replace(small, dram="64MB")
            rank.start()
            assert int(rank.facts["code"]) == Code.NO_SYSTEM_MEMORY
            assert f"{place} has" in rank.facts["failure"]
            rank.process.wait()
            rank.options = small
            rank.start()
            client = cluster.client()
            assert client.get("k") == b"kept"
            assert client.put_batch(["k"], [b"x"]) == [Code.EXISTS]
