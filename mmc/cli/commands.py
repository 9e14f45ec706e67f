"""The commands of ``mmc``.  Logs and complaints go to standard error, results to standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from mmc.cli.status import print_status
from mmc.errors import CacheError
from mmc.identifiers import ANY_RANK
from mmc.process import stop_on_signals
from mmc.services.launch import SERVICES, LaunchOptions, log_as
from mmc.services.supervisor import Supervisor

app = typer.Typer(
    help="MemCache: a distributed in-memory cache for the KV blocks of LLM inference.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

MetaUrl = Annotated[str, typer.Option(help="Where clients send requests: the broker's URL; port 0 is any.")]
EventsUrl = Annotated[str, typer.Option(help="Where events are heard.")]
BackendUrl = Annotated[str, typer.Option(help="Where the meta service meets its broker.")]
PublishUrl = Annotated[str, typer.Option(help="Where the meta service publishes its events.")]
ConfigFile = Annotated[str, typer.Option("--config", help="A TOML file that overrides config.toml.")]
Dram = Annotated[str, typer.Option(help="Pool of each local service, like 512MB or 1GB.")]
StateDir = Annotated[str, typer.Option(help="Where the membership is written down.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

_META_URL = "tcp://127.0.0.1:5000"
_EVENTS_URL = "tcp://127.0.0.1:6000"
_BACKEND_URL = "tcp://127.0.0.1:5001"
_PUBLISH_URL = "tcp://127.0.0.1:6001"


def _guard(run: Callable[[], None]) -> None:
    """Run a command; a failure is its sentence on standard error, and exit status 1."""
    try:
        run()
    except CacheError as error:
        sys.stderr.write(f"mmc: {error}\n")
        raise typer.Exit(1) from None


def _serve(service: str, options: LaunchOptions) -> None:
    def serve() -> None:
        log_as(service, options)
        SERVICES[service](options)

    _guard(serve)


@app.command()
def up(
    meta_url: MetaUrl = _META_URL,
    local: Annotated[int, typer.Option(help="How many local services.")] = 1,
    dram: Dram = "",
    events_url: EventsUrl = "",
    state_dir: StateDir = "",
    config: ConfigFile = "",
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Start a broker, a meta service and local services; stop all of them on Ctrl-C."""
    options = LaunchOptions(
        meta_url=meta_url, dram=dram, events_url=events_url, state_dir=state_dir, config=config
    )

    def run() -> None:
        log_as("up", options)
        supervisor = Supervisor(options, local)
        stop_on_signals(supervisor, supervisor.force)
        try:
            supervisor.start()
            facts = supervisor.facts()
            if as_json:
                line = json.dumps(facts)
            else:
                line = f"ready: clients connect to {supervisor.meta_url} ({local} local services)"
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
            supervisor.watch()
        finally:
            supervisor.close()

    _guard(run)


@app.command()
def broker(
    meta_url: MetaUrl = _META_URL,
    backend_url: BackendUrl = _BACKEND_URL,
    publish_url: PublishUrl = _PUBLISH_URL,
    events_url: EventsUrl = _EVENTS_URL,
    config: ConfigFile = "",
) -> None:
    """Run the brokers of one meta service."""
    _serve(
        "broker",
        LaunchOptions(
            meta_url=meta_url,
            backend_url=backend_url,
            publish_url=publish_url,
            events_url=events_url,
            config=config,
        ),
    )


@app.command()
def meta(
    backend_url: BackendUrl = _BACKEND_URL,
    publish_url: PublishUrl = _PUBLISH_URL,
    events_url: EventsUrl = _EVENTS_URL,
    state_dir: StateDir = "",
    config: ConfigFile = "",
) -> None:
    """Run the meta service behind a broker."""
    _serve(
        "meta",
        LaunchOptions(
            backend_url=backend_url,
            publish_url=publish_url,
            events_url=events_url,
            state_dir=state_dir,
            config=config,
        ),
    )


@app.command()
def local(
    meta_url: MetaUrl = _META_URL,
    dram: Dram = "",
    rank: Annotated[int, typer.Option(help="The rank to be; any by default.")] = ANY_RANK,
    control_url: Annotated[
        str, typer.Option(help="Where clients of this host reach the rank; port 0 is any.")
    ] = "tcp://127.0.0.1:0",
    keep: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option(help="Keep the segment for a warm restart when the service stops.")
    ] = True,
    config: ConfigFile = "",
) -> None:
    """Run one local service: a rank with its pool of shared memory."""
    _serve(
        "local",
        LaunchOptions(
            meta_url=meta_url,
            dram=dram,
            rank=rank,
            control_url=control_url,
            keep=keep,
            config=config,
        ),
    )


@app.command()
def status(
    meta_url: MetaUrl = _META_URL,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for an answer.")] = 3.0,
    config: ConfigFile = "",
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Show the meta service and its ranks."""
    _guard(lambda: print_status(meta_url, config, timeout, as_json=as_json))
