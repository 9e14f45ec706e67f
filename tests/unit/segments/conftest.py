"""Real files in shared memory, and processes that hold locks on them; all gone afterwards."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def shm() -> Iterator[Path]:
    """An empty directory on tmpfs."""
    path = Path(tempfile.mkdtemp(prefix="mmc-test-", dir="/dev/shm"))
    yield path
    shutil.rmtree(path)


class Holder:
    """A process of :mod:`tests.unit.segments.holder`, and the child that it may have forked."""

    def __init__(self, mode: str, directory: Path) -> None:
        """It runs, and has not said anything yet."""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.unit.segments.holder", mode, str(directory)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.child: int | None = None
        self.said: deque[str] = deque()

    def hear(self) -> str:
        """The next line that it says about itself."""
        while not self.said:
            self._listen()
        return self.said.popleft()

    def hear_child(self) -> None:
        """Wait until the child has said that it lives."""
        while self.child is None:
            self._listen()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, "it ended without a word"
        if line.startswith("child "):
            self.child = int(line.removeprefix("child "))
        else:
            self.said.append(line)

    def go_on(self) -> None:
        """Let it do what it does next."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """Kill it as the kernel does when memory runs out; its child lives on."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        """Nothing of it is left."""
        self.kill()
        if self.child is not None:
            os.kill(self.child, signal.SIGKILL)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()


@pytest.fixture
def hold(shm: Path) -> Iterator[Callable[[str], Holder]]:
    """Start a process that holds something in the directory."""
    holders: list[Holder] = []

    def start(mode: str) -> Holder:
        holders.append(Holder(mode, shm))
        return holders[-1]

    yield start
    for holder in holders:
        holder.end()
