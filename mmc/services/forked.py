"""A service process that is a fork of the one which keeps it, with everything imported that services use.

To start the interpreter and import anew takes a process longer than everything else that it does before it
serves; of five of them at once each waits for the others.  A fork has it all, and shares the memory.

1. A process with several threads is not forked: what another thread holds at that moment is held for ever.
2. The child keeps the standard streams and what it is given, and no other descriptor: whatever else of its
   parent it held open, an end of a pipe above all, would live on with it.
3. Its signals have their defaults before it takes any: the parent's handlers are the parent's.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from mmc.services.launch import serve

if TYPE_CHECKING:
    from collections.abc import Collection

_FIRST_DESCRIPTOR = 3
_LOOK_S = 0.02
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)


def may_fork() -> bool:
    """Whether this process has one thread, of which a fork has everything, and can tell."""
    try:
        return sum(1 for _ in Path("/proc/self/task").iterdir()) == 1
    except OSError:
        return False


class ForkedProcess:
    """A service in a process of its own, to be used as a :class:`subprocess.Popen`.

    Attributes:
        stdin: what the service is told is written here.
        returncode: as :class:`subprocess.Popen` has it; None while it runs.
    """

    def __init__(self, service: str, keep: Collection[int]) -> None:
        """Start a service, which keeps these descriptors.

        Raises:
            OSError: there can be no further process, pipe or thread.
        """
        self._service = service
        self.returncode: int | None = None
        told, tells = os.pipe()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            _flush()
            self.pid = os.fork()
            if not self.pid:
                _become(service, told, keep, before)
        except OSError:
            os.close(tells)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(told)
        self.stdin = os.fdopen(tells, "wb")

    def poll(self) -> int | None:
        """How it ended; None while it runs; 0 where another has collected it, and nobody can tell."""
        if self.returncode is None:
            try:
                ended, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                ended, status = self.pid, 0
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, at most so many seconds.

        Raises:
            subprocess.TimeoutExpired: it runs on.
        """
        until = math.inf if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = until - time.monotonic()
            if left <= 0:
                raise subprocess.TimeoutExpired(self._service, timeout or 0.0)
            self._await_change(left)
        return code

    def _await_change(self, seconds: float) -> None:
        """Until it may have ended; where the system tells nobody, or has no descriptor left, for a moment."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            time.sleep(min(seconds, _LOOK_S))
            return
        try:
            select.select([descriptor], [], [], None if seconds == math.inf else seconds)
        finally:
            os.close(descriptor)

    def send_signal(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def _become(service: str, told: int, keep: Collection[int], mask: Collection[int]) -> None:
    """Be the service, in the child, and end with it."""
    code = 1
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        os.dup2(told, 0)
        _close_all_but(keep)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = serve(service)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # boundary: the stack below is the parent's
        traceback.print_exc()
    finally:
        try:
            _flush()
        finally:
            os._exit(code)


def _flush() -> None:
    """Write what is to be written yet; who does not read, or has no room, keeps nobody from starting."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                stream.flush()


def _close_all_but(keep: Collection[int]) -> None:
    """Close what is open: to close each that might be takes minutes where the system has no call for it."""
    every = [int(path.name) for path in Path("/proc/self/fd").iterdir()]
    for descriptor in every:
        if descriptor >= _FIRST_DESCRIPTOR and descriptor not in keep:
            with contextlib.suppress(OSError):  # the listing's own is closed already
                os.close(descriptor)
