"""One service process of ours: started by the same command again and again, ready when it says so."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
from dataclasses import replace

from mmc.errors import CacheError, CannotCreate, Code
from mmc.services.launch import LaunchOptions, command_for, told
from mmc.zeromq.clock import now

RESTARTS_PER_MINUTE = 10
_MINUTE_S = 60.0
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}
"""Services do no linear algebra: numpy need not start a thread for each processor, which spin at first."""


class Child:
    """One service process, restarted by the same command."""

    def __init__(self, name: str, service: str, options: LaunchOptions | None = None) -> None:
        """Not started yet; without ``options``, :meth:`tell` gives them once they are known."""
        self.name = name
        self.service = service
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None
        self._parent_fd = -1
        self.ready: int | None = None
        """Readable when the service says something of its start; None once it has said all."""
        self._said = b""
        self._ready_fd = -1
        self._starts: list[float] = []

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None
        return self.process.pid

    def start(self, parent_fd: int) -> None:
        """Start the process, in a group of its own: its signals come from the supervisor alone.

        It serves as soon as it is told with what: at once, or by :meth:`tell`.
        """
        self._starts = [at for at in self._starts if now() - at < _MINUTE_S] + [now()]
        self._parent_fd = parent_fd
        self._close_ready()
        self._said = b""
        self.ready, self._ready_fd = os.pipe()
        self.process = subprocess.Popen(  # noqa: S603 - our own command
            command_for(self.service),
            pass_fds=(parent_fd, self._ready_fd),
            stdin=subprocess.PIPE,
            env={**os.environ, **_ENVIRONMENT},
            process_group=0,
        )
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

    @property
    def is_hopeless(self) -> bool:
        """Whether it was started too often within a minute."""
        return len(self._starts) > RESTARTS_PER_MINUTE

    def await_ready(self, deadline: float) -> dict[str, str]:
        """Wait until the service serves; returns what it says of itself.

        Raises:
            CacheError: what the service says is in its way; -3002, it ended, or did not serve by the
                deadline.
        """
        facts = None
        while facts is None:
            assert self.ready is not None
            if not select.select([self.ready], [], [], max(0.0, deadline - now()))[0]:
                self._close_ready()
                raise CannotCreate(f"{self.name} did not serve in time; its last words are above")
            facts = self._hear()
        return facts

    def hear_start(self) -> str:
        """Take up what the service has said of its start by now; returns what is in its way, or ""."""
        if self.ready is None or not select.select([self.ready], [], [], 0)[0]:
            return ""
        try:
            self._hear()
        except CacheError as error:
            return error.sentence
        return ""

    def _hear(self) -> dict[str, str] | None:
        """What the service says of itself, where there is something to hear; None: it has not said all."""
        assert self.ready is not None
        part = os.read(self.ready, 4096)
        self._said += part
        if part and not self._said.endswith(b"\n"):
            return None
        self._close_ready()
        if not part:
            raise CannotCreate(f"{self.name} ended; its last words are above")
        facts: dict[str, str] = json.loads(self._said)
        if "failure" in facts:
            raise CacheError(facts["failure"], Code(int(facts["code"])))
        return facts

    def _close_ready(self) -> None:
        if self.ready is not None:
            os.close(self.ready)
            self.ready = None

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
