"""The processes of a measurement: our own hands, spawned, and programs of others; all of them are ended.

A process of either kind is killed by the kernel when the one that started it dies, however it dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import select
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from mmc.bench.desk import Desk
from mmc.bench.failures import BenchError
from mmc.zeromq.clock import now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection

    from mmc.bench.dataset import Dataset

P = ParamSpec("P")
T = TypeVar("T")

_PR_SET_PDEATHSIG = 1
_END_S = 10.0
_HURRIED_S = 1.0
_TICK_S = 0.02
_TAIL_BYTES = 1000


def die_with_parent() -> None:
    """This process is killed when the thread that started it ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Hand:
    """A fresh Python process that measures: it does what it is asked for, one thing after the other."""

    def __init__(self, name: str, dataset: Dataset, environment: Mapping[str, str], log: Path) -> None:
        """Start it; what it and its libraries print goes to ``log``."""
        self.name = name
        self._log = log
        context = multiprocessing.get_context("spawn")
        self._connection, other = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(other, dataset, str(log)), daemon=True, name=name
        )
        with _environment(environment):
            self._process.start()
        other.close()

    def ask(
        self,
        patience_s: float,
        work: Callable[Concatenate[Desk, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Have a method of its desk called, and wait for the result.

        Raises:
            BenchError: it failed, ended, or took too long.
        """
        try:
            self._connection.send((work, args, kwargs))
            if not self._connection.poll(patience_s):
                raise BenchError(f"{self.name} did not answer within {patience_s:.0f} s")
            failure, result = self._connection.recv()
        except (EOFError, OSError):
            raise BenchError(f"{self.name} ended: {last_words(self._log)}") from None
        if failure:
            raise BenchError(f"{self.name}: {failure}")
        value: T = result
        return value

    def hurry(self) -> None:
        """End it by force, whatever it does."""
        self._process.kill()

    def end(self) -> None:
        """End it: by the end of its input, later by force."""
        self._connection.close()
        self._process.join(_END_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()


@contextlib.contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _serve(connection: Connection, dataset: Dataset, log: str) -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Path(log).open("ab") as words:
        for descriptor in (1, 2):
            os.dup2(words.fileno(), descriptor)
    desk = Desk(dataset)
    try:
        while True:
            work, args, kwargs = connection.recv()
            try:
                answer: tuple[str, object] = ("", work(desk, *args, **kwargs))
            except Exception as error:  # boundary: whoever asked is told, and decides
                answer = (f"{type(error).__name__}: {error}", None)
            connection.send(answer)
    except (EOFError, OSError):
        desk.close()


class Program:
    """A program of somebody else, or a command of ours, run as a process."""

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        """Start it; what it says on standard error goes to ``log``.

        Raises:
            BenchError: it cannot be started.
        """
        self.name = name
        self._log = log
        self._patience_s = _END_S
        try:
            with log.open("ab") as words:
                self._process = subprocess.Popen(  # noqa: S603 - a command of this package
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=words,
                    env={**os.environ, **environment},
                    process_group=0,
                    preexec_fn=die_with_parent,  # noqa: PLW1509 - the driver runs no thread
                )
        except OSError as reason:
            raise BenchError(f"{name} cannot be started: {reason}") from None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def read_line(self, patience_s: float) -> bytes:
        """Its next line.

        Raises:
            BenchError: none came in time.
        """
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], patience_s)
        line = self._process.stdout.readline() if readable else b""
        if not line:
            raise BenchError(f"{self.name} said nothing: {last_words(self._log)}")
        return line

    def await_(self, is_ready: Callable[[], bool], patience_s: float) -> None:
        """Wait until it serves.

        Raises:
            BenchError: it does not in time, or it ended.
        """
        deadline = now() + patience_s
        while not is_ready():
            if self._process.poll() is not None:
                raise BenchError(f"{self.name} ended: {last_words(self._log)}")
            if now() > deadline:
                raise BenchError(f"{self.name} did not serve within {patience_s:.0f} s")
            pause(_TICK_S)

    def hurry(self) -> None:
        """Ask it to end, and leave it only a moment for that."""
        self._process.terminate()
        self._patience_s = _HURRIED_S

    def end(self) -> None:
        """Have it end in order; later by force."""
        self._process.terminate()
        try:
            self._process.wait(self._patience_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def pause(seconds: float) -> None:
    """Let others run for a while."""
    select.select([], [], [], seconds)


def last_words(log: Path) -> str:
    """The end of what a process has printed."""
    try:
        words = log.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
    except OSError:
        words = ""
    return words or "it said nothing"
