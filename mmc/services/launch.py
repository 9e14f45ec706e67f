"""Starts one service in this process: what ``mmc broker|meta|local`` and the supervisor's children run.

1. Each service is imported by the function that runs it, and settings that were validated before are taken
   as they are: a process pays for what it uses alone, so that one that was killed is back the sooner.
2. A process that another starts is told on its standard input what it serves with, and has imported its
   service before it looks there: services that need each other's addresses begin to start at the same time.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mmc.config import load_config, restore_config, with_local
from mmc.descriptors import raise_descriptor_limit
from mmc.errors import CacheError
from mmc.identifiers import ANY_RANK
from mmc.log import configure_log, get_log, set_level
from mmc.process import collect_rarely, stop_on_signals, stop_with_parent, tell_failure, tell_ready
from mmc.zeromq.addresses import is_loopback
from mmc.zeromq.sockets import OPEN_TO_NETWORK

if TYPE_CHECKING:
    from mmc.config import Config


@dataclass(frozen=True, slots=True)
class LaunchOptions:
    """What a service is started with; the meaning of each is in ``mmc SERVICE --help``.

    ``settled`` is a whole configuration, as whoever starts the service has validated it: where there is one,
    files, environment and ``overrides`` are not looked at.
    """

    meta_url: str = ""
    backend_url: str = ""
    publish_url: str = ""
    events_url: str = ""
    control_url: str = ""
    spare_url: str = ""
    http_url: str = ""
    state_dir: str = ""
    config: str = ""
    dram: str = ""
    pool: str = ""
    run_dir: str = ""
    rank: int = ANY_RANK
    world: int = 0
    create_id: int = 0
    keep: bool = True
    overrides: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    settled: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    parent_fd: int | None = None
    ready_fd: int | None = None

    def bound_to(self, urls: Mapping[str, str]) -> LaunchOptions:
        """The same for a broker, on the addresses that it said it has bound."""
        return replace(
            self,
            meta_url=urls["meta_url"],
            backend_url=urls["backend_url"],
            publish_url=urls["publish_url"],
            events_url=urls["events_url"],
        )

    def settle(self) -> LaunchOptions:
        """The same with this service's settings as they are now, however often it will be started.

        Raises:
            InvalidArgument: a value is not allowed.
        """
        return replace(self, settled=asdict(self.settings()))

    def settings(self) -> Config:
        """The configuration with this service's own values.

        Raises:
            InvalidArgument: a value is not allowed.
        """
        if self.settled:
            return restore_config(self.settled)
        config = load_config(self.config or None, self.overrides)
        return with_local(config, dram=self.dram) if self.dram else config


def run_broker(options: LaunchOptions) -> None:
    """Serve as both brokers until stopped.

    Raises:
        CacheError: -3002, an address cannot be bound.
    """
    from brokers.server import BrokerServer, BrokerUrls  # noqa: PLC0415 - a process pays for its service alone

    config = options.settings()
    urls = BrokerUrls(options.meta_url, options.backend_url, options.publish_url, options.events_url)
    server = BrokerServer(urls, config.wire, config.broker)
    stop_on_signals(server)
    for setting, url in server.urls._asdict().items():
        if not is_loopback(url):
            get_log("broker").warning(OPEN_TO_NETWORK, setting=setting, url=url)
    orphaned = threading.Event()
    stop_with_parent(server, options.parent_fd, orphaned.set, set_level)
    _serves("broker", options, server.urls._asdict())
    server.run()
    if orphaned.is_set() and options.run_dir:
        import shutil  # noqa: PLC0415 - few brokers ever need it

        shutil.rmtree(options.run_dir, ignore_errors=True)


def run_meta(options: LaunchOptions) -> None:
    """Serve as the meta service until stopped.

    Raises:
        CacheError: -3002, ``state_dir`` cannot be used; -3000 a URL is none.
    """
    from mmc.services.meta_service import MetaServer  # noqa: PLC0415 - a process pays for its service alone

    collect_rarely()
    server = MetaServer(
        options.settings(),
        options.backend_url,
        options.publish_url,
        options.events_url,
        state_dir=options.state_dir,
    )
    stop_on_signals(server)
    stop_with_parent(server, options.parent_fd, server.members.forget, set_level)
    _serves("meta", options, {})
    server.run()


def run_local(options: LaunchOptions) -> None:
    """Serve as one rank until stopped.

    Raises:
        CacheError: -3001 no memory; -3002 address or directory; -3006 the rank is taken.
    """
    from mmc.services.local_service import LocalServer  # noqa: PLC0415 - a process pays for its service alone

    collect_rarely()
    server = LocalServer(
        options.settings(),
        options.meta_url,
        control_url=options.control_url,
        spare_url=options.spare_url,
        rank=options.rank,
        world=options.world,
        create_id=options.create_id,
        events_url=options.events_url,
        keep=options.keep,
        pool=options.pool,
    )
    stop_on_signals(server, server.bury)
    stop_with_parent(server, options.parent_fd, None, set_level)
    server.run(lambda: _serves("local", options, {"rank": server.actor.rank}))


def _serves(service: str, options: LaunchOptions, facts: dict[str, object]) -> None:
    """Tell whoever waits for it, and then the log."""
    tell_ready(options.ready_fd, facts)
    get_log(service).info("serving", pid=os.getpid())


def log_as(service: str, options: LaunchOptions) -> None:
    """Log as this service from here on, in its file or on standard error.

    Raises:
        InvalidArgument: a setting is not allowed.
    """
    configure_log(options.settings().log, service=service, to_stderr=True)


SERVICES = {"broker": run_broker, "meta": run_meta, "local": run_local}


_MODULES = {
    "broker": "brokers.server",
    "meta": "mmc.services.meta_service",
    "local": "mmc.services.local_service",
}


def command_for(service: str) -> list[str]:
    """The command line of a service as a process of its own; :func:`told` is what its standard input gets."""
    if service == "http":
        return [sys.executable, "-m", "mmc.http"]
    return [sys.executable, "-m", "mmc.services.launch", service]


def told(options: LaunchOptions) -> bytes:
    """What a service process is told on its standard input, which ends there."""
    return json.dumps(asdict(options)).encode()


def hear() -> LaunchOptions:
    """What this process is told on its standard input.

    Raises:
        SystemExit: whoever started it ended without a word.
    """
    with open(0, "rb", closefd=False) as standard_input:
        words = standard_input.read()
    if not words:
        sys.exit(1)
    return LaunchOptions(**json.loads(words))


def import_services() -> None:
    """Import what the services of a cluster are made of, and log with, for forks of this process."""
    for module in (*_MODULES.values(), "structlog"):
        importlib.import_module(module)


def main() -> int:
    """Start the service that a supervisor asks for."""
    service = sys.argv[1]
    importlib.import_module(_MODULES[service])
    return serve(service)


def serve(service: str) -> int:
    """Be the service that standard input tells of, until it is stopped; returns the exit status."""
    with contextlib.suppress(OSError):  # a name for who looks at processes, and nothing else
        Path("/proc/self/comm").write_text(f"mmc {service}", encoding="ascii")
    raise_descriptor_limit()
    options = hear()
    try:
        log_as(service, options)
        SERVICES[service](options)
    except CacheError as error:
        tell_failure(options.ready_fd, error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
