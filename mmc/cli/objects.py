"""The commands for objects: ``mmc put|get|exists|info|rm|keys|lease``."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmc.cli.options import META_URL, TIMEOUT_S, AsJson, ConfigFile, File, Key, MetaUrl, SomeKeys, Timeout
from mmc.cli.terminal import Outcomes, connected, guarded, say, say_json
from mmc.errors import Code, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmc.client import Client

_BATCH = 4096


@guarded
def put(
    key: Key,
    file: File = "-",
    replicas: Annotated[int, typer.Option(help="Copies on different ranks; 0: one, or one per --rank.")] = 0,
    rank: Annotated[
        list[int] | None, typer.Option(help="A rank that must hold it; may be given more than once.")
    ] = None,
    meta_url: MetaUrl = META_URL,
    timeout: Timeout = TIMEOUT_S,
    config: ConfigFile = "",
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Store the content of a file, or of standard input, under a key."""
    content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    if not content:
        raise InvalidArgument(f"{file} is empty: an object has at least one byte")
    ranks = rank or []
    outcomes = Outcomes(as_json=as_json)
    with connected(meta_url, config, timeout) as client:
        copies = replicas or max(1, len(ranks))
        codes = client.put_batch([key], [content], replicas=copies, preferred_ranks=ranks)
    outcomes.add(key, codes[0], size_bytes=len(content))
    outcomes.finish()


@guarded
def get(
    key: Key,
    file: File = "-",
    meta_url: MetaUrl = META_URL,
    timeout: Timeout = TIMEOUT_S,
    config: ConfigFile = "",
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Write the bytes of an object to a file, or to standard output; a file is replaced only when found."""
    if as_json and file == "-":
        raise typer.BadParameter("--json and the object cannot both go to standard output: name a FILE")
    with connected(meta_url, config, timeout) as client:
        content = client.get(key)
    if file == "-":
        sys.stdout.buffer.write(content)
    else:
        Path(file).write_bytes(content)
    if as_json:
        outcomes = Outcomes(as_json=True)
        outcomes.add(key, Code.OK, size_bytes=len(content))
        outcomes.finish()


@guarded
def exists(
    keys: SomeKeys,
    meta_url: MetaUrl = META_URL,
    timeout: Timeout = TIMEOUT_S,
    config: ConfigFile = "",
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Say of each key whether it is there; the exit status is 0 when all are."""
    outcomes = Outcomes(as_json=as_json)
    with connected(meta_url, config, timeout) as client:
        for key, code in zip(keys, client.exist_batch(keys), strict=True):
            is_there = code == Code.OK
            outcomes.add(key, code, f"{'yes' if is_there else 'no'}\t{key}", exists=is_there)
    outcomes.finish()


@guarded
def info(
    keys: SomeKeys,
    meta_url: MetaUrl = META_URL,
    timeout: Timeout = TIMEOUT_S,
    config: ConfigFile = "",
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Show size, ranks and lease of each object."""
    outcomes = Outcomes(as_json=as_json)
    with connected(meta_url, config, timeout) as client:
        for key, found in zip(keys, client.query_batch(keys), strict=True):
            if isinstance(found, Code):
                outcomes.add(key, found)
                continue
            ranks = ",".join(map(str, found.ranks))
            line = f"{key}\t{found.size} bytes\tranks {ranks}\t{'leased' if found.leased else 'not leased'}"
            facts = {"size_bytes": found.size, "ranks": list(found.ranks), "leased": found.leased}
            outcomes.add(key, Code.OK, line, **facts)
    outcomes.finish()


@guarded
def rm(
    keys: Annotated[list[str] | None, typer.Argument(metavar="KEY", show_default=False)] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove every object.")] = False,  # noqa: FBT002 - a flag
    prefix: Annotated[str, typer.Option(help="Remove the objects whose keys begin so.")] = "",
    meta_url: MetaUrl = META_URL,
    timeout: Timeout = TIMEOUT_S,
    config: ConfigFile = "",
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Remove objects by their keys, by the beginning of their keys, or all of them.

    With --all and --prefix, what goes by itself meanwhile is no failure, and JSON has the failures alone.
    """
    if [bool(keys), everything, bool(prefix)].count(True) != 1:
        raise typer.BadParameter("name keys, or --prefix, or --all, and only one of these")
    outcomes = Outcomes(as_json=as_json)
    removed = 0
    with connected(meta_url, config, timeout) as client:
        for batch in _batches(iter(keys or client.keys(prefix))):
            for key, code in zip(batch, client.remove_batch(batch), strict=True):
                removed += code == Code.OK
                if keys or code not in (Code.OK, Code.NOT_FOUND):
                    outcomes.add(key, code)
    if not as_json:
        say(f"removed {removed}")
    outcomes.finish(removed=removed)


def _batches(keys: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(keys, _BATCH)):
        yield batch


@guarded
def list_keys(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", show_default=False)] = "",
    limit: Annotated[int, typer.Option(min=0, help="Keys at most; 0: all.")] = 0,
    meta_url: MetaUrl = META_URL,
    timeout: Timeout = TIMEOUT_S,
    config: ConfigFile = "",
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """List the keys of readable objects, in no order."""
    with connected(meta_url, config, timeout) as client:
        found = islice(client.keys(prefix), limit or None)
        if as_json:
            say_json({"keys": list(found)})
            return
        for key in found:
            say(key)


@guarded
def lease(
    keys: SomeKeys,
    ttl_ms: Annotated[int, typer.Option(help="How long, in ms; 0: meta.lease_ttl_ms.")] = 0,
    end: Annotated[bool, typer.Option("--end", help="End leases early instead.")] = False,  # noqa: FBT002 - a flag
    meta_url: MetaUrl = META_URL,
    timeout: Timeout = TIMEOUT_S,
    config: ConfigFile = "",
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Have objects neither evicted nor removed for a while.

    The lease lasts for the whole time, though this command exits at once; leasing again extends it.  --end
    ends what this command leased, and the leases of every other client that was closed.  A lease of a client
    that is connected, or that died, is left alone and lasts for its time.
    """
    if end and ttl_ms:
        raise typer.BadParameter("--end and --ttl-ms exclude each other")
    outcomes = Outcomes(as_json=as_json)
    with connected(meta_url, config, timeout) as client:
        codes = _end(client, keys) if end else client.lease_batch(keys, ttl_ms)
    for key, code in zip(keys, codes, strict=True):
        outcomes.add(key, code)
    outcomes.finish()


def _end(client: Client, keys: list[str]) -> list[Code]:
    return client.unlease_batch(keys, abandoned=True)
