"""The commands of ``mmc``.  Logs and complaints go to standard error, results to standard output."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from mmc.cli import objects
from mmc.cli.bench import bench
from mmc.cli.doctor import examine
from mmc.cli.options import (
    BACKEND_URL,
    EVENTS_URL,
    META_URL,
    PUBLISH_URL,
    TIMEOUT_S,
    AsJson,
    BackendUrl,
    ConfigFile,
    Dram,
    EventsUrl,
    MetaUrl,
    PublishUrl,
    StateDir,
    Timeout,
)
from mmc.cli.status import print_status
from mmc.cli.terminal import guarded
from mmc.http.server import run_http
from mmc.identifiers import ANY_RANK
from mmc.process import stop_on_signals
from mmc.services.launch import SERVICES, LaunchOptions, log_as
from mmc.services.supervisor import Supervisor

app = typer.Typer(
    help="MemCache: a distributed in-memory cache for the KV blocks of LLM inference.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _serve(service: str, options: LaunchOptions) -> None:
    log_as(service, options)
    SERVICES[service](options)


@app.command()
@guarded
def up(
    meta_url: MetaUrl = META_URL,
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


@app.command()
@guarded
def broker(
    meta_url: MetaUrl = META_URL,
    backend_url: BackendUrl = BACKEND_URL,
    publish_url: PublishUrl = PUBLISH_URL,
    events_url: EventsUrl = EVENTS_URL,
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
@guarded
def meta(
    backend_url: BackendUrl = BACKEND_URL,
    publish_url: PublishUrl = PUBLISH_URL,
    events_url: EventsUrl = EVENTS_URL,
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
@guarded
def local(
    meta_url: MetaUrl = META_URL,
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
@guarded
def status(
    meta_url: MetaUrl = META_URL,
    timeout: Timeout = TIMEOUT_S,
    config: ConfigFile = "",
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Show the cluster: its ranks, what they hold, hits and misses, and segments that nobody uses."""
    print_status(meta_url, config, timeout, as_json=as_json)


@app.command()
@guarded
def doctor(
    meta_url: MetaUrl = META_URL,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a cluster that may be here.")] = 1.0,
    config: ConfigFile = "",
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Check this host, line by line; the exit status is 1 when something must be done."""
    if not examine(meta_url, config, timeout, as_json=as_json):
        raise typer.Exit(1)


for _name, _command in (
    ("put", objects.put),
    ("get", objects.get),
    ("exists", objects.exists),
    ("info", objects.info),
    ("rm", objects.rm),
    ("keys", objects.list_keys),
    ("lease", objects.lease),
    ("bench", bench),
):
    app.command(_name)(_command)


@app.command()
@guarded
def http(
    meta_url: MetaUrl = META_URL,
    metrics_url: Annotated[
        str, typer.Option(help="Where HTTP is served; port 0 is any.")
    ] = "http://127.0.0.1:8000",
    config: ConfigFile = "",
) -> None:
    """Serve REST and Prometheus metrics of a cluster."""
    options = LaunchOptions(meta_url=meta_url, http_url=metrics_url, config=config)
    log_as("http", options)
    run_http(options)
