"""Lock files that stay behind: of clients that no rank has met, and of those that close meanwhile."""

from pathlib import Path
from threading import Event, Thread, current_thread

import pytest

import mmc
from mmc.segments.lockfile import ClientLock, client_lock_name
from mmc.services import local_service
from mmc.zeromq.chance import random63
from tests.integration.processes import Cluster, run_python, wait_until

SHM = Path("/dev/shm")
HOLDER = """
import sys
from pathlib import Path
from mmc.segments.lockfile import ClientLock
lock = ClientLock(Path(sys.argv[1]), int(sys.argv[2]), 0o600)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_service_removes_them_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of a killed client goes soon, that of a living one stays."""
    monkeypatch.setattr(local_service, "_SWEEP_S", 0.05)
    living, dead = ClientLock(SHM, random63(), 0o600), random63()
    left = SHM / client_lock_name(dead)
    try:
        holder = run_python(HOLDER, str(SHM), str(dead))
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with mmc.embedded("2MB"):
            assert left.exists()
            holder.kill()
            holder.wait()
            wait_until(lambda: not left.exists(), "the file of the dead is removed")
            assert living.path.exists()
    finally:
        living.release()
        left.unlink(missing_ok=True)


def test_a_view_that_is_refused_by_the_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the last to let go of the lock file, when the client was closed while it opened."""
    opening, closed = Event(), Event()

    class Slow(set[object]):
        """Another thread has its turn when a view was added."""

        def add(self, view: object) -> None:
            super().add(view)
            if current_thread().name == "viewer":
                opening.set()
                closed.wait(10)

    refused: list[mmc.CacheError] = []

    def open_view() -> None:
        try:
            client.view("k")
        except mmc.CacheError as error:
            refused.append(error)

    with Cluster(1) as cluster:
        client = cluster.client()
        client.put("k", b"v")
        monkeypatch.setattr(client.connection, "_views", Slow())
        (lock,) = SHM.glob(f"*{client.connection.client:016x}*")
        viewer = Thread(target=open_view, name="viewer")
        viewer.start()
        assert opening.wait(10)
        client.close()
        closed.set()
        viewer.join(10)
        assert [error.code for error in refused] == [mmc.Code.CLIENT_CLOSED]
        assert not lock.exists()
