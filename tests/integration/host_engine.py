"""``python -m tests.integration.host_engine META_URL``: a client that makes the calls it is told, as lines.

Each line of its input is a call with its arguments, as JSON, and is answered by one line.  It ends with its
input.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from mmc.client import Client
from mmc.config import load_config
from mmc.errors import Code
from tests.integration.processes import content_of

if TYPE_CHECKING:
    from collections.abc import Callable

Told = dict[str, Any]


def _put(client: Client, told: Told) -> list[int]:
    keys = told["keys"]
    return list(
        client.put_batch(
            keys,
            [content_of(key, told["size"]) for key in keys],
            replicas=told.get("replicas", 1),
            preferred_ranks=told.get("preferred", ()),
            timeout=told.get("timeout"),
        )
    )


def _get(client: Client, told: Told) -> list[int]:
    contents, codes = client.read_batch(told["keys"], timeout=told.get("timeout"))
    return [
        Code.INTERNAL if code == Code.OK and content != content_of(key, told["size"]) else code
        for key, content, code in zip(told["keys"], contents, codes, strict=True)
    ]


def _ranks_of(client: Client, told: Told) -> list[list[int]]:
    return [list(getattr(info, "ranks", ())) for info in client.query_batch(told["keys"])]


def _states(client: Client, _told: Told) -> dict[int, int]:
    return {rank: member.state for rank, member in client.connection.actor.members.items()}


_CALLS: dict[str, Callable[[Client, Told], object]] = {
    "put": _put,
    "get": _get,
    "exist": lambda client, told: list(client.exist_batch(told["keys"])),
    "remove": lambda client, told: list(client.remove_batch(told["keys"])),
    "lease": lambda client, told: list(client.lease_batch(told["keys"], told["ttl_ms"])),
    "keys": lambda client, _: list(client.keys()),
    "ranks_of": _ranks_of,
    "states": _states,
    "drain": lambda client, told: client.drain(told["rank"]).state,
    "drain_state": lambda client, told: client.drain_status(told["rank"]).state,
    "counters": lambda client, _: {rank: dict(pairs) for rank, pairs in client.status().ranks},
}


def main() -> None:
    """Serve standard input."""
    with Client(sys.argv[1], load_config()) as client:
        print(json.dumps("connected"), flush=True)
        for line in sys.stdin:
            told = json.loads(line)
            print(json.dumps(_CALLS[told["call"]](client, told)), flush=True)


if __name__ == "__main__":
    main()
