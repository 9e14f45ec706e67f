"""The options that several commands have, each declared once."""

from __future__ import annotations

from typing import Annotated

import typer

META_URL = "tcp://127.0.0.1:5000"
EVENTS_URL = "tcp://127.0.0.1:6000"
BACKEND_URL = "tcp://127.0.0.1:5001"
PUBLISH_URL = "tcp://127.0.0.1:6001"
TIMEOUT_S = 3.0

MetaUrl = Annotated[str, typer.Option(help="Where clients send requests: the broker's URL; port 0 is any.")]
EventsUrl = Annotated[str, typer.Option(help="Where events are heard.")]
BackendUrl = Annotated[str, typer.Option(help="Where the meta service meets its broker.")]
PublishUrl = Annotated[str, typer.Option(help="Where the meta service publishes its events.")]
ConfigFile = Annotated[str, typer.Option("--config", help="A TOML file that overrides config.toml.")]
Dram = Annotated[str, typer.Option(help="Pool of each local service, like 512MB or 1GB.")]
StateDir = Annotated[str, typer.Option(help="Where the membership is written down.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for each answer.")]
Key = Annotated[str, typer.Argument(metavar="KEY")]
SomeKeys = Annotated[list[str], typer.Argument(metavar="KEY")]
File = Annotated[str, typer.Argument(metavar="FILE|-")]
