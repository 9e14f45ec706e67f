"""``mmc doctor``: looks at this host, and says line by line what is ok and what is to be done."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import pwd
import re
import resource
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmc.cli.findings import (
    FileFacts,
    Finding,
    PortState,
    judge_descriptors,
    judge_directory,
    judge_files,
    judge_huge_pages,
    judge_kernel,
    judge_locked_memory,
    judge_orphans,
    judge_package,
    judge_port,
    judge_processor,
    judge_python,
    judge_room,
)
from mmc.cli.options import META_URL, AsJson, ConfigFile, MetaUrl
from mmc.cli.status import find_orphans
from mmc.cli.terminal import connected, guarded, say, say_json
from mmc.config import load_config
from mmc.errors import CacheError, InvalidArgument
from mmc.segments.directory import filesystem_of
from mmc.services.pool import layout_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmc.config import Config

_PORTS = (
    (5000, "--meta-url"),
    (6000, "--events-url"),
    (5001, "--backend-url"),
    (6001, "--publish-url"),
    (7000, ""),
    (8000, ""),
)
_HUGE_PAGES = Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
_PACKAGE = "mmc"
_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9_.-]+)\s*(?:>=(?P<minimum>[\d.]+))?[^;]*(?:;.*extra == ['\"](?P<extra>\w+)['\"])?"
)
_NOT_FOR_USERS = "test"


@guarded
def doctor(
    meta_url: MetaUrl = META_URL,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for a cluster that may be here.")] = 1.0,
    config: ConfigFile = "",
    as_json: AsJson = False,  # noqa: FBT002 - a flag of the command line
) -> None:
    """Check this host, line by line; the exit status is 1 when something must be done."""
    if not timeout > 0:
        raise InvalidArgument("--timeout must be above 0")
    settings = load_config(config or None)
    findings = [
        *_of_segments(settings, config),
        *_of_limits(settings),
        *_of_ports(meta_url, config, timeout),
        *_of_host(),
        *_of_packages(),
    ]
    is_well = all(finding.ok for finding in findings)
    if as_json:
        say_json({"ok": is_well, "findings": [finding._asdict() for finding in findings]})
    else:
        for finding in findings:
            say(finding.line())
    if not is_well:
        raise typer.Exit(1)


def _user() -> str:
    uid = os.getuid()
    return f"uid {uid} ({_name_of(uid)})"


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return "without a name"


def _of_segments(config: Config, config_path: str) -> Iterator[Finding]:
    path = Path(config.local.segment_dir)
    exists = path.is_dir()
    yield judge_directory(
        str(path),
        exists=exists,
        writable=os.access(path, os.W_OK | os.X_OK),
        filesystem=filesystem_of(path) if exists else "",
        user=_user(),
    )
    if exists:
        state = os.statvfs(path)
        wanted = layout_for(config).total
        yield judge_room(str(path), state.f_bavail * state.f_frsize, wanted, config.local.dram)
        yield judge_files([*_files_in(path)], _user())
        yield judge_orphans(find_orphans(config_path))


def _files_in(directory: Path) -> Iterator[FileFacts]:
    for path in sorted(directory.glob("mmc-*")):
        with contextlib.suppress(FileNotFoundError):
            state = path.stat()
            usable = os.access(path, os.R_OK | os.W_OK)
            yield FileFacts(path.name, state.st_uid, _name_of(state.st_uid), state.st_mode, usable)


def _of_limits(config: Config) -> Iterator[Finding]:
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield judge_descriptors(descriptors, config.local.clients_max)
    locked, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    yield judge_locked_memory(locked, layout_for(config).total)


def _of_ports(meta_url: str, config_path: str, timeout: float) -> Iterator[Finding]:
    taken = {port for port, _ in _PORTS if _is_taken(port)}
    has_cluster = bool(taken) and _answers(meta_url, config_path, timeout)
    for port, option in _PORTS:
        if port not in taken:
            state = PortState.FREE
        else:
            state = PortState.CLUSTER if has_cluster and option else PortState.TAKEN
        yield judge_port(port, option, state)


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _answers(meta_url: str, config_path: str, timeout: float) -> bool:
    """Whether a meta service answers a hello here."""
    try:
        with connected(meta_url, config_path, timeout):
            return True
    except CacheError:
        return False


def _of_host() -> Iterator[Finding]:
    with contextlib.suppress(OSError):
        yield judge_huge_pages(_HUGE_PAGES.read_text(encoding="ascii"))
    yield judge_kernel(platform.release())
    yield judge_processor(platform.machine())
    yield judge_python(sys.version_info[:3])


def _of_packages() -> Iterator[Finding]:
    """The versions of mmc and of what it requires, by its own metadata."""
    own = _version_of(_PACKAGE)
    yield judge_package(_PACKAGE, own, "")
    for requirement in importlib.metadata.requires(_PACKAGE) or () if own else ():
        parts = _REQUIREMENT.match(requirement)
        if parts is not None and parts["extra"] != _NOT_FOR_USERS:
            name = parts["name"]
            yield judge_package(name, _version_of(name), parts["minimum"] or "", parts["extra"] or "")


def _version_of(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
