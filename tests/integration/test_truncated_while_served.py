"""A segment that is truncated or removed while its rank sends to another host, or receives from one."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mmc.client import Client
from mmc.config import load_config
from mmc.errors import CacheError, Code
from mmc.wire import blocks
from tests.integration.broken_places import Logs
from tests.integration.data_peer import DataPeer
from tests.integration.processes import READY_S, Cluster, bulk_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

DIED = "service died"
SIZE = 12_000_000
WRITTEN = 2_000_000
CONTENT = bulk_of("k", SIZE)
GONE = (Code.NOT_FOUND, Code.NO_SUCH_RANK, Code.UNREACHABLE, Code.TIMED_OUT)


def truncate(path: Path) -> None:
    """No page is left."""
    os.truncate(path, 0)


def halve(path: Path) -> None:
    """The tables are left, and half of the objects."""
    os.truncate(path, path.stat().st_size // 2)


def remove(path: Path) -> None:
    """The name is gone."""
    path.unlink()


LOSSES = [truncate, halve, remove]


def reading(peer: DataPeer, far: Client) -> Callable[[], None]:
    """A reader that has the first bytes of an object; what it does next is to wait for the others."""
    place = far.connection.actor.remembered[b"k"].places[0]
    peer.say(blocks.Fetch(peer.segment, (place.record,), (place.generation,), (SIZE,)))
    assert peer.hear() == blocks.Sending((Code.OK,))
    return lambda: None


def writing(peer: DataPeer, _far: Client) -> Callable[[], None]:
    """A writer that has sent the first part of an object; what it does next is to send the rest."""
    content = CONTENT[:WRITTEN]
    begun = peer.begin(b"new", content)
    assert begun.codes == (Code.OK,)
    half = blocks.EARLY_BYTES + len(content) // 2
    peer.send(content[blocks.EARLY_BYTES : half])

    def go_on() -> None:
        with contextlib.suppress(OSError):  # the rank may have ended by now
            peer.send(content[half:])

    return go_on


@pytest.mark.parametrize("peer_is", [reading, writing])
@pytest.mark.parametrize("lose", LOSSES)
def test_a_peer_in_the_midst_of_an_object_is_cut_off(
    lose: Callable[[Path], None], peer_is: Callable[[DataPeer, Client], Callable[[], None]]
) -> None:
    """Its connection ends, the rank ends, whoever asks is told a code, and its next life serves."""
    with Cluster(1, dram="16MB") as cluster:
        far = cluster.far_client()
        far.put("k", CONTENT)
        assert far.get("k") == CONTENT
        rank = cluster.locals[0]
        with DataPeer(far) as peer:
            go_on = peer_is(peer, far)
            lose(next(Path("/dev/shm").glob(f"mmc-{cluster.pool}*.dram")))
            go_on()
            assert peer.has_ended()
        wait_until(lambda: rank.process.poll() is not None, "the rank ends")
        assert rank.process.returncode in (1, -signal.SIGBUS)
        with pytest.raises(CacheError) as caught:
            far.get("k", timeout=2)
        assert caught.value.code in GONE
        rank.start()
        wait_until(lambda: far.put_batch(["again"], [CONTENT], timeout=2) == [Code.OK], "it serves again")
        assert far.get("again") == CONTENT


def test_a_supervisor_starts_such_a_rank_once(tmp_path: Path) -> None:
    """`mmc up` starts it again beside a file that was cut under its readers, and it does not die again."""
    logs = Logs(tmp_path / "logs")
    command = [sys.executable, "-m", "mmc.cli", "up", "--meta-url", "tcp://127.0.0.1:0", "--dram", "16MB"]
    process = subprocess.Popen(
        [*command, "--local", "1", "--json", "--config", logs.settings()], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], READY_S)[0]
        facts = json.loads(process.stdout.readline())
        config = load_config(overrides={"client": {"map_segments": False}})
        with Client(facts["meta_service_url"], config) as far:
            wait_until(lambda: far.put_batch(["k"], [CONTENT], timeout=2) == [Code.OK], "it serves")
            truncate(Path(far.connection.actor.members[0].path))
            wait_until(lambda: bool(logs.lines("up", DIED)), "the rank dies")
            wait_until(lambda: far.put_batch(["again"], [CONTENT], timeout=2) == [Code.OK], "it serves again")
            assert far.get("again") == CONTENT
            assert not far.exist("k")
        assert len(logs.lines("up", DIED)) == 1
    finally:
        process.terminate()
        assert process.wait(20) == 0
        assert process.stdout is not None
        process.stdout.close()
