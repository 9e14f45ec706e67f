"""A service that cannot be started again: others serve, it is tried less and less often, and comes back."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import mmc
from tests.integration.broken_places import Logs
from tests.integration.processes import READY_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

AGAIN = "service dies again and again"
CHANGED = "settings changed since the start are not used"


def is_gone(pid: int) -> bool:
    """Whether a process has ended, and its parent knows."""
    return not Path(f"/proc/{pid}").exists()


def replace_segment(pid: int, segment: Path) -> None:
    """Kill a rank, and put something in the place of its segment that no segment can be made of."""
    os.kill(pid, signal.SIGSTOP)  # it would notice
    segment.unlink()
    segment.mkdir()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: is_gone(pid), "it is dead")


def test_a_rank_that_cannot_be_made_again_is_no_crash_loop(tmp_path: Path) -> None:
    """`mmc up` waits longer each time, says why, keeps the other rank, and is whole again once it can be."""
    logs = Logs(tmp_path / "logs")
    place = Path("/dev/shm") / f"mmc-test-{tmp_path.name}-{os.getpid()}"
    place.mkdir()
    config = Path(logs.settings("[local]", f'segment_dir = "{place}"'))
    command = [sys.executable, "-m", "mmc.cli", "up", "--meta-url", "tcp://127.0.0.1:0", "--dram", "4MB"]
    process = subprocess.Popen(
        [*command, "--local", "2", "--json", "--config", str(config)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], READY_S)[0]
        facts = json.loads(process.stdout.readline())
        config.write_text(config.read_text() + "clients_max = 64\n", encoding="utf-8")
        segment = next(place.glob("mmc-*-0.dram"))
        replace_segment(facts["pids"]["local"][0], segment)
        wait_until(lambda: bool(logs.lines("up", AGAIN)), "it was tried several times", 60)
        with mmc.Client(facts["meta_service_url"]) as client:
            wait_until(works(client, "without it"), "the other rank serves")
            pauses = [
                float(found[1]) for line in logs.lines("up", "service died") if (found := PAUSE.search(line))
            ]
            assert pauses == sorted(pauses)
            assert pauses[:3] == [0.0, 0.25, 0.5]
            (line, *_) = logs.lines("up", AGAIN)
            assert "Is a directory" in line
            assert "level=error" in line
            (changed,) = logs.lines("up", CHANGED)
            assert "settings=local.clients_max" in changed
            segment.rmdir()
            client.wait_for_ranks(2, timeout=60)
            wait_until(works(client, "with it"), "both serve")
    finally:
        process.terminate()
        assert process.wait(20) == 0
        assert process.stdout is not None
        process.stdout.close()
        shutil.rmtree(place)


PAUSE = re.compile(r"pause_s=([0-9.]+)")


def works(client: mmc.Client, key: str) -> Callable[[], bool]:
    """Whether a put succeeds."""
    return lambda: client.put_batch([key], [b"x"], timeout=2)[0] in (0, mmc.Code.EXISTS)
