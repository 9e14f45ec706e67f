"""``mmc up`` and its commands, as a user types them."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

import mmc
from tests.integration.processes import READY_S, wait_until

_MMC = (sys.executable, "-m", "mmc.cli")


def _up(*more: str) -> tuple[subprocess.Popen[str], dict[str, object]]:
    """Start a cluster; returns its process and what its ready line says."""
    process = subprocess.Popen(
        [*_MMC, "up", "--meta-url", "tcp://127.0.0.1:0", "--dram", "16MB", "--json", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], READY_S)
    line = process.stdout.readline() if readable else ""
    assert line, "mmc up was never ready"
    return process, json.loads(line)


def _pids(facts: dict[str, object]) -> list[int]:
    pids = facts["pids"]
    assert isinstance(pids, dict)
    return [pids["broker"], pids["meta"], *pids["local"]]


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # the second: it ended between opening and reading
        return False
    return state != "Z"


def _segments_of(facts: dict[str, object]) -> list[Path]:
    with mmc.Client(str(facts["meta_service_url"])) as client:
        client.wait_for_ranks(1)
        return [Path(m.path) for m in client._live.actor.members.values()]  # noqa: SLF001 - where they lie


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_and_leaves_nothing(number: signal.Signals) -> None:
    """The ready line names every process; after the signal none lives and no file is left."""
    process, facts = _up("--local", "2")
    assert facts["ready"] is True
    pids = _pids(facts)
    assert len(pids) == 4
    assert all(map(_lives, pids))
    segments = _segments_of(facts)
    assert segments
    process.send_signal(number)
    assert process.wait(15) == 0
    assert not any(map(_lives, pids))
    assert not any(segment.exists() for segment in segments)
    assert process.stdout is not None
    process.stdout.close()


def test_children_end_when_mmc_up_is_killed() -> None:
    """After SIGKILL of ``mmc up`` its children end within two seconds, with their segments."""
    process, facts = _up()
    segments = _segments_of(facts)
    process.kill()
    process.wait()
    wait_until(lambda: not any(map(_lives, _pids(facts))), "all children ended", 2.0)
    wait_until(lambda: not any(segment.exists() for segment in segments), "segments gone", 2.0)
    assert process.stdout is not None
    process.stdout.close()


def test_a_second_signal_forces() -> None:
    """With a child that cannot stop, the second signal ends everything at once."""
    process, facts = _up()
    pids = _pids(facts)
    os.kill(pids[2], signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)  # another one: two of a kind may arrive as one
    assert process.wait(10) != 0
    wait_until(lambda: not any(map(_lives, pids)), "all children ended")
    assert process.stdout is not None
    process.stdout.close()


def test_a_dead_service_is_started_again_with_its_objects() -> None:
    """Killed one after the other, broker, meta service and rank come back, and the objects with them."""
    process, facts = _up()
    with mmc.Client(str(facts["meta_service_url"])) as client:
        client.wait_for_ranks(1)
        client.put("survivor", b"here" * 1000)
        names: list[str] = []

        def works() -> bool:
            names.append(f"after {len(names)}")
            return client.put_batch([names[-1]], [b"x"], timeout=2) == [0]

        for pid in _pids(facts):
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: not _lives(pid), "it is dead")  # type: ignore[misc] # its default is an int
            wait_until(works, "puts succeed again", 30)
            assert client.get("survivor") == b"here" * 1000
    process.terminate()
    assert process.wait(15) == 0
    assert process.stdout is not None
    process.stdout.close()


def test_a_service_that_waits_for_another_does_not_delay_the_restart_of_that_one() -> None:
    """A killed rank waits for a meta service that dies before it answers: both are back in seconds."""
    process, facts = _up()
    _, meta, rank = _pids(facts)
    with mmc.Client(str(facts["meta_service_url"])) as client:
        client.wait_for_ranks(1)
        client.put("survivor", b"here" * 1000)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        os.kill(meta, signal.SIGSTOP)
        os.kill(rank, signal.SIGKILL)
        wait_until(lambda: str(rank) not in children.read_text().split(), "the rank's end is known")
        wait_until(lambda: len(children.read_text().split()) == 3, "the rank begins to start")
        os.kill(meta, signal.SIGKILL)
        wait_until(
            lambda: client.put_batch(["later"], [b"x"], timeout=1)[0] in (0, -3006), "puts succeed again"
        )
        assert client.get("survivor") == b"here" * 1000
    process.terminate()
    assert process.wait(15) == 0
    assert process.stdout is not None
    process.stdout.close()


def _run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_MMC, *arguments],
        capture_output=True, text=True, timeout=30, check=False, env=os.environ | variables,
    )  # fmt: skip


def test_too_little_shared_memory_is_a_sentence_before_anything_starts() -> None:
    """Both sizes and the remedy are named, and nothing was started."""
    with tempfile.TemporaryDirectory(prefix="mmc-test-", dir="/dev/shm") as segments:
        arguments = ("up", "--meta-url", "tcp://127.0.0.1:0", "--dram", "90TB")
        ended = _run(*arguments, MMC_LOCAL_SEGMENT_DIR=segments)
        assert list(Path(segments).iterdir()) == []
    assert ended.returncode == 1
    assert not ended.stdout
    for part in ("/dev/shm", "MB free", "needed", "--shm-size", "-3001"):
        assert part in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("up", "--local", "0"), "--local must be 1 to 64"),
        (("up", "--dram", "much"), "sizes read like"),
        (("up", "--meta-url", "nonsense"), "meta_url nonsense"),
        (("status", "--meta-url", "tcp://127.0.0.1:1", "--timeout", "0.5"), "-3017"),
    ],
)
def test_a_bad_argument_is_one_sentence(arguments: tuple[str, ...], words: str) -> None:
    """What was wrong is said on standard error, without a trace, and the exit status is 1."""
    ended = _run(*arguments)
    assert ended.returncode == 1, ended
    assert words in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_busy_port_names_url_and_setting() -> None:
    """A second broker on the same URL is refused with the URL and the setting's name."""
    process, facts = _up()
    url = str(facts["meta_service_url"])
    ended = _run("broker", "--meta-url", url, "--events-url", "tcp://127.0.0.1:0",
                 "--backend-url", "tcp://127.0.0.1:0", "--publish-url", "tcp://127.0.0.1:0")  # fmt: skip
    assert ended.returncode == 1
    assert f"meta_url {url}" in ended.stderr
    assert "-3002" in ended.stderr
    shown = json.loads(_run("status", "--meta-url", url, "--json").stdout)
    assert shown["meta"]["epoch"] == 1
    assert shown["ranks"]["0"]["capacity_bytes"] == 16 << 20
    process.terminate()
    assert process.wait(15) == 0
    assert process.stdout is not None
    process.stdout.close()
