"""The replay of ``scripts/quickstart`` with real processes, and what is left, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pytest

import mmc
from mmc import Client
from scripts.replay.content import Content
from scripts.replay.engine import Engine, key_of
from tests.integration.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

ROOT = Path(__file__).parents[2]
SERVING = "a cluster serves at "
WORDS_S = 40.0
ENDS_S = 80.0
BLOCK = 4096


class Replay:
    """A replay whose segments, lock files and temporary files all lie in one directory."""

    def __init__(self, *arguments: str) -> None:
        """Start it."""
        self.place = Path(tempfile.mkdtemp(prefix="quickstart-", dir="/dev/shm"))
        self._config = tempfile.NamedTemporaryFile("w", suffix=".toml")  # noqa: SIM115 - closed at exit
        self._config.write(f'[local]\nsegment_dir = "{self.place}"\n')
        self._config.flush()
        surroundings = {
            "MMC_CONFIG": self._config.name,
            "TMPDIR": str(self.place),
            "PYTHONPATH": str(ROOT),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "scripts.replay", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **surroundings},
        )
        self._said = b""

    def await_words(self, words: str) -> str:
        """The rest of the line on standard error in which these words stand."""
        assert self.process.stderr is not None
        while True:
            for line in self._said.decode().splitlines(keepends=True):
                _, found, rest = line.partition(words)
                if found and rest.endswith("\n"):
                    return rest.strip()
            readable, _, _ = select.select([self.process.stderr], [], [], WORDS_S)
            part = os.read(self.process.stderr.fileno(), 4096) if readable else b""
            assert part, f"never said {words!r}, but: {self._said.decode()}"
            self._said += part

    def end(self) -> tuple[int, str, str]:
        """Wait for its end; returns status, standard output and standard error."""
        output, said = self.process.communicate(timeout=ENDS_S)
        return self.process.returncode, output.decode(), (self._said + said).decode()

    def engine(self) -> int:
        """The process id of an engine, once there is one that serves."""
        found: list[int] = []

        def look() -> bool:
            for path in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    command = (path / "cmdline").read_bytes()
                    parent = (path / "stat").read_text().rpartition(")")[2].split()[1]
                    if b"scripts.replay.engine" in command and parent == str(self.process.pid):
                        found.append(int(path.name))
            return bool(found)

        wait_until(look, "an engine runs")
        return found[0]

    def is_clean(self) -> bool:
        """Whether nothing is left."""
        return not any(self.place.iterdir())

    def __enter__(self) -> Self:
        """The replay itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing of it may be left."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
        self._config.close()
        left = sorted(path.name for path in self.place.iterdir())
        shutil.rmtree(self.place)
        assert left == []


@pytest.fixture
def client() -> Iterator[Client]:
    """A client with a cluster in this process."""
    with mmc.embedded("16MB", ranks=2) as client:
        yield client


def test_generated_requests_are_replayed() -> None:
    """Every request is replayed, every get verified, and the hit rate is near its bound."""
    with Replay("--requests=150", "--json", "--seed=5") as replay:
        status, output, said = replay.end()
        assert status == 0, said
        assert replay.is_clean()
    found: dict[str, Any] = json.loads(output)
    assert found["requests_per_engine"] == [75, 75]
    assert found["blocks_verified"] == found["blocks_hit"] > 0
    assert found["blocks_hit_of_the_other_engine"] > 0
    assert found["wrong_bytes"] == 0
    assert found["failed"] == {}
    assert found["evictions"] == 0
    assert found["blocks_put"] == found["blocks_distinct"]
    assert 0.7 * found["hit_rate_unlimited"] < found["hit_rate"] <= found["hit_rate_unlimited"]


def test_small_pools_cost_hits_and_no_bytes() -> None:
    """With pools far smaller than the working set, blocks are evicted and every byte is right."""
    with Replay("--requests=250", "--dram=12MB", "--json") as replay:
        status, output, said = replay.end()
        assert status == 0, said
    found: dict[str, Any] = json.loads(output)
    assert found["evictions"] > 0
    assert found["wrong_bytes"] == 0
    assert found["blocks_verified"] > 0
    assert found["hit_rate"] < found["hit_rate_unlimited"]


def test_a_wrong_byte_fails_the_replay(tmp_path: Path) -> None:
    """A block that holds other bytes than its own, late in a trace, makes the exit status 1."""
    trace = tmp_path / "trace.jsonl"
    requests = [[n] for n in range(400)] + [[1000, 1001]] * 2
    trace.write_text("".join(f"{json.dumps({'hash_ids': blocks})}\n" for blocks in requests))
    with Replay(f"--trace={trace}", "--block-size=4KB", "--dram=8MB") as replay:
        with Client(replay.await_words(SERVING)) as poisoner:
            poisoner.put(key_of(1000), b"not its content " * (BLOCK // 16))
        status, output, said = replay.end()
    assert status == 1, said
    assert "wrong bytes were read" in said
    assert "402 requests" in output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything(number: signal.Signals) -> None:
    """Ctrl-C and its like end the cluster and the engines, and no file is left."""
    with Replay("--requests=20000", "--dram=16MB") as replay:
        replay.await_words(SERVING)
        replay.process.send_signal(number)
        status, output, said = replay.end()
        assert replay.is_clean()
    assert status == 128 + number, said
    assert output == ""
    assert "quickstart: stopping" in said
    assert "Traceback" not in said


def test_a_killed_engine_stops_everything() -> None:
    """When an engine dies, the replay says so, ends with status 3, and leaves no file."""
    with Replay("--requests=20000", "--dram=16MB") as replay:
        replay.await_words(SERVING)
        os.kill(replay.engine(), signal.SIGKILL)
        status, _, said = replay.end()
        assert replay.is_clean()
    assert status == 3, said
    assert "engine 0 ended before its time" in said or "engine 1 ended before its time" in said


def test_a_killed_replay_leaves_nothing() -> None:
    """Even when the replay itself is killed, engines and cluster end, and no file is left."""
    with Replay("--requests=20000", "--dram=16MB") as replay:
        replay.await_words(SERVING)
        replay.engine()
        replay.process.kill()
        replay.process.wait(ENDS_S)
        wait_until(replay.is_clean, "all files are removed", 40.0)


def test_a_cluster_that_cannot_start_says_why() -> None:
    """Pools beyond the shared memory of the host end the replay with status 3 and the reason."""
    with Replay("--requests=5", "--dram=1024TB") as replay:
        status, _, said = replay.end()
    assert status == 3, said
    assert "the cluster did not start" in said
    assert "--dram" in said


def test_a_trace_that_is_none_says_why(tmp_path: Path) -> None:
    """A file that holds no requests ends the replay with status 2, before anything is started."""
    with Replay(f"--trace={tmp_path / 'missing'}") as replay:
        status, _, said = replay.end()
    assert status == 2
    assert "No such file" in said


def test_an_engine_counts_what_it_did(client: Client) -> None:
    """The longest prefix is got, the rest put, and a second engine hits the blocks of the first."""
    first, second = Engine(client, BLOCK, 0), Engine(client, BLOCK, 0)
    cold = first.serve([1, 2, 3])
    warm = second.serve([1, 2, 4, 3])
    own = second.serve([1, 2, 4, 3])
    assert (cold.found, cold.hits, cold.stored) == (0, 0, 3)
    assert (warm.found, warm.hits, warm.others, warm.stored) == (2, 2, 2, 1)
    assert (own.hits, own.others, own.stored, own.offered) == (4, 3, 0, 0)
    assert cold.wrong_bytes == warm.wrong_bytes == own.wrong_bytes == 0


def test_an_engine_sees_a_single_wrong_byte(client: Client) -> None:
    """One flipped bit in one stored block is counted as one wrong byte."""
    words = np.empty(BLOCK // 8, dtype=np.uint64)
    Content(BLOCK, 0).write(2, words)
    words.view(np.uint8)[BLOCK - 1] ^= 1
    client.put(key_of(2), words.data)
    engine = Engine(client, BLOCK, 0)
    engine.serve([1])
    assert engine.serve([1, 2]).wrong_bytes == 1


def test_an_engine_splits_what_exceeds_its_buffers(client: Client) -> None:
    """More blocks than fit in the buffers at once are got and put in parts, all of them right."""
    engine = Engine(client, BLOCK, 0, buffer_bytes=4 * BLOCK)
    blocks = list(range(11))
    assert engine.serve(blocks).stored == 11
    outcome = engine.serve(blocks)
    assert (outcome.hits, outcome.wrong_bytes) == (11, 0)
