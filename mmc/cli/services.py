"""The commands that serve: ``mmc up|broker|meta|local|http``."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from mmc.cli.options import (
    BACKEND_URL,
    EVENTS_URL,
    META_URL,
    PUBLISH_URL,
    AsJson,
    BackendUrl,
    ConfigFile,
    Dram,
    EventsUrl,
    MetaUrl,
    PublishUrl,
    StateDir,
)
from mmc.cli.terminal import guarded
from mmc.descriptors import raise_descriptor_limit
from mmc.identifiers import ANY_RANK
from mmc.process import stop_on_signals
from mmc.services.launch import SERVICES, LaunchOptions, log_as


def _serve(service: str, options: LaunchOptions) -> None:
    raise_descriptor_limit()
    log_as(service, options)
    SERVICES[service](options)


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
    from mmc.services.supervisor import Supervisor  # noqa: PLC0415 - no other command starts several services

    options = LaunchOptions(
        meta_url=meta_url, dram=dram, events_url=events_url, state_dir=state_dir, config=config
    )
    raise_descriptor_limit()
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


@guarded
def http(
    meta_url: MetaUrl = META_URL,
    metrics_url: Annotated[
        str, typer.Option(help="Where HTTP is served; port 0 is any.")
    ] = "http://127.0.0.1:8000",
    config: ConfigFile = "",
) -> None:
    """Serve REST and Prometheus metrics of a cluster."""
    from mmc.http.server import run_http  # noqa: PLC0415 - no other service is a client

    options = LaunchOptions(meta_url=meta_url, http_url=metrics_url, config=config)
    log_as("http", options)
    run_http(options)
