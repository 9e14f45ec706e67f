"""A `state_dir` that cannot be written, fills up, or comes back damaged."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mmc.actors.meta.roster import is_membership
from mmc.errors import Code
from tests.integration.broken_places import Logs, fill, small_disk
from tests.integration.processes import Cluster, wait_until

if TYPE_CHECKING:
    from mmc.client import Client

NOT_WRITTEN = "membership not written down"
AGAIN = "membership written down again"


def started_with(cluster: Cluster, directory: Path | str) -> None:
    """Start the meta service again, with its state there."""
    cluster.meta.end()
    cluster.meta.options = replace(cluster.meta.options, state_dir=str(directory))
    cluster.meta.start()


def is_refused(cluster: Cluster, directory: Path | str, why: str) -> None:
    """It is -3002, with the setting, its value and the reason."""
    started_with(cluster, directory)
    cluster.meta.process.wait()
    facts = cluster.meta.facts
    assert int(facts["code"]) == Code.CANNOT_CREATE
    assert f"state_dir {directory}" in facts["failure"]
    assert why in facts["failure"]


def works(client: Client, key: str) -> None:
    """A put and a get; what was under way while the meta service began a new epoch may be undecided."""
    wait_until(lambda: client.put_batch([key], [b"x"])[0] in (Code.OK, Code.EXISTS), "a put succeeds")
    assert client.get(key) == b"x"


def test_a_state_directory_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    """What can never work is said at the start."""
    with Cluster(1) as cluster:
        is_refused(cluster, "/proc/none", "No such file or directory")
        is_refused(cluster, "/dev/null", "File exists")
        (tmp_path / "members").mkdir()
        is_refused(cluster, tmp_path, "members: Is a directory")


def test_a_full_disk_is_refused_at_first_and_borne_later(tmp_path: Path) -> None:
    """Full at the first start: -3002.  Full later: a warning, and all is written when there is room."""
    logs = Logs(tmp_path / "logs")
    with small_disk(tmp_path / "state", "64k") as state, Cluster(2, config=logs.settings()) as cluster:
        filler = fill(state)
        is_refused(cluster, state, "No space left on device")
        filler.unlink()
        started_with(cluster, state)
        client = cluster.client()
        works(client, "with room")
        assert is_membership((state / "members").read_bytes())
        filler = fill(state)
        cluster.locals[1].end()
        wait_until(lambda: bool(logs.lines("meta", NOT_WRITTEN)), "it is said")
        works(client, "without room")
        cluster.meta.signal(signal.SIGKILL)
        cluster.meta.start()
        works(client, "started without room")
        assert "setting=state_dir" in logs.lines("meta", NOT_WRITTEN)[-1]
        filler.unlink()
        wait_until(lambda: bool(logs.lines("meta", AGAIN)), "it is written")
        assert is_membership((state / "members").read_bytes())


@pytest.mark.parametrize("content", [b"garbage", b"", b"\x92\x05", b"\x92\x05\x91\x01", b"\xff" * 100])
def test_a_damaged_membership_is_put_aside(tmp_path: Path, content: bytes) -> None:
    """The meta service starts, says so, and learns from its ranks what it has forgotten."""
    logs = Logs(tmp_path / "logs")
    with Cluster(1, config=logs.settings()) as cluster:
        client = cluster.client()
        works(client, "before")
        cluster.meta.signal(signal.SIGKILL)
        members = Path(cluster.meta.options.state_dir) / "members"
        members.write_bytes(content)
        cluster.meta.start()
        works(client, "after")
        assert client.get("before") == b"x"
        assert is_membership(members.read_bytes())
        if content:
            assert members.with_suffix(".damaged").read_bytes() == content
            assert "level=error" in logs.lines("meta", "the membership is damaged: starting without it")[0]
