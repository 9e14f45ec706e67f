"""What ``mmc doctor`` makes of facts about a host: one finding each, and what to do.

Every function here judges what it is handed and looks at nothing itself; :mod:`mmc.cli.doctor` looks.
"""

from __future__ import annotations

import re
import stat
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from mmc.segments.directory import GOOD_FILESYSTEMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.segments.directory import Orphan

_MB = 1e6
_SHOWN = 3
_OLDEST_KERNEL = (5, 14)
_OLDEST_PYTHON = (3, 11)
_X86 = ("x86_64", "amd64", "i686")
_DESCRIPTORS_PER_CLIENT = 4
_DESCRIPTORS_BESIDES = 256


class Finding(NamedTuple):
    """One check: its name, whether nothing must be done, what was found, and what to do.

    A remedy of what is ok is advice.
    """

    name: str
    ok: bool
    sentence: str
    remedy: str = ""

    def line(self) -> str:
        """The finding as it is printed."""
        advice = f": {self.remedy}" if self.remedy else ""
        return f"{'ok ' if self.ok else 'DO '} {self.name}: {self.sentence}{advice}"


def _well(name: str, sentence: str, advice: str = "") -> Finding:
    return Finding(name, ok=True, sentence=sentence, remedy=advice)


def _ill(name: str, sentence: str, remedy: str) -> Finding:
    return Finding(name, ok=False, sentence=sentence, remedy=remedy)


class PortState(Enum):
    """What a port of loopback is used for."""

    FREE = "free"
    CLUSTER = "cluster"
    TAKEN = "taken"


class FileFacts(NamedTuple):
    """One file of the segment directory: ``usable`` when this user may read and write it."""

    name: str
    uid: int
    owner: str
    mode: int
    usable: bool


def judge_directory(path: str, *, exists: bool, writable: bool, filesystem: str, user: str) -> Finding:
    """Where segments are to lie."""
    name = "segment_dir"
    if not exists:
        return _ill(name, f"{path} is no directory", "create it, or set local.segment_dir")
    if not writable:
        remedy = f"let {user} write it, or set local.segment_dir"
        return _ill(name, f"{path} may not be written by {user}", remedy)
    if filesystem not in GOOD_FILESYSTEMS:
        remedy = f"set local.segment_dir to a directory on {', '.join(GOOD_FILESYSTEMS)}"
        return _ill(name, f"{path} is on {filesystem}", remedy)
    return _well(name, f"{path} is on {filesystem}")


def judge_room(path: str, free_bytes: int, wanted_bytes: int, dram: str) -> Finding:
    """Whether one rank's segment fits."""
    sentence = (
        f"{path} has {free_bytes / _MB:.0f} MB free; a rank with local.dram = {dram} takes "
        f"{wanted_bytes / _MB:.0f} MB"
    )
    if free_bytes >= wanted_bytes:
        return _well("segment_room", sentence)
    remedy = "ask for less (--dram), or enlarge it (docker run --shm-size, mount -o remount,size=)"
    return _ill("segment_room", sentence, remedy)


def judge_descriptors(soft: int, clients_max: int) -> Finding:
    """Whether a service may open enough files and sockets; ``soft`` -1 is no limit."""
    wanted = _DESCRIPTORS_BESIDES + _DESCRIPTORS_PER_CLIENT * clients_max
    limit = "no limit" if soft < 0 else str(soft)
    sentence = f"{limit}; a rank with {clients_max} clients needs up to {wanted}"
    if soft < 0 or soft >= wanted:
        return _well("open_files", sentence)
    return _ill("open_files", sentence, f"ulimit -n {wanted}, or LimitNOFILE={wanted}")


def judge_locked_memory(soft_bytes: int, pool_bytes: int) -> Finding:
    """How much memory may be locked; -1 is no limit."""
    name = "locked_memory"
    if soft_bytes < 0 or soft_bytes >= pool_bytes:
        limit = "no limit" if soft_bytes < 0 else f"{soft_bytes / _MB:.0f} MB"
        return _well(name, f"{limit}, enough to register a pool with a device")
    sentence = f"{soft_bytes / _MB:.1f} MB may be locked, enough as long as no device is to register the pool"
    return _well(name, sentence, "for devices: ulimit -l unlimited, or docker run --ulimit memlock=-1")


def judge_port(port: int, option: str, state: PortState) -> Finding:
    """Whether a default port is there to be used; ``option`` names who would use it."""
    name = f"port_{port}"
    match state:
        case PortState.FREE:
            return _well(name, "free")
        case PortState.CLUSTER:
            return _well(name, "taken, and a cluster answers on this host")
        case PortState.TAKEN if option:
            remedy = f"give {option} another port, or find who has it: ss -ltnp sport = :{port}"
            return _ill(name, "taken by something that is no cluster", remedy)
        case PortState.TAKEN:
            return _well(name, "taken by something else; nothing of this version listens there")


def judge_files(files: Sequence[FileFacts], user: str) -> Finding:
    """Whether this user may use the segments and lock files that are there."""
    name = "segment_files"
    strange = [file for file in files if not file.usable]
    if not strange:
        return _well(name, f"{len(files)} files, all of which {user} may use")
    shown = ", ".join(
        f"{file.name} (uid {file.uid} {file.owner}, mode {stat.S_IMODE(file.mode):04o})"
        for file in strange[:_SHOWN]
    )
    more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
    remedy = "run as their owner, or set local.segment_mode = 0o660 and share a group; or remove them"
    return _ill(name, f"{user} may not use {shown}{more}", remedy)


def judge_huge_pages(setting: str) -> Finding:
    """Whether shared memory gets huge pages; ``setting`` is the kernel's line, empty where there is none."""
    name = "huge_pages"
    chosen = re.search(r"\[(\w+)\]", setting)
    if chosen is None:
        return _well(name, "the kernel has no huge pages for shared memory")
    if chosen[1] not in ("never", "deny"):
        return _well(name, f"shmem_enabled is {chosen[1]}")
    remedy = (
        "large copies may be faster with: echo within_size > shmem_enabled, and mount -o huge=within_size"
    )
    return _well(name, f"shmem_enabled is {chosen[1]}", remedy)


def judge_kernel(release: str) -> Finding:
    """Whether memory can be populated ahead (``MADV_POPULATE_WRITE``)."""
    name = "kernel"
    if numbers_of(release)[:2] >= _OLDEST_KERNEL:
        return _well(name, f"{release} can populate memory ahead")
    remedy = "use Linux 5.14 or later; until then the first copies to fresh memory are slow"
    return _ill(name, f"{release} has no MADV_POPULATE_WRITE", remedy)


def judge_processor(machine: str) -> Finding:
    """Whether the processor orders memory accesses as the segments rely on."""
    if machine.lower() in _X86:
        return _well("processor", machine)
    sentence = f"{machine}: the order of memory accesses that is relied on is that of x86"
    return _ill("processor", sentence, "use x86-64; on other processors nothing is tested")


def judge_python(version: tuple[int, ...]) -> Finding:
    """Whether Python is new enough."""
    text = ".".join(map(str, version[:3]))
    wanted = ".".join(map(str, _OLDEST_PYTHON))
    if version[:2] >= _OLDEST_PYTHON:
        return _well("python", text)
    return _ill("python", f"{text}; {wanted} is needed", f"install Python {wanted} or later")


def judge_package(name: str, installed: str | None, minimum: str, extra: str = "") -> Finding:
    """Whether a dependency is there and new enough; one of an ``extra`` may be missing."""
    label = f"package_{name}"
    if installed is None:
        if extra:
            return _well(label, f"not installed; mmc[{extra}] would bring it")
        return _ill(label, "not installed", f"pip install '{name}>={minimum}'")
    if numbers_of(installed) >= numbers_of(minimum):
        return _well(label, f"{installed}, at least {minimum}" if minimum else installed)
    return _ill(label, f"{installed}; {minimum} is needed", f"pip install '{name}>={minimum}'")


def judge_orphans(orphans: Sequence[Orphan]) -> Finding:
    """Whether segments lie about that no service holds."""
    name = "orphans"
    litter = [orphan for orphan in orphans if not orphan.waits]
    kept = len(orphans) - len(litter)
    waiting = f"{kept} wait for their services" if kept else ""
    if not litter:
        advice = "start the service again, or remove the file if it is not to come back" if kept else ""
        return _well(name, waiting or "none", advice)
    shown = ", ".join(f"{o.path} ({o.size / _MB:.0f} MB)" for o in litter[:_SHOWN])
    more = f" and {len(litter) - _SHOWN} more" if len(litter) > _SHOWN else ""
    remedy = "a service that starts here a minute after they last served removes them: mmc up, or mmc local"
    sentence = f"no service holds {shown}{more}" + (f"; {waiting}" if waiting else "")
    return _ill(name, sentence, remedy)


def numbers_of(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, as far as they go."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else ()
