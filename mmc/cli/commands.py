"""The commands of ``mmc``, each imported when it is asked for.

Logs and complaints go to standard error, results to standard output.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import Annotated

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

_FUNCTIONS = {
    "up": "mmc.cli.services.up",
    "broker": "mmc.cli.services.broker",
    "meta": "mmc.cli.services.meta",
    "local": "mmc.cli.services.local",
    "http": "mmc.cli.services.http",
    "status": "mmc.cli.status.status",
    "doctor": "mmc.cli.doctor.doctor",
    "drain": "mmc.cli.drain.drain",
    "put": "mmc.cli.objects.put",
    "get": "mmc.cli.objects.get",
    "exists": "mmc.cli.objects.exists",
    "info": "mmc.cli.objects.info",
    "rm": "mmc.cli.objects.rm",
    "keys": "mmc.cli.objects.list_keys",
    "lease": "mmc.cli.objects.lease",
    "bench": "mmc.cli.bench.bench",
}


@cache
def _make(name: str) -> TyperCommand:
    module, _, function = _FUNCTIONS[name].rpartition(".")
    alone = typer.Typer(add_completion=False)
    alone.command(name)(getattr(import_module(module), function))
    command = get_command(alone)
    assert isinstance(command, TyperCommand)
    return command


class _Commands(TyperGroup):
    """Makes a command when it is asked for, and all of them when help or a suggestion is."""

    def get_command(self, ctx: object, cmd_name: str) -> TyperCommand | None:
        if cmd_name in _FUNCTIONS:
            return _make(cmd_name)
        self.commands = {name: _make(name) for name in _FUNCTIONS}
        return None

    def list_commands(self, ctx: object) -> list[str]:
        return list(_FUNCTIONS)


app = typer.Typer(cls=_Commands, no_args_is_help=True, pretty_exceptions_enable=False)


def _tell_version(wanted: bool) -> None:  # noqa: FBT001 - as typer calls it
    if wanted:
        typer.echo(f"mmc {version('mmc')}")
        raise typer.Exit


@app.callback()
def mmc(
    *,
    _: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Tell the version.")
    ] = False,
) -> None:
    """MemCache: a distributed in-memory cache for the KV blocks of LLM inference."""
