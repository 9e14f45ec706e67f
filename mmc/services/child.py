"""One service process of ours: started by the same command again and again, ready when it says so."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
from dataclasses import replace
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

from mmc.errors import CacheError, CannotCreate, Code
from mmc.services.launch import LaunchOptions, command_for, told
from mmc.zeromq.clock import now

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_LASTING_S = 60.0
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 30.0
_OFTEN = 5
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
"""Services do no linear algebra: numpy need not start a thread for each processor, which spin at first."""


class Death(NamedTuple):
    """How a service ended, why as far as it said, and what follows: the pause before it is started again.

    ``is_usual``: it has died several times in a row, each time within a minute.
    """

    status: str
    reason: str
    pause_s: float
    is_usual: bool

    def fields(self) -> dict[str, object]:
        """What is logged of it."""
        reason = {"reason": self.reason} if self.reason else {}
        return {"status": self.status, **reason, "pause_s": self.pause_s}


class Process(Protocol):
    """What is used of a :class:`subprocess.Popen`, whatever has started the process."""

    pid: int
    returncode: int | None

    @property
    def stdin(self) -> IO[bytes] | None:
        """Where it is told what to serve with."""
        ...

    def poll(self) -> int | None:
        """How it ended; None while it runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        ...

    def send_signal(self, sig: int) -> None:
        """Send a signal."""
        ...

    def kill(self) -> None:
        """End it at once."""
        ...


Starter: TypeAlias = "Callable[[str, Collection[int]], Process]"
"""Starts a service by its name, in a process group of its own, with these descriptors and none other."""


def start_anew(service: str, keep: Collection[int]) -> Process:
    """Start an interpreter of its own for a service."""
    return subprocess.Popen(  # noqa: S603 - our own command
        command_for(service),
        pass_fds=keep,
        stdin=subprocess.PIPE,
        env={**os.environ, **_ENVIRONMENT},
        process_group=0,
    )


class Child:
    """One service process, restarted by the same command.

    What dies is started again at once the first time; what dies again within a minute, after a pause that
    doubles each time, up to half a minute: it may be well again when somebody has made room.

    Attributes:
        restart_at: when it is to be started again; None while it runs.
        ready_by: until when it is to say that it serves; None once it has, or is given no more time.
    """

    def __init__(
        self,
        name: str,
        service: str,
        options: LaunchOptions | None = None,
        starter: Starter = start_anew,
    ) -> None:
        """Not started yet; without ``options``, :meth:`tell` gives them once they are known."""
        self.name = name
        self.service = service
        self.options = options
        self._starter = starter
        self.process: Process | None = None
        self._parent_fd = -1
        self._ready: int | None = None
        self._ready_fd = -1
        self._said = b""
        self._started = 0.0
        self._deaths = 0
        self._reason = ""
        self.restart_at: float | None = None
        self.ready_by: float | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None
        return self.process.pid

    def start(self, parent_fd: int) -> None:
        """Start the process, in a group of its own: its signals come from the supervisor alone.

        It serves as soon as it is told with what: at once, or by :meth:`tell`.
        """
        self._started = now()
        self.restart_at = None
        self._parent_fd = parent_fd
        self._close_ready()
        self._said = b""
        self._ready, self._ready_fd = os.pipe()
        try:
            self.process = self._starter(self.service, (parent_fd, self._ready_fd))
        finally:
            os.close(self._ready_fd)
        if self.options is not None:
            self.tell(self.options)

    def tell(self, options: LaunchOptions) -> None:
        """Tell the process what to serve with, now and whenever it is started again."""
        assert self.process is not None
        assert self.process.stdin is not None
        self.options = options
        words = told(replace(options, parent_fd=self._parent_fd, ready_fd=self._ready_fd))
        with contextlib.suppress(BrokenPipeError):  # it has ended: whoever waits for it finds out
            self.process.stdin.write(words)
            self.process.stdin.flush()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def note_death(self) -> Death:
        """It is found dead, or could not be started: when it is to be started again, and why it ended."""
        if now() - self._started > _LASTING_S:
            self._deaths = 0
        self._deaths += 1
        pause = min(_FIRST_PAUSE_S * 2 ** (self._deaths - 2), _LONGEST_PAUSE_S) if self._deaths > 1 else 0.0
        self.restart_at = now() + pause
        reason, self._reason = self._reason, ""
        return Death(self._status(), reason, pause, self._deaths >= _OFTEN)

    def _status(self) -> str:
        code = self.process.returncode if self.process is not None else None
        if code is None:
            return "not started"
        return f"exit {code}" if code >= 0 else signal.Signals(-code).name

    def await_ready(self, deadline: float) -> dict[str, str]:
        """Wait until the service serves; returns what it says of itself.

        Raises:
            CacheError: what the service says is in its way; -3002, it ended, or did not serve by the
                deadline.
        """
        self.ready_by = deadline
        assert self._ready is not None
        ready = self._ready
        while (facts := self.hear()) is None:
            select.select([ready], [], [], max(0.0, deadline - now()))
        return facts

    @property
    def ready_end(self) -> int | None:
        """The descriptor on which it is to say that it serves; None once it has."""
        return self._ready

    def hear(self) -> dict[str, str] | None:
        """What the service says of itself, if it has said all of it by now; waits for nothing.

        Raises:
            CacheError: what the service says is in its way; -3002, it ended, or its time is over.
        """
        assert self._ready is not None
        readable, _, _ = select.select([self._ready], [], [], 0)
        part = os.read(self._ready, 4096) if readable else b""
        self._said += part
        if not self._said.endswith(b"\n"):
            if part or (not readable and self.ready_by is not None and now() < self.ready_by):
                return None
            self._close_ready()
            why = "ended" if readable else "did not serve in time"
            raise CannotCreate(f"{self.name} {why}; its last words are above")
        self._close_ready()
        facts: dict[str, str] = json.loads(self._said)
        if "failure" in facts:
            self._reason = facts["failure"]
            raise CacheError(self._reason, Code(int(facts["code"])))
        return facts

    def _close_ready(self) -> None:
        self.ready_by = None
        if self._ready is not None:
            os.close(self._ready)
            self._ready = None

    def is_running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def send(self, number: int) -> None:
        """Send a signal, if the process lives."""
        if self.is_running():
            self.process.send_signal(number)  # type: ignore[union-attr] # it runs

    def await_end(self, patience_s: float) -> None:
        """Wait for the end of the process; force it after a while."""
        if self.process is None:
            return
        try:
            self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
