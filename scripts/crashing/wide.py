"""Where a run over several hosts takes place: network namespaces on a switch, whose cables are cut.

The first host has broker and meta service, and each has a local service and clients.  Whatever dies is
started again, as whoever watches over services does.  The driver itself is on the first host's network, with
another ``/dev/shm``: to its client every rank is another host's.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mmc import CacheError, Client
from mmc.services.launch import LaunchOptions, command_for, told
from scripts.crashing.ground import SESSION_IDLE_S, Ground
from scripts.hosts import Network, obstacle
from scripts.replay.process import ReplayError
from scripts.services import BROKER, LOCAL, META

if TYPE_CHECKING:
    from scripts.hosts import Host
    from scripts.replay.stopping import StopSignals

_READY_S = 60.0
_END_S = 20.0
_CLONE_NEWNET = 0x40000000
_FACTS = 65536
_SETTINGS = {
    "MMC_WIRE_SESSION_IDLE_MS": str(int(1000 * SESSION_IDLE_S)),
    "MMC_DATA_IDLE_MS": "5000",  # what a cut has left of a connection is not to be seen in the end
    "MMC_DATA_THREADS": "1",
}


class _Service:
    """A service on a host, started again on the addresses that it had."""

    def __init__(self, service: str, host: Host, options: LaunchOptions) -> None:
        """Start it and wait until it serves.

        Raises:
            ReplayError: it did not start.
        """
        self._service = service
        self.host = host
        self._options = options
        ready, ready_fd = os.pipe()
        self._begin(ready_fd)
        os.close(ready_fd)
        with os.fdopen(ready, "rb") as stream:
            readable, _, _ = select.select([stream], [], [], _READY_S)
            line = stream.readline() if readable else b""
        self.facts: dict[str, str] = json.loads(line or b"{}")
        if not line or "failure" in self.facts:
            self.end()
            raise ReplayError(f"{service} did not start: {self.facts.get('failure', 'it hangs')}")
        if service == BROKER:
            self._options = options.bound_to(self.facts)

    def _begin(self, ready_fd: int | None) -> None:
        alive, self._alive = os.pipe()
        options = replace(self._options, ready_fd=ready_fd, parent_fd=alive)
        self.process = subprocess.Popen(  # noqa: S603 - our own services
            [*self.host.prefix, *command_for(self._service)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=[fd for fd in (ready_fd, alive) if fd is not None],
            start_new_session=True,
        )
        os.close(alive)
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self.process.stdin as words:
            words.write(told(options))

    def see_that_it_runs(self) -> int:
        """Start it again if it has ended; returns its process id."""
        if self.process.poll() is not None:
            os.close(self._alive)
            self._begin(None)
        return self.process.pid

    def end(self) -> str:
        """Stop it in order; what went wrong."""
        self.process.terminate()
        try:
            status = self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            status = -1
        os.close(self._alive)
        return f"{self._service} ended with status {status}" if status else ""


class WideGround(Ground):
    """A cluster over several hosts, and a client of it that asks how it is."""

    def __init__(self, hosts: int, dram_bytes: int, stop: StopSignals, logs: str = "") -> None:
        """One rank on each host; not started yet."""
        super().__init__(hosts, dram_bytes, stop, logs)
        self.proxies = 1
        self._services: dict[str, _Service] = {}
        self.hosts: list[Host] = []

    def __enter__(self) -> Self:
        """Make the hosts and start the cluster.

        Raises:
            ReplayError: it did not start, or hosts are not permitted.
        """
        reason = obstacle()
        if reason:
            raise ReplayError(reason)
        with contextlib.ExitStack() as ending:
            self.scratch = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="mmc-crash-")))
            self.journals = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="mmc-crash-")))
            self._place = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="mmc-crash-")))
            os.environ.update(_SETTINGS, TMPDIR=str(self.scratch))
            if self._logs:
                os.environ["MMC_LOG_PATH"] = self._logs
            self.hosts = ending.enter_context(Network(self.ranks)).hosts
            _enter_network(self.hosts[0])
            ending.callback(self._kill_services)
            self._start()
            self._client = ending.enter_context(Client(self.meta_url))
            if not self.wait(lambda: self.is_whole({}), _READY_S):
                raise ReplayError("not every rank has joined")
            self._write_everywhere()
            self._ending = ending.pop_all()
        return self

    def _start(self) -> None:
        first = self.hosts[0]
        any_port = f"tcp://{first.address}:0"
        broker = _Service(BROKER, first, LaunchOptions(
            meta_url=any_port, backend_url=f"ipc://{self._place}/requests",
            publish_url=f"ipc://{self._place}/publish", events_url=any_port,
        ))  # fmt: skip
        self._services[BROKER] = broker
        self.meta_url = broker.facts["meta_url"]
        self._services[META] = _Service(META, first, LaunchOptions(
            backend_url=broker.facts["backend_url"], publish_url=broker.facts["publish_url"],
            events_url=broker.facts["events_url"], state_dir=str(self._place),
        ))  # fmt: skip
        for rank, host in enumerate(self.hosts):
            self._services[f"{LOCAL} {rank}"] = _Service(LOCAL, host, LaunchOptions(
                meta_url=self.meta_url, control_url=f"tcp://{host.address}:0",
                dram=str(self._dram_bytes), pool="crash", rank=rank, keep=False,
            ))  # fmt: skip

    def _write_everywhere(self) -> None:
        """From now on each rank has what it takes to be written to by others."""
        for rank in range(self.ranks):
            key = f"first of {rank}"
            try:
                self._client.put(key, b"first", preferred_ranks=[rank])
                self._client.remove(key)
            except CacheError as error:
                raise ReplayError(f"rank {rank} cannot be written to: {error}") from None

    def pids(self) -> dict[str, int]:
        """The process of each service; what has ended is started again."""
        pids = {name: service.see_that_it_runs() for name, service in self._services.items()}
        self._seen.update(pids.values())
        return pids

    def _run_all(self, pids: dict[str, int]) -> bool:
        return len(pids) == len(self._services)

    def kill_services(self, number: int) -> list[str]:
        """SIGKILL for every service of a host; returns their names."""
        names = [name for name, service in self._services.items() if service.host is self.hosts[number]]
        for name in names:
            self._services[name].process.kill()
            self._services[name].process.wait()
        return names

    def _kill_services(self) -> None:
        for service in self._services.values():
            service.process.kill()
            service.process.wait()

    def end(self) -> list[str]:
        """End the cluster in order; what is left of it."""
        self._client.close()
        ends = reversed(self._services.values())
        left = [said for service in ends if (said := service.end())]
        left += [f"a process, {pid}" for pid in self._seen if Path(f"/proc/{pid}").exists()]
        for number, host in enumerate(self.hosts):
            left += [f"a process on host {number}, {pid}" for pid in host.pids()]
            left += [f"in shared memory of host {number}, {name}" for name in host.files()]
        left += [f"in the temporary directory, {path.name}" for path in self.scratch.iterdir()]
        return left


def _enter_network(host: Host) -> None:
    """This thread, and those that it begins, are on a host's network from now on.

    Raises:
        ReplayError: it is not permitted.
    """
    with Path(f"/proc/{host.pid}/ns/net").open("rb") as namespace:
        if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), _CLONE_NEWNET):
            raise ReplayError(f"cannot enter a network: {os.strerror(ctypes.get_errno())}")
