"""The life of a process that has a store: fork, spawn, threads, daemons, exit without close, sudden death."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mmc
from mmc import DistributedObjectStore, LocalConfig
from mmc.services.pool import pool_name
from tests.integration.processes import Cluster, finish, run_python, wait_until

OWNER = """
import os, sys
from mmc import DistributedObjectStore, LocalConfig
config = LocalConfig(meta_service_url=sys.argv[1], dram_size="4MB", log_level="error")
store = DistributedObjectStore()
assert store.setup(config) == 0 and store.init(0) == 0
assert store.put(sys.argv[2], b"bytes of " + sys.argv[2].encode()) == 0
"""
FORKS_A_SLEEPER = """
if os.fork() == 0:
    os.close(1); os.close(2)
    sys.stdin.read()
    os._exit(0)
"""
DAEMON = """
import multiprocessing, sys
def work(url, answers):
    from mmc import DistributedObjectStore, LocalConfig
    store = DistributedObjectStore()
    store.setup(LocalConfig(meta_service_url=url, dram_size="4MB", log_level="error"))
    answers.put((store.init(0), store.put("daemon", b"x" * 1000), len(store.get("daemon")), store.close()))
if __name__ == "__main__":
    answers = multiprocessing.get_context("fork").Queue()
    child = multiprocessing.get_context("fork").Process(target=work, args=(sys.argv[1], answers), daemon=True)
    child.start()
    print(answers.get(timeout=30))
    child.join(10)
"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A broker and a meta service without ranks."""
    with Cluster(0) as cluster:
        yield cluster.meta_url


def segments(url: str) -> set[str]:
    """The segments of the ranks that belong to programs of this cluster."""
    return {path.name for path in Path("/dev/shm").glob(f"mmc-{pool_name(url)}-*.dram")}


def ranks_of(process: int) -> list[int]:
    """The process ids of the local services of a process."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == process and b"mmc.services.launch" in command and b"local" in command:
            found.append(int(entry.name))
    return found


def is_running(process: int) -> bool:
    """Whether a process lives and is no zombie."""
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def opened(url: str, *, own_rank: bool = True) -> DistributedObjectStore:
    """An open store."""
    store = DistributedObjectStore()
    assert store.setup(LocalConfig(meta_service_url=url, dram_size="4MB", log_level="error")) == 0
    assert store.init(0, own_rank) == 0, mmc.last_error()
    return store


@pytest.mark.parametrize("forks", [False, True])
def test_a_rank_ends_with_its_owner_however_that_ends(url: str, *, forks: bool) -> None:
    """The owner is killed, with a forked child of it still alive: its rank and segment are gone."""
    before = segments(url)
    script = OWNER + (FORKS_A_SLEEPER if forks else "") + "print('ready', flush=True); sys.stdin.read()\n"
    owner = run_python(script, url, f"killed-{forks}")
    assert owner.stdout is not None
    assert owner.stdout.readline() == "ready\n"
    ranks = ranks_of(owner.pid)
    assert len(ranks) == 1
    assert len(segments(url) - before) == 1
    os.kill(owner.pid, signal.SIGKILL)
    wait_until(lambda: not is_running(ranks[0]), "the rank ends")
    wait_until(lambda: segments(url) == before, "the segment is gone")
    finish(owner)


def test_exit_without_close_leaves_nothing(url: str) -> None:
    """A program that just ends ends at once, well, and its rank after it."""
    before = segments(url)
    owner = run_python(OWNER + "print('done')\n", url, "exit")
    assert finish(owner, seconds=20) == "done\n"
    assert owner.returncode == 0
    wait_until(lambda: segments(url) == before, "the segment is gone")


def test_close_ends_the_rank(url: str) -> None:
    """After close the rank's process and segment are gone, and the store can be opened again."""
    before = segments(url)
    store = opened(url)
    (rank,) = ranks_of(os.getpid())
    assert store.close() == store.close() == 0
    wait_until(lambda: not is_running(rank), "the rank ends")
    wait_until(lambda: segments(url) == before, "the segment is gone")
    assert store.init(0) == 0
    assert store.put("again", b"x") == 0
    assert store.close() == 0


def test_a_rank_that_dies_is_started_again_with_what_it_had(url: str) -> None:
    """The owner's rank is killed: reads go on meanwhile, and puts work again soon."""
    store = opened(url)
    assert store.put("kept", b"bytes") == 0
    (rank,) = ranks_of(os.getpid())
    os.kill(rank, signal.SIGKILL)
    assert store.get("kept") == b"bytes"
    block = bytes(1 << 20)  # more than is reserved ahead, so that the rank itself has to answer
    wait_until(lambda: store.put("anew", block) == 0, "puts work again", seconds=60)
    assert store.get("kept") == b"bytes"
    assert store.close() == 0


def test_a_forked_child_goes_on_with_a_connection_of_its_own(url: str) -> None:
    """Parent and child both put and get afterwards; the child's close leaves the parent's rank alone."""
    store = opened(url)
    assert store.put("before", b"parent") == 0
    assert store.batch_alloc(["open"], [100])[0] > 0
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = (
            store.get("before"),
            store.put("child", b"of the child"),
            store.batch_write_finish(["open"], 0),
        )
        closed = store.close()
        os.write(writer, repr((*said, closed)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    assert answer == repr((b"parent", 0, [-3102], 0)).encode()
    assert store.get("child") == b"of the child"
    assert store.put("after", b"parent") == 0
    assert store.batch_write_finish(["open"], 0) == [0]
    assert store.close() == 0


def test_a_store_is_not_pickled(url: str) -> None:
    """To hand a store to a spawned process is a TypeError that says what to do."""
    store = opened(url, own_rank=False)
    spawned = multiprocessing.get_context("spawn").Process(target=print, args=(store,))
    with pytest.raises(TypeError, match="make and init one in each process"):
        spawned.start()
    client = mmc.Client(url)
    with pytest.raises(TypeError, match="connect in each process"):
        multiprocessing.get_context("spawn").Process(target=print, args=(client,)).start()
    client.close()
    store.close()


def test_a_daemon_process_may_have_a_store_and_a_rank(url: str) -> None:
    """Where multiprocessing allows no children of its own, the rank is none of its."""
    assert finish(run_python(DAEMON, url)) == "(0, 0, 1000, 0)\n"


def test_wildcards_ports_and_ipv6(tmp_path: Path) -> None:
    """Bound to every address with port 0 a cluster is reached by loopback, and says so."""
    up = subprocess.Popen(
        [sys.executable, "-m", "mmc.cli", "up", "--meta-url", "tcp://[::]:0", "--dram", "4MB"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert up.stdout is not None
    line = up.stdout.readline()
    port = line.split("tcp://[::]:")[1].split()[0]
    store = DistributedObjectStore()
    config = LocalConfig(meta_service_url=f"tcp://[::1]:{port}", log_level="error")
    assert store.setup(config) == 0
    assert store.init(0, init_bm=False) == 0, mmc.last_error()
    assert store.put("v6", b"six") == 0
    assert store.get("v6") == b"six"
    assert store.close() == 0
    up.terminate()
    _, complaints = up.communicate(timeout=20)
    assert "unauthenticated" in complaints
