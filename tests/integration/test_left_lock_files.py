"""Lock files of clients that died before any rank had met them."""

from pathlib import Path

import pytest

import mmc
from mmc.segments.lockfile import ClientLock, client_lock_name
from mmc.services import local_service
from mmc.zeromq.chance import random63
from tests.integration.processes import run_python, wait_until

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
