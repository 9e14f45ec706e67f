"""Real processes for the tests: each service alone, started, stopped, killed by its process id."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np

from mmc.client import Client
from mmc.config import load_config
from mmc.identifiers import key_hash
from mmc.services.launch import LaunchOptions, command_for, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

READY_S = 30.0
OWN_MEMORY = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /dev/shm && exec "$@"', "sh")
"""Runs a command on what is another host to everybody who looks for segments."""
_MB = "16MB"
_ENGINES: list[subprocess.Popen[str]] = []


def wait_until(holds: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Wait, within bounds, until a condition holds."""
    tick, writer = os.pipe()
    deadline = time.monotonic() + seconds
    try:
        while not holds():
            assert time.monotonic() < deadline, f"never: {what}"
            select.select([tick], [], [], 0.01)
    finally:
        os.close(tick)
        os.close(writer)


class Service:
    """One service process."""

    def __init__(self, service: str, options: LaunchOptions, prefix: Sequence[str] = ()) -> None:
        """Start it and wait until it serves; ``prefix`` is a command that runs its command."""
        self.service = service
        self.prefix = prefix
        self.options = options
        self.facts: dict[str, str] = {}
        self.start()

    def start(self) -> None:
        """Start the process, again with the addresses it had."""
        ready, ready_fd = os.pipe()
        options = replace(self.options, ready_fd=ready_fd)
        self.process = subprocess.Popen(
            [*self.prefix, *command_for(self.service)],
            pass_fds=(ready_fd,),
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.process.stdin is not None
        with self.process.stdin as words:
            words.write(told(options))
        os.close(ready_fd)
        with os.fdopen(ready, "rb") as stream:
            readable, _, _ = select.select([stream], [], [], READY_S)
            line = stream.readline() if readable else b""
        assert line, f"{self.service} did not start"
        self.facts = json.loads(line)
        if self.service == "broker":
            facts = self.facts
            self.options = replace(
                self.options,
                meta_url=facts["meta_url"],
                backend_url=facts["backend_url"],
                publish_url=facts["publish_url"],
                events_url=facts["events_url"],
            )

    def signal(self, number: int) -> None:
        """Send a signal."""
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """The process stands still meanwhile."""
        self.signal(signal.SIGSTOP)
        wait_until(self._stands_still, "it has stopped")
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)

    def _stands_still(self) -> bool:
        """Whether every thread has stopped: until the first has seen the signal, the others go on."""
        tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
        return all(task.joinpath("stat").read_text().rpartition(")")[2].split()[0] == "T" for task in tasks)

    def end(self) -> None:
        """Stop the process in order."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class Cluster:
    """A broker, a meta service and local services, each a process of its own."""

    def __init__(self, ranks: int = 2, dram: str = _MB, *, events_url: str = "", config: str = "") -> None:
        """``events_url`` replaces where the events are heard, for tests that lose some.

        ``config`` names a file with other settings for every service.
        """
        self.directory = tempfile.TemporaryDirectory(prefix="mmc-test-")
        self.config = config
        self.others: list[Service] = []
        self.locals: list[Service] = []
        self._clients: list[Client] = []
        self._services: list[Service] = []
        try:
            self._start(ranks, dram, events_url, config)
        except BaseException:  # boundary: clears away and raises again
            self._end()
            raise

    def _start(self, ranks: int, dram: str, events_url: str, config: str) -> None:
        here = self.directory.name
        self.broker = Service(
            "broker",
            LaunchOptions(
                meta_url="tcp://127.0.0.1:0",
                backend_url=f"ipc://{here}/requests",
                publish_url=f"ipc://{here}/publish",
                events_url="tcp://127.0.0.1:0",
                config=config,
            ),
        )
        self._services.append(self.broker)
        urls = self.broker.facts
        self.meta_url = urls["meta_url"]
        self.events_url = urls["events_url"]
        self.pool = f"test-{os.getpid()}-{Path(here).name}"
        self.meta = Service(
            "meta",
            LaunchOptions(
                backend_url=urls["backend_url"],
                publish_url=urls["publish_url"],
                events_url=events_url or urls["events_url"],
                state_dir=here,
                config=config,
            ),
        )
        self._services.append(self.meta)
        for rank in range(ranks):
            self.locals.append(Service("local", replace(self._local_options(dram), rank=rank)))

    def _local_options(self, dram: str) -> LaunchOptions:
        return LaunchOptions(
            meta_url=self.meta_url,
            control_url="tcp://127.0.0.1:0",
            dram=dram,
            pool=self.pool,
            keep=False,
            config=self.config,
        )

    def join_from_other_host(self, rank: int, dram: str = _MB) -> Service:
        """One more rank, whose segment nobody else can open: its ``/dev/shm`` is its own."""
        options = replace(self.locals[0].options if self.locals else self._local_options(dram), rank=rank)
        service = Service("local", replace(options, dram=dram), OWN_MEMORY)
        self.others.append(service)
        return service

    def far_client(self, **settings: int) -> Client:
        """A client in this process that reaches every rank over the network; closed with the cluster."""
        config = load_config(overrides={"client": {"map_segments": False}, "data": settings})
        client = Client(self.meta_url, config)
        self._clients.append(client)
        return client

    def client(self) -> Client:
        """A client in this process, closed with the cluster."""
        client = Client(self.meta_url, load_config())
        client.wait_for_ranks(len(self.locals))
        self._clients.append(client)
        return client

    def _end(self) -> None:
        for service in (*self.others, *self.locals, *reversed(self._services)):
            service.end()
        self.directory.cleanup()

    def rank_counters(self, client: Client) -> dict[int, dict[str, int]]:
        """The counters of each rank."""
        return {rank: dict(pairs) for rank, pairs in client.status().ranks}

    def __enter__(self) -> Self:
        """The cluster itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop everything, and see that nothing is left in shared memory."""
        for client in self._clients:
            client.close()
        self._end()
        left = [path.name for path in Path("/dev/shm").glob(f"mmc-{self.pool}*")]
        assert not left, left


def can_have_own_memory() -> bool:
    """Whether this user may give a process a ``/dev/shm`` of its own."""
    return subprocess.run([*OWN_MEMORY, "true"], check=False, capture_output=True).returncode == 0


def run_python(script: str, *arguments: str) -> subprocess.Popen[str]:
    """Another engine: a Python process with its output on a pipe; it ends with its test at the latest."""
    engine = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    _ENGINES.append(engine)
    return engine


def end_engines() -> None:
    """Kill whatever engine still runs, and let go of all: of a test that failed some are left."""
    while _ENGINES:
        with _ENGINES.pop() as engine:
            engine.kill()


def finish(process: subprocess.Popen[str], text: str = "", seconds: float = 40.0) -> str:
    """Give a process its input and wait for its end; returns what it printed."""
    try:
        output, _ = process.communicate(text, seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        raise AssertionError(f"the process hung; it had printed: {output}") from None
    return output


def content_of(key: str, size: int = 4096) -> bytes:
    """Bytes that only this key has, different at every place."""
    stem = key.encode() + b"/"
    return b"".join(stem + str(at).encode() + b";" for at in range(size // 4))[:size]


def bulk_of(key: str, size: int) -> bytes:
    """Many bytes that only this key has, made faster than those of :func:`content_of`."""
    return np.random.default_rng(key_hash(key.encode())).bytes(size)


def keys_on_rank(client: Client, rank: int, keys: Sequence[str]) -> list[str]:
    """The keys that have a replica on a rank."""
    infos = client.query_batch(keys)
    return [key for key, info in zip(keys, infos, strict=True) if rank in getattr(info, "ranks", ())]
