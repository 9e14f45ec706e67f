"""A service process that is a fork of the one which keeps it, with everything imported that services use.

To start the interpreter and import anew takes a process longer than everything else that it does before it
serves; of five of them at once each waits for the others.  A fork has it all, and shares the memory.

1. A process with several threads is not forked: what another thread holds at that moment is held for ever.
2. The child keeps the standard streams and what it is given, and no other descriptor: whatever else of its
   parent it held open, an end of a pipe above all, would live on with it.
3. Its signals have their defaults before it takes any: the parent's handlers are the parent's.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from mmc.services.launch import serve

if TYPE_CHECKING:
    from collections.abc import Collection

_FIRST_DESCRIPTOR = 3
_HIGHEST_DESCRIPTOR = (1 << 31) - 1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)


def may_fork() -> bool:
    """Whether this process has one thread, of which a fork has everything."""
    return sum(1 for _ in Path("/proc/self/task").iterdir()) == 1


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
            sys.stdout.flush()
            sys.stderr.flush()
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
        """How it ended; None while it runs."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended, at most so many seconds.

        Raises:
            subprocess.TimeoutExpired: it runs on.
        """
        if self.poll() is None:
            descriptor = os.pidfd_open(self.pid)
            try:
                select.select([descriptor], [], [], timeout)
            finally:
                os.close(descriptor)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self._service, timeout or 0.0)
        return code

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
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def _close_all_but(keep: Collection[int]) -> None:
    first = _FIRST_DESCRIPTOR
    for descriptor in (*sorted(keep), _HIGHEST_DESCRIPTOR):
        os.closerange(first, descriptor)
        first = descriptor + 1
