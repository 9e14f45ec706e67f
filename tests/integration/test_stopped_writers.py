"""Clients that stand still at any step of a put, while their rank is short of space (S1, S3, S6).

What a client holds is its own until it is known dead: neither time nor need takes it away.  What it has
published is an object like any other: the rank takes it over, and may evict it.
"""

from __future__ import annotations

import itertools
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mmc.client import Client
from mmc.config import load_config
from mmc.errors import Code
from tests.integration.processes import Cluster, finish, run_python, wait_until
from tests.integration.put_steps import (
    CHILD_KEY,
    PUBLISHED_STEPS,
    SIZE,
    STEPS,
    UNPUBLISHED_STEPS,
    object_of,
)
from tests.integration.stopped_writer import (
    OTHER_PIDS,
    StoppedWriter,
    extents_of_key,
    held_by,
    payload_of,
    segment_of,
    without,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mmc.config import Config
    from mmc.segments.extents import Extent
    from mmc.segments.layout import Segment
    from tests.integration.stopped_writer import Held

_DRAM = "4MB"
_POOL_OBJECTS = (4 << 20) // SIZE
_TIMES_FILLED = 3
_BATCH = 16
_SETTINGS = """
[local]
heartbeat_ms = 50  # the rank's counters are no older
reap_ms = 50
[client]
reserve_idle_ms = 100  # what is reserved ahead and not needed is soon returned
"""
_NUMBERS = itertools.count()


class Rival:
    """The other client of a small pool, which wants all of it."""

    def __init__(self, cluster: Cluster, config: Config) -> None:
        """Connects."""
        self.cluster = cluster
        self.client = Client(cluster.meta_url, config)
        self.client.wait_for_ranks(1)
        self.segment: Segment = segment_of(self.client, 0)

    def counters(self) -> dict[str, int]:
        """The counters of the rank."""
        return self.cluster.rank_counters(self.client)[0]

    def press(self) -> None:
        """Put until the pool was filled and evicted from some times."""
        until = self.counters()["evictions"] + _TIMES_FILLED * _POOL_OBJECTS
        while self.counters()["evictions"] < until:
            keys = [f"fill {next(_NUMBERS)}" for _ in range(_BATCH)]
            codes = self.client.put_batch(keys, [object_of(key) for key in keys], timeout=20)
            assert codes == [Code.OK] * _BATCH

    def check_all(self) -> int:
        """Every key that is listed has its own bytes or has just been evicted; returns how many have."""
        keys = list(self.client.keys())
        contents, codes = self.client.read_batch(keys)
        assert set(codes) <= {Code.OK, Code.NOT_FOUND}
        wrong = [key for key, it in zip(keys, contents, strict=True) if it not in (None, object_of(key))]
        assert not wrong
        return codes.count(Code.OK)

    def is_empty(self) -> bool:
        """Whether every record and every byte is free, once what is listed by now is removed."""
        keys = list(self.client.keys())
        assert set(self.client.remove_batch(keys)) <= {Code.OK, Code.NOT_FOUND}
        counters = self.counters()
        in_use = ("used_bytes", "reserved_bytes", "quarantined_bytes")
        return counters["free_records"] == counters["records"] and not any(map(counters.get, in_use))


@pytest.fixture(scope="module")
def rival(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rival]:
    """One rank with a small pool, for all tests of this file."""
    path = tmp_path_factory.mktemp("settings") / "config.toml"
    path.write_text(_SETTINGS, "utf-8")
    with Cluster(ranks=1, dram=_DRAM, config=str(path)) as cluster:
        rival = Rival(cluster, load_config(path))
        yield rival
        rival.client.close()


def _holdings(rival: Rival, writer: StoppedWriter, step: str) -> dict[int, Held]:
    """What a writer that stands still at a step holds unpublished: its put's record, and some ahead."""
    held = held_by(rival.segment, writer.client)
    mine = {record: it for record, it in held.items() if not it.published}
    assert mine or step in PUBLISHED_STEPS
    odd = sum(it.words[0] & 1 for it in mine.values())
    assert odd == (step in UNPUBLISHED_STEPS and step != "reserved")
    return mine


def _check_untouched(rival: Rival, writer: StoppedWriter, before: dict[int, Held]) -> list[Extent]:
    """What the writer held is as it was: whose it is, where, its words and bytes; returns all it holds."""
    after = held_by(rival.segment, writer.client)
    changed = [record for record, was in before.items() if after.get(record) != was]
    assert not changed, "records changed while their holder stood still"
    return [held.extent for held in after.values()]


def _check_untouched_beside(segment: Segment, own: list[Extent], before: bytes) -> None:
    """Not one byte has changed outside these extents."""
    is_same = without(payload_of(segment), own) == without(before, own)
    assert is_same


def _wake(rival: Rival, writer: StoppedWriter, key: str, held: list[Extent]) -> bool:
    """The writer ends its put well, and writes nowhere but into its own; returns whether the key is there."""
    readable = rival.check_all()
    payload = payload_of(rival.segment)
    assert writer.wake() == Code.OK
    content = rival.client.get_batch([key])[0]
    is_right = content == object_of(key)
    assert is_right or content is None
    assert rival.check_all() >= readable // 2
    later = [held.extent for held in held_by(rival.segment, writer.client).values()]
    own = [*held, *later, *extents_of_key(rival.segment, key)]
    _check_untouched_beside(rival.segment, own, payload)
    return is_right


def _stand_still(rival: Rival, step: str, before: Sequence[str] = ()) -> None:
    """Two writers stand still while the pool changes hands around them; one wakes, and one is killed."""
    woken, killed = (f"{fate} {next(_NUMBERS)}" for fate in ("woken", "killed"))
    url = rival.cluster.meta_url
    with (
        StoppedWriter(url, step, woken, before=before) as sleeper,
        StoppedWriter(url, step, killed, before=before) as victim,
    ):
        for writer in (sleeper, victim):
            writer.wait_for_stop()
        holdings = [(writer, _holdings(rival, writer, step)) for writer in (sleeper, victim)]
        rival.press()
        held, _ = [_check_untouched(rival, writer, before) for writer, before in holdings]
        is_right = _wake(rival, sleeper, woken, held)
        assert is_right or step in PUBLISHED_STEPS
        _check_untouched(rival, victim, holdings[1][1])
        victim.kill()
        code = rival.client.put_batch([killed], [object_of(killed)])[0]
        assert code == Code.OK or (code == Code.EXISTS and step in PUBLISHED_STEPS)
        is_right = rival.client.get(killed) == object_of(killed)
        assert is_right
        sleeper.end()
        wait_until(rival.is_empty, "all space has come back")


@pytest.mark.parametrize("step", STEPS)
def test_what_a_stopped_writer_holds_is_its_own_until_it_is_dead(rival: Rival, step: str) -> None:
    """Nothing held is given out; woken, its put ends well and harms nobody; killed, it leaves nothing."""
    _stand_still(rival, step)


@pytest.mark.parametrize("step", ["half copied", "claimed"])
def test_a_writer_of_another_pid_namespace_is_known_as_well(rival: Rival, step: str) -> None:
    """Stopped, woken or killed where process ids mean something else, a writer is treated the same."""
    tried = subprocess.run([*OTHER_PIDS, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"no pid namespace may be made here: {tried.stderr.decode().strip()}")
    _stand_still(rival, step, before=OTHER_PIDS)


@pytest.mark.parametrize("step", ["half copied", "published"])
def test_a_living_child_keeps_nothing_of_its_killed_parent(rival: Rival, step: str) -> None:
    """Killed while stopped, a writer is dead though its child lives, and the child has nothing of it."""
    key = f"parent's {next(_NUMBERS)}"
    with StoppedWriter(rival.cluster.meta_url, step, key, with_child=True) as writer:
        writer.wait_for_stop()
        before = _holdings(rival, writer, step)
        rival.press()
        _check_untouched(rival, writer, before)
        writer.kill()
        wait_until(rival.is_empty, "all space has come back")
        assert Path(f"/proc/{writer.child}").exists()
        assert not held_by(rival.segment, writer.client)
        rival.press()
        payload = payload_of(rival.segment)
        assert writer.end() == "right\n"
        own = extents_of_key(rival.segment, CHILD_KEY)
        assert own
        _check_untouched_beside(rival.segment, own, payload)
        rival.check_all()
        wait_until(rival.is_empty, "all space has come back")


_CHILD_LOOKS = """
import os, signal, sys
from mmc.client import Client
client = Client(sys.argv[1])
client.wait_for_ranks(1)
view = client.view(sys.argv[2])
own = bytes(view.memory)
if os.fork():
    print("forked", flush=True)
    signal.pause()
sys.stdin.readline()
print("own" if bytes(view.memory) == own else "another's", flush=True)
os._exit(0)
"""


def test_a_child_sees_nobody_s_bytes_in_a_view_of_its_killed_parent(rival: Rival) -> None:
    """A forked child cannot use its parent's view: once the parent is dead it shows no other object."""
    key = f"seen {next(_NUMBERS)}"
    rival.client.put(key, object_of(key))
    parent = run_python(_CHILD_LOOKS, rival.cluster.meta_url, key)
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "forked\n"
        rival.client.remove(key)
    finally:
        parent.kill()
        parent.wait()
    wait_until(rival.is_empty, "all space has come back")
    rival.press()
    assert finish(parent, "look\n") in ("own\n", "")
