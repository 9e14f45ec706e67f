"""Service processes that belong to this process: started by a library call, ended with their owner.

1. They are started by exec, never by fork, so that the owner's interpreter lock delays none of them.
2. Each watches a pipe whose other end only the owner has.  A forked child of the owner closes its copy, so
   that the services end with the owner and not with the last of its children.
3. One that dies is started again on its addresses and with its settings; one that dies again and again waits
   longer each time.
4. :meth:`HostedServices.stop` tells them to stop and waits a little; a thread sees to the rest.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from typing import TYPE_CHECKING

from mmc.log import get_log
from mmc.segments.lockfile import close_at_fork
from mmc.services.child import Child
from mmc.services.revival import hear, note_death, start_if_due
from mmc.zeromq.clock import now

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmc.services.launch import LaunchOptions

_READY_S = 30.0
_FORCE_S = 5.0
_LOOK_S = 1.0


class HostedServices:
    """Some services, watched by a thread."""

    def __init__(self) -> None:
        """None is started yet."""
        self._log = get_log("host")
        self._owner = os.getpid()
        self._children: list[Child] = []
        self._pipes: dict[Child, tuple[int, int]] = {}
        self._endings: list[Callable[[], object]] = []
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._watcher = threading.Thread(target=self._watch, name="mmc-host", daemon=True)
        close_at_fork(self)

    def start(
        self, name: str, service: str, options: LaunchOptions, ready_s: float = _READY_S
    ) -> dict[str, str]:
        """Start a service and wait until it serves; returns what it says of itself.

        Raises:
            CacheError: what the service says is in its way; -3002, it did not serve in time.
        """
        child = Child(name, service, options.settle())
        pipe = self._pipes[child] = os.pipe()
        child.start(pipe[0])
        try:
            facts = child.await_ready(now() + ready_s)
        except BaseException:  # boundary: clears away and raises again
            child.send(signal.SIGTERM)
            child.await_end(_FORCE_S)
            for descriptor in self._pipes.pop(child):
                os.close(descriptor)
            raise
        self._children.append(child)
        os.eventfd_write(self._wake, 1)
        return facts

    def restart_with(self, service: str, options: LaunchOptions) -> None:
        """From now on a service that dies is started again with these options: on the addresses it got."""
        for child in self._children:
            if child.service == service:
                child.options = options.settle()

    def watch(self) -> None:
        """Begin to start again what dies."""
        self._watcher.start()

    def pids(self) -> list[int]:
        """The process ids, in the order of the starts."""
        return [child.pid for child in self._children]

    def set_level(self, level: int) -> None:
        """Change the log level of every service, 0 to 3."""
        for _, writer in self._pipes.values():
            with contextlib.suppress(OSError):
                os.write(writer, str(level).encode())

    def _watch(self) -> None:
        while not self._stopping.is_set():
            poll = select.poll()
            poll.register(self._wake, select.POLLIN)
            descriptors = []
            times = []
            for child in self._children:
                try:
                    descriptors.append(os.pidfd_open(child.pid))
                    poll.register(descriptors[-1], select.POLLIN)
                except ProcessLookupError:
                    continue
                except OSError:  # no descriptor is left to this program: look at it now and then
                    times.append(now() + _LOOK_S)
            for child in self._children:
                times += [at for at in (child.restart_at, child.ready_by) if at is not None]
                if child.ready_end is not None:
                    poll.register(child.ready_end, select.POLLIN)
            poll.poll(max(0.0, min(times) - now()) * 1000 if times else None)
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._wake)
            for descriptor in descriptors:
                os.close(descriptor)
            for child in self._children:
                hear(child, self._log)
                self._restart_if_dead(child)

    def _restart_if_dead(self, child: Child) -> None:
        if self._stopping.is_set() or child.is_running():
            return
        note_death(child, self._log)

        def start() -> None:
            with self._lock:
                if not self._stopping.is_set():
                    child.start(self._pipes[child][0])
                    child.ready_by = now() + _READY_S

        start_if_due(child, self._log, start)

    def at_end(self, action: Callable[[], object]) -> None:
        """Do this once all services have ended."""
        self._endings.append(action)

    def stop(self, patience_s: float) -> None:
        """Stop the services, last started first; after ``patience_s`` they go on stopping by themselves.

        Nothing happens in a forked child, or the second time.
        """
        if self._owner != os.getpid() or self._stopping.is_set():
            return
        with self._lock:
            self._stopping.set()
        os.eventfd_write(self._wake, 1)
        ending = threading.Thread(target=self._end, name="mmc-host-end", daemon=True)
        ending.start()
        ending.join(patience_s)

    def _end(self) -> None:
        for child in reversed(self._children):
            child.send(signal.SIGTERM)
            child.await_end(_FORCE_S)
        self._close_pipes()
        for action in self._endings:
            action()

    def _close_pipes(self) -> None:
        for pipe in self._pipes.values():
            for descriptor in pipe:
                os.close(descriptor)
        self._pipes.clear()

    def close_in_child(self) -> None:
        """A forked child owns none of the services."""
        self._close_pipes()
