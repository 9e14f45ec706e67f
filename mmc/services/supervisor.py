"""``mmc up``: a broker, a meta service and local services as child processes, kept alive together.

1. All services are forked from this process, which has imported what they are made of, and told what to serve
   with: nothing before the memory for all of it was found to be there, and addresses as soon as there are
   some.
2. A child that dies is started again on the same addresses: a restarted meta service knows its members, a
   restarted rank takes its segment up again.  What dies again and again waits longer each time, while the
   others serve.  The settings are those that were validated at the start, whatever has become of the files.
3. Children watch a pipe whose other end only the supervisor has; whatever becomes of it, they stop.
4. At the end ranks stop first, then the meta service, then the broker, and no file is left.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mmc.descriptors import require_descriptors
from mmc.errors import CacheError, InvalidArgument
from mmc.log import get_log
from mmc.segments.directory import SegmentDirectory
from mmc.services.child import Child, start_anew
from mmc.services.forked import ForkedProcess, may_fork
from mmc.services.launch import LaunchOptions, import_services
from mmc.services.pool import layout_for, pool_name
from mmc.services.revival import hear, note_death, start_if_due
from mmc.zeromq.addresses import with_port
from mmc.zeromq.chance import random63
from mmc.zeromq.clock import now

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from mmc.services.child import Process

_READY_S = 30.0
_ALLOCATED_PER_S = 256 << 20
_STOP_S = 5.0
_MOST_LOCALS = 64
_DESCRIPTORS = 16
_DESCRIPTORS_EACH = 4


class Supervisor:
    """A whole cluster on one host."""

    def __init__(self, options: LaunchOptions, locals_: int) -> None:
        """Nothing is started yet.

        Raises:
            CacheError: -3000, an option makes no sense; -3002, too few descriptors are left.
        """
        if not 1 <= locals_ <= _MOST_LOCALS:
            raise InvalidArgument(f"--local must be 1 to {_MOST_LOCALS}, not {locals_}")
        self._log = get_log("up")
        require_descriptors(_DESCRIPTORS + _DESCRIPTORS_EACH * locals_)
        self._given = options
        self._told_changes = ""
        self._options = options.settle()
        self._locals = locals_
        self._size = locals_ * layout_for(self._options.settings()).total
        self._ready_s = _READY_S + self._size / _ALLOCATED_PER_S
        self._directory: SegmentDirectory | None = None
        self._run_dir = Path(tempfile.mkdtemp(prefix="mmc-"))
        self.pool = f"{pool_name(options.meta_url)}-{random63():x}"
        self._parent_read, self._parent_write = os.pipe()
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self.children: list[Child] = []
        self.meta_url = ""
        self.events_url = ""
        self._stopping = False

    def start(self) -> None:
        """Start everything and wait until it serves.

        Raises:
            CacheError: -3001 too little shared memory (both sizes and the remedy); -3002 the directory
                cannot be used, or a service could not be made.
        """
        deadline = now() + self._ready_s
        import_services()
        self._find_room()
        broker, meta, *ranks = self.children = [
            Child("broker", "broker", starter=_start),
            Child("meta service", "meta", starter=_start),
            *(Child(f"local service {rank}", "local", starter=_start) for rank in range(self._locals)),
        ]
        for child in self.children:
            child.start(self._parent_read)
        asked = self._broker_options()
        broker.tell(asked)
        urls = broker.await_ready(deadline)
        self.meta_url, self.events_url = urls["meta_url"], urls["events_url"]
        broker.options = asked.bound_to(urls)
        meta.tell(self._meta_options(broker.options))
        for rank, child in enumerate(ranks):
            child.tell(self._local_options(rank))
        for child in (meta, *ranks):
            child.await_ready(deadline)

    def _find_room(self) -> None:
        local = self._options.settings().local
        self._directory = SegmentDirectory(local.segment_dir, local.segment_mode)
        self._directory.sweep(now_ms=int(now() * 1000))
        self._directory.require(self._size)

    def _broker_options(self) -> LaunchOptions:
        options = self._options
        return LaunchOptions(
            meta_url=options.meta_url,
            events_url=options.events_url or with_port(options.meta_url, 0),
            backend_url=f"ipc://{self._run_dir}/requests",
            publish_url=f"ipc://{self._run_dir}/events",
            settled=options.settled,
            run_dir=str(self._run_dir),
        )

    def _meta_options(self, broker: LaunchOptions) -> LaunchOptions:
        return LaunchOptions(
            backend_url=broker.backend_url,
            publish_url=broker.publish_url,
            events_url=broker.events_url,
            state_dir=self._options.state_dir or str(self._run_dir),
            settled=broker.settled,
        )

    def _local_options(self, rank: int) -> LaunchOptions:
        return LaunchOptions(
            meta_url=self.meta_url,
            control_url=with_port(self._options.meta_url, 0),
            settled=self._options.settled,
            pool=self.pool,
            rank=rank,
            keep=False,
        )

    def facts(self) -> dict[str, object]:
        """What the ready line says."""
        broker, meta, *ranks = (child.pid for child in self.children)
        return {
            "ready": True,
            "meta_service_url": self.meta_url,
            "events_url": self.events_url,
            "pids": {"broker": broker, "meta": meta, "local": ranks},
        }

    def stop(self) -> None:
        """Begin to stop; from a signal handler."""
        self._stopping = True
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"x")

    def watch(self) -> None:
        """Keep every child alive until told to stop."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        while not self._stopping:
            for child in self.children:
                hear(child, self._log)
                if not child.is_running() and not self._stopping:
                    self._restart(child)
            _reap_strangers({child.pid for child in self.children})
            self._wait()

    def _wait(self) -> None:
        """Until something has happened to a child, or one is due, or it is time to stop."""
        ends = [child.ready_end for child in self.children if child.ready_end is not None]
        times = [at for child in self.children for at in (child.restart_at, child.ready_by) if at is not None]
        seconds = max(0.0, min(times) - now()) if times else None
        select.select([self._wake_read, *ends], [], [], seconds)
        while select.select([self._wake_read], [], [], 0)[0]:
            os.read(self._wake_read, 512)

    def _restart(self, child: Child) -> None:
        """Start a child that is dead again, now or after a pause."""
        if note_death(child, self._log):
            self._tell_changes()

        def start() -> None:
            child.start(self._parent_read)
            child.ready_by = now() + self._ready_s

        start_if_due(child, self._log, start)

    def _tell_changes(self) -> None:
        """Say, once, that settings are others now than those with which services are started again."""
        try:
            present = self._given.settle().settled
        except CacheError as error:
            changes = error.sentence
        else:
            changes = ", ".join(
                f"{section}.{key}"
                for section, table in self._options.settled.items()
                for key, value in table.items()
                if present[section][key] != value
            )
        if changes and changes != self._told_changes:
            self._log.warning("settings changed since the start are not used", settings=changes)
        self._told_changes = changes

    def close(self) -> None:
        """Stop every child, ranks first, and leave no file behind."""
        ranks, rest = self.children[2:], self.children[:2]
        for group in (ranks, rest[1:], rest[:1]):
            for child in group:
                child.send(signal.SIGTERM)
            for child in group:
                child.await_end(_STOP_S)
        self._remove_files()

    def force(self) -> None:
        """Kill every child, and leave no file behind."""
        for child in self.children:
            child.send(signal.SIGKILL)
        for child in self.children:
            child.await_end(_STOP_S)
        self._remove_files()

    def _remove_files(self) -> None:
        if self._directory is not None:
            self._directory.sweep(only=f"mmc-{self.pool}-*")
            self._directory.sweep(now_ms=int(now() * 1000))
        shutil.rmtree(self._run_dir, ignore_errors=True)


def _start(service: str, keep: Collection[int]) -> Process:
    """Start a service as a fork of this process, or anew where that is no place for forks."""
    return ForkedProcess(service, keep) if may_fork() else start_anew(service, keep)


def _reap_strangers(children: Iterable[int]) -> None:
    """As process 1, collect the orphans of others; the own children are left to their handles."""
    own = set(children)
    if os.getpid() != 1:
        return
    with contextlib.suppress(ChildProcessError):
        while True:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if found is None or found.si_pid in own:
                return
            os.waitpid(found.si_pid, 0)
