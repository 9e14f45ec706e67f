"""The directory that segments and lock files lie in: creating, attaching, and clearing away.

1. A segment's file is made under a temporary name, locked, given all its space
   (``posix_fallocate``: a sparse file on a full tmpfs would kill an *engine* with SIGBUS), formatted,
   and only then renamed: whoever can open a segment by its name finds it whole.  What has the name
   already is judged and removed under that lock, so that of two makers the second finds the first.
2. The service holds the file's lock for life; a segment whose lock can be taken is an orphan.  One
   that was to be kept waits for its service; any other is removed by the next that starts here.
3. A segment that will not be used again is marked dead before it is unlinked, so that readers who
   still map it stop believing it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from xxhash import xxh3_64_intdigest

from mmc.descriptors import NONE_LEFT, explained, too_few_descriptors
from mmc.errors import AlreadyExists, CacheError, CannotCreate, NoSystemMemory
from mmc.segments.layout import (
    AT_BOOT,
    AT_DEAD,
    AT_KEEP,
    AT_SERVE_UNTIL,
    PAGE,
    Segment,
    flaw_of,
    format_segment,
    open_segment,
)
from mmc.segments.lockfile import AMONG_OTHERS, close_at_fork, is_at, is_free, open_locked, try_lock
from mmc.segments.mapping import BufferMemory, map_descriptor

if TYPE_CHECKING:
    from mmc.segments.layout import Layout

_ABANDONED_MS = 60_000
_REMEDY = "stop that one, or start this one with another --rank"
GOOD_FILESYSTEMS = ("tmpfs", "ext4", "xfs")
"""What a segment directory may lie on."""


def boot_id() -> int:
    """This boot of this host, as a 64-bit number."""
    return xxh3_64_intdigest(Path("/proc/sys/kernel/random/boot_id").read_bytes())


class OwnedSegment:
    """A segment whose lock this process holds."""

    def __init__(self, path: Path, descriptor: int, segment: Segment, memory: BufferMemory) -> None:
        """Made by :class:`SegmentDirectory`."""
        self.path = path
        self.segment = segment
        self.memory = memory
        self._descriptor = descriptor
        close_at_fork(self)

    def release(self, *, keep: bool) -> None:
        """Let go of the segment: kept for a warm restart, or dead and gone.

        What lies under its name meanwhile, if it was removed, is left; what was truncated is not touched.
        """
        if self._descriptor < 0:
            return
        if not keep:
            if not self.segment.is_lost:
                self.segment.words[AT_DEAD] = 1
            if is_at(self._descriptor, self.path):
                self.path.unlink(missing_ok=True)
        self.close_in_child()

    def flaw(self) -> str:
        """What became of the file while this process serves from it; "": nothing."""
        state = os.fstat(self._descriptor)
        if state.st_size < self.segment.layout.total:
            self.segment.is_lost = True
            return f"was truncated to {state.st_size} bytes by another process"
        return "" if state.st_nlink else "was removed by another process"

    def close_in_child(self) -> None:
        """Close this process's copy of the descriptor and nothing else."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Orphan(NamedTuple):
    """A segment that no service holds: its file, its bytes, and whether it waits for its service's return."""

    path: Path
    size: int
    waits: bool


class SegmentDirectory:
    """Files of one ``segment_dir``."""

    def __init__(self, path: str, mode: int) -> None:
        """``mode`` is the permissions of files made here.

        Raises:
            CannotCreate: not a writable directory on tmpfs, ext4 or xfs.
        """
        self.path = Path(path)
        self.mode = mode
        if not self.path.is_dir() or not os.access(self.path, os.W_OK | os.X_OK):
            raise CannotCreate(f"segment_dir {path} is not a directory that uid {os.getuid()} may write")
        kind = filesystem_of(self.path)
        if kind not in GOOD_FILESYSTEMS:
            raise CannotCreate(f"segment_dir {path} is on {kind}; use one of {', '.join(GOOD_FILESYSTEMS)}")

    def require(self, wanted: int) -> None:
        """Check that ``wanted`` bytes of files fit.

        Raises:
            NoSystemMemory: with both sizes and the remedy.
        """
        state = os.statvfs(self.path)
        available = state.f_bavail * state.f_frsize
        if wanted > available:
            raise NoSystemMemory(_too_small(self.path, wanted, available))

    def create(self, name: str, layout: Layout, identity: int, *, keep: bool) -> OwnedSegment:
        """Make a new segment, replacing an orphan of that name.

        Raises:
            CacheError: -3006 in use by a living service; -3001 no space; -3002 not allowed.
        """
        final = self.path / name
        temporary = self.path / f"{name}.new"
        try:
            descriptor = open_locked(temporary, os.O_RDWR | os.O_CREAT, self.mode)
        except OSError as reason:
            raise CannotCreate(f"segment {temporary}: {explained(reason)}") from None
        if descriptor is None:
            raise AlreadyExists(f"segment {final} is being made by another service: {_REMEDY}")
        try:
            os.fchmod(descriptor, self.mode)  # whatever the umask is
            self._remove_old(final)
            self._allocate(descriptor, final, layout.total)
        except CacheError:
            temporary.unlink()
            os.close(descriptor)
            raise
        try:
            memory = map_descriptor(descriptor, layout.total, writable=True)
            segment = format_segment(memory, layout, identity, boot_id(), keep=keep)
            temporary.rename(final)
        except OSError as reason:
            temporary.unlink(missing_ok=True)
            os.close(descriptor)
            raise CannotCreate(f"segment {final}: {explained(reason)}") from None
        return OwnedSegment(final, descriptor, segment, memory)

    def reattach(self, name: str) -> OwnedSegment | str:
        """Take over a kept segment of this boot; else why it cannot be used, "" where there is none.

        Raises:
            CacheError: -3006, a living service holds it; -3002, it cannot be mapped now.
        """
        path = self.path / name
        try:
            descriptor = open_locked(path, os.O_RDWR, self.mode)
        except FileNotFoundError:
            return ""
        except OSError as reason:
            return explained(reason)
        if descriptor is None:
            raise AlreadyExists(f"segment {path} is held by a living service: {_REMEDY}")
        try:
            memory = _map(descriptor, writable=True)
        except CacheError:
            os.close(descriptor)
            raise
        segment = open_segment(memory, len(memory)) if memory else None
        if memory is not None and segment is not None and _is_usable(segment):
            return OwnedSegment(path, descriptor, segment, memory)
        size = os.fstat(descriptor).st_size
        os.close(descriptor)
        if memory is None:
            return f"it has {size} bytes, as no segment has: it was truncated or damaged"
        if segment is not None and segment.is_dead:
            return "it was given up for another one"
        return flaw_of(memory, len(memory)) or "this host was started again meanwhile"

    def sweep(self, spare: str = "", *, only: str = "mmc-*", now_ms: int | None = None) -> list[Path]:
        """Remove what the dead left: lock files, unfinished segments, segments not to be kept.

        Files whose names begin with ``spare``, or are not like the pattern ``only``, are left.  With
        ``now_ms``, milliseconds of this host, segments are left for a minute after they last served: their
        service may be on its way back, started again by whoever watches over it.
        """
        removed = []
        for path in sorted(self.path.glob(only)):
            if spare and path.name.startswith(spare):
                continue
            try:
                descriptor = os.open(path, os.O_RDWR | AMONG_OTHERS)
            except OSError:
                continue
            try:
                if _is_litter(path, descriptor, now_ms) and try_lock(descriptor) and is_at(descriptor, path):
                    _bury(path, _map_if_segment(descriptor))
                    removed.append(path)
            except CacheError:
                continue
            finally:
                os.close(descriptor)
        return removed

    def orphans(self) -> list[Orphan]:
        """Segments here that no service holds; none is removed or changed.

        Files that this user may not open are passed over: their services may be alive.
        """
        found = []
        for path in sorted(self.path.glob("mmc-*.dram")):
            try:
                descriptor = os.open(path, os.O_RDONLY | AMONG_OTHERS)
            except OSError:
                continue
            try:
                if is_free(descriptor) and is_at(descriptor, path):
                    with contextlib.suppress(CacheError):
                        memory = _map(descriptor, writable=False)
                        segment = open_segment(memory, len(memory)) if memory else None
                        waits = segment is not None and bool(segment.words[AT_KEEP]) and _is_usable(segment)
                        found.append(Orphan(path, os.fstat(descriptor).st_size, waits=waits))
            finally:
                os.close(descriptor)
        return found

    def _allocate(self, descriptor: int, path: Path, wanted: int) -> None:
        try:
            os.ftruncate(descriptor, 0)
            os.posix_fallocate(descriptor, 0, wanted)
        except OSError as reason:
            if reason.errno not in (errno.ENOSPC, errno.ENOMEM, errno.EDQUOT):
                raise CannotCreate(f"segment {path}: {explained(reason)}") from None
            state = os.statvfs(self.path)
            available = state.f_bavail * state.f_frsize
            raise NoSystemMemory(_too_small(self.path, wanted, available)) from None

    def _remove_old(self, path: Path) -> None:
        try:
            descriptor = open_locked(path, os.O_RDWR, self.mode)
        except FileNotFoundError:
            return
        except OSError as reason:
            raise CannotCreate(f"segment {path}: {explained(reason)}") from None
        if descriptor is None:
            raise AlreadyExists(f"segment {path} is held by a living service: {_REMEDY}")
        try:
            _bury(path, _map_if_segment(descriptor))
        finally:
            os.close(descriptor)


def open_shared(path: str, identity: int, *, writable: bool = True) -> Segment | None:
    """Map a rank's segment as a client; None if it is not here.

    It is mapped read-only where permissions say so, or ``writable`` does.  A segment is local when its file
    opens and holds this id, of this boot.

    Raises:
        CannotCreate: -3002, this process has no descriptor or no memory for it now.
    """
    modes = ((os.O_RDWR, True), (os.O_RDONLY, False))
    for flags, writes in modes if writable else modes[1:]:
        try:
            descriptor = os.open(path, flags | AMONG_OTHERS)
        except PermissionError:
            continue
        except (OSError, ValueError) as reason:
            if isinstance(reason, OSError) and reason.errno in NONE_LEFT:
                raise too_few_descriptors() from None
            return None
        try:
            memory = _map(descriptor, writable=writes)
        finally:
            os.close(descriptor)
        segment = open_segment(memory, len(memory)) if memory else None
        if segment and segment.id == identity and segment.words[AT_BOOT] == boot_id():
            return segment
        return None
    return None


def obstacle_of(path: str, capacity: int) -> str:
    """What keeps this process from the full use of a segment of its host, and the remedy; "": nothing."""
    try:
        state = Path(path).stat()
    except FileNotFoundError:
        return (
            f"segment {path} is not there: it was removed under its service, which makes a new one, or this "
            "container has another directory there: share it, with --ipc or a common local.segment_dir"
        )
    except (OSError, ValueError):
        return ""
    if state.st_size < capacity:
        return f"segment {path} was truncated to {state.st_size} bytes: its service makes a new one"
    reads, writes = os.access(path, os.R_OK), os.access(path, os.W_OK)
    if reads and writes:
        return ""
    can = "may only read" if reads else "may not open"
    mode = f"{stat.S_IMODE(state.st_mode):04o}"
    return (
        f"uid {os.getuid()} {can} segment {path} of uid {state.st_uid}, mode {mode}: "
        "run both as one user, or set local.segment_mode of the rank"
    )


def _is_usable(segment: Segment) -> bool:
    return segment.words[AT_BOOT] == boot_id() and not segment.words[AT_DEAD]


def _is_litter(path: Path, descriptor: int, now_ms: int | None) -> bool:
    if path.suffix in (".client", ".new"):
        return True
    if path.suffix != ".dram":
        return False
    segment = _map_if_segment(descriptor)
    if segment is None or not _is_usable(segment):
        return segment is not None
    has_served = segment.words[AT_SERVE_UNTIL] + _ABANDONED_MS
    return not segment.words[AT_KEEP] and (now_ms is None or has_served < now_ms)


def _map_if_segment(descriptor: int) -> Segment | None:
    memory = _map(descriptor, writable=True)
    return open_segment(memory, len(memory)) if memory else None


def _map(descriptor: int, *, writable: bool) -> BufferMemory | None:
    """The memory of an open file, or None when it cannot be a segment's: not a file of whole pages.

    Raises:
        CannotCreate: -3002, this process has no descriptor or no memory for it now.
    """
    state = os.fstat(descriptor)
    if not stat.S_ISREG(state.st_mode) or not state.st_size or state.st_size % PAGE:
        return None
    try:
        return map_descriptor(descriptor, state.st_size, writable=writable)
    except OSError as reason:
        raise CannotCreate(f"a segment cannot be mapped: {explained(reason)}") from None


def _bury(path: Path, segment: Segment | None) -> None:
    if segment is not None:
        segment.words[AT_DEAD] = 1
    with contextlib.suppress(FileNotFoundError):
        path.unlink()


def _too_small(directory: Path, wanted: int, available: int) -> str:
    return (
        f"{directory} has {available / 1e6:.0f} MB free and {wanted / 1e6:.0f} MB are needed: ask for "
        f"less (--dram), enlarge it (docker run --shm-size, mount -o remount,size=), or set segment_dir"
    )


def filesystem_of(path: Path) -> str:
    """The type of the mount that a path lies on, from /proc/self/mountinfo."""
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            return after.split()[0]
    return "an unknown file system"
