"""A cluster over several hosts: one with broker and meta service, the others with a rank and engines each."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from mmc.errors import Code
from mmc.services.launch import LaunchOptions
from scripts.hosts import Network, obstacle
from tests.integration.processes import Service

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from scripts.hosts import Host

_ROOT = Path(__file__).parents[2]
_ANSWER_S = 60.0
_HEARTBEAT_MS = 250
_SUSPECT_MS = 1000


@cache
def _obstacle() -> str:
    return obstacle()


def on_several_hosts() -> pytest.MarkDecorator:
    """The mark of tests that need hosts."""
    return pytest.mark.skipif(bool(_obstacle()), reason=_obstacle() or "hosts are permitted")


class Engine:
    """A client in a process of its own on a host; it puts and expects the content that belongs to a key."""

    def __init__(self, host: Host, meta_url: str) -> None:
        """Start it and wait until it is connected."""
        module = "tests.integration.host_engine"
        self.process = subprocess.Popen(
            [*host.prefix, sys.executable, "-P", "-m", module, meta_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        )
        self._hear()

    def ask(self, call: str, **arguments: object) -> Any:  # noqa: ANN401 - whatever the call answers
        """Have it make a call, and return the answer."""
        self.say(call, **arguments)
        return self._hear()

    def say(self, call: str, **arguments: object) -> None:
        """Have it begin a call; :meth:`hear` returns the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"call": call, **arguments}).encode() + b"\n")
        self.process.stdin.flush()

    def hear(self) -> Any:  # noqa: ANN401 - whatever the call answers
        """The answer to what was said."""
        return self._hear()

    def _hear(self) -> Any:  # noqa: ANN401 - whatever the call answers
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], _ANSWER_S)
        line = self.process.stdout.readline() if readable else b""
        assert line, "the engine has ended, or hangs"
        return json.loads(line)

    def put(self, keys: Sequence[str], size: int = 4096, **options: object) -> list[Code]:
        """Put the keys' contents of this size; one code for each key."""
        return [Code(code) for code in self.ask("put", keys=keys, size=size, **options)]

    def get(self, keys: Sequence[str], size: int = 4096, **options: object) -> list[Code]:
        """Get and verify; one code for each key, -1 where the bytes are wrong."""
        return [Code(code) for code in self.ask("get", keys=keys, size=size, **options)]

    def exist(self, keys: Sequence[str]) -> list[Code]:
        """Whether the keys are there."""
        return [Code(code) for code in self.ask("exist", keys=keys)]

    def remove(self, keys: Sequence[str]) -> list[Code]:
        """Remove the keys."""
        return [Code(code) for code in self.ask("remove", keys=keys)]

    def ranks_of(self, keys: Sequence[str]) -> list[list[int]]:
        """On which ranks each key has replicas; empty where it is not there."""
        found: list[list[int]] = self.ask("ranks_of", keys=keys)
        return found

    def states(self) -> dict[int, int]:
        """The state of each rank, as this client has been told without asking."""
        return {int(rank): state for rank, state in self.ask("states").items()}

    def end(self) -> None:
        """Let it close its client and end."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()  # type: ignore[union-attr] # it is a pipe
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()  # type: ignore[union-attr] # it is a pipe


class HostCluster:
    """``ranks`` hosts with a rank each, and one with broker and meta service."""

    def __init__(
        self, hosts: int = 2, dram: str = "16MB", *, serve_ms: int = 2000, grace_ms: int = 1000
    ) -> None:
        """A rank that is silent is given up after ``serve_ms`` and ``grace_ms``; not started yet."""
        self._dram = dram
        self._network = Network(hosts + 1)
        self._settings = (
            f"[meta]\nsuspect_ms = {_SUSPECT_MS}\nserve_ms = {serve_ms}\ngrace_ms = {grace_ms}\n"
            f"[local]\nheartbeat_ms = {_HEARTBEAT_MS}\n"
        )
        self._engines: list[Engine] = []
        self.ranks: list[Service] = []

    def __enter__(self) -> Self:
        """Start it; ``hosts[0]`` has rank 0."""
        with contextlib.ExitStack() as ending:
            here = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="mmc-hosts-")))
            ending.enter_context(self._network)
            ending.callback(self._end)
            config = here / "config.toml"
            config.write_text(self._settings, encoding="utf-8")
            control, *self.hosts = self._network.hosts
            self.control = control
            any_port = f"tcp://{control.address}:0"
            broker = LaunchOptions(
                meta_url=any_port,
                backend_url=f"ipc://{here}/requests",
                publish_url=f"ipc://{here}/publish",
                events_url=any_port,
                config=str(config),
            )
            self.broker = Service("broker", broker, control.prefix)
            urls = self.broker.facts
            self.meta_url = urls["meta_url"]
            meta = LaunchOptions(
                backend_url=urls["backend_url"],
                publish_url=urls["publish_url"],
                events_url=urls["events_url"],
                state_dir=str(here),
                config=str(config),
            )
            self.meta = Service("meta", meta, control.prefix)
            for rank, host in enumerate(self.hosts):
                self.add_rank(rank, host, str(config))
            self._ending = ending.pop_all()
        return self

    def add_rank(self, rank: int, host: Host, config: str = "") -> Service:
        """One more rank on a host."""
        options = LaunchOptions(
            meta_url=self.meta_url,
            control_url=f"tcp://{host.address}:0",
            dram=self._dram,
            pool="hosts",
            rank=rank,
            config=config or self.ranks[0].options.config,
        )
        self.ranks.append(Service("local", options, host.prefix))
        return self.ranks[-1]

    def kill_host(self, rank: int) -> None:
        """The host of a rank dies with all that runs there; its memory stays."""
        self.hosts[rank].die()
        self.ranks[rank].process.wait()

    def engine(self, host: Host) -> Engine:
        """An engine on a host."""
        self._engines.append(Engine(host, self.meta_url))
        return self._engines[-1]

    def _end(self) -> None:
        for engine in self._engines:
            engine.process.kill()
            engine.end()
        for service in (*self.ranks, *(getattr(self, name, None) for name in ("meta", "broker"))):
            if service is not None:
                service.process.send_signal(signal.SIGCONT)
                service.process.kill()
                service.process.wait()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End everything, hosts and all."""
        self._ending.__exit__(kind, error, trace)
