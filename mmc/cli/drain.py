"""``mmc drain``: move a rank's objects to other ranks, so that it can be stopped without loss."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from mmc.cli.options import META_URL, TIMEOUT_S, AsJson, ConfigFile, MetaUrl, Timeout
from mmc.cli.terminal import complain, connected, guarded, say, say_json
from mmc.zeromq.clock import now

if TYPE_CHECKING:
    from mmc.actors.client.draining import DrainStatus
    from mmc.client import Client

_LOOK_S = 0.2
_TELL_S = 1.0
_MB = 1e6


@guarded
def drain(
    rank: Annotated[int, typer.Argument(metavar="RANK", min=0)],
    discard: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--discard", help="Let go of objects that no other rank has room for.")
    ] = False,
    cancel: Annotated[  # noqa: FBT002 - a flag of the command line
        bool, typer.Option("--cancel", help="Have the rank take objects again.")
    ] = False,
    within: Annotated[
        float,
        typer.Option(help="Seconds to wait for the end; 0: as long as it takes. It goes on afterwards."),
    ] = 0.0,
    meta_url: MetaUrl = META_URL,
    timeout: Timeout = TIMEOUT_S,
    config: ConfigFile = "",
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Have a rank give its objects to others, and wait until nothing is left on it.

    It takes no new objects from then on. What no other rank has room for stays, and the exit status is 1.
    """
    with connected(meta_url, config, timeout) as client:
        if cancel:
            status = client.cancel_drain(rank)
        else:
            status = _follow(client, client.drain(rank, discard=discard), within)
    if as_json:
        say_json(status._asdict())
    else:
        say(_sentence(status))
    if status.state not in ("drained", "cancelled"):
        complain(_complaint(status))
        raise typer.Exit(1)


def _follow(client: Client, status: DrainStatus, within: float) -> DrainStatus:
    """Wait until it is over, or goes no further; progress goes to a terminal."""
    until = now() + within if within else float("inf")
    tick = threading.Event()
    tell_at = now() + _TELL_S
    while status.state == "running" and now() < until:
        tick.wait(_LOOK_S)
        status = client.drain_status(status.rank)
        if now() >= tell_at and sys.stderr.isatty():
            tell_at = now() + _TELL_S
            sys.stderr.write(f"{_sentence(status)}\n")
    return status


def _sentence(status: DrainStatus) -> str:
    moved = f"{status.moved_objects} objects ({status.moved_bytes / _MB:.1f} MB) moved"
    discarded = f", {status.discarded_objects} discarded" if status.discarded_objects else ""
    left = f"{status.left_objects} ({status.left_bytes / _MB:.1f} MB) left"
    return f"rank {status.rank} {status.state}: {moved}{discarded}, {left}"


def _complaint(status: DrainStatus) -> str:
    if status.state == "blocked":
        return (
            f"no other rank has room for {status.refused_objects} objects: make room, or use --discard; "
            "--cancel has the rank take objects again"
        )
    if status.state == "gone":
        return f"rank {status.rank} was given up, or left, before it was drained"
    return f"rank {status.rank} still drains: run this again to see how it goes on"
