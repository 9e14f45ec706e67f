"""Lock files: how a rank knows, beyond doubt, that a client is dead.

A client holds a ``flock`` on a file of its own beside the segments for as long as it lives; the
kernel releases it however the client ends, in whatever pid namespace.  A rank that can take the
lock knows that the holder is dead.

1. The descriptor is close-on-exec, and a forked child closes its copy (it never unlocks: that would
   release the parent's lock).  So it does with every descriptor whose lock is to end with this process.
2. After locking, the path must still name the locked file, or a cleaner was faster: try again.
3. Directories like ``/dev/shm`` are everybody's: what is opened there under a name that others could give
   away is not followed if it is a link, and not waited for if it is a pipe.
4. The rank opens the file when the client says hello, keeps its own descriptor, and judges only
   files that were named by a hello.  It removes the file of a client that it has found dead; another rank
   that watches the same client has a descriptor of its own, and finds it dead as well.
5. A file that is there and cannot be opened, as no descriptor is left, says nothing: its client is not known
   dead, and is looked for again.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
import weakref
from typing import TYPE_CHECKING, Protocol

from mmc.descriptors import explained
from mmc.errors import Code, error_for

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE_S = 0.03
_CLIENT_PATIENCE_S = 1.0
_TURN_S = 0.001
_NOT_THERE = (errno.ENOENT, errno.ELOOP, errno.ENXIO)
_NONE_LEFT = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
AMONG_OTHERS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""How files are opened in a directory that strangers can write."""


CLIENT_LOCKS = "mmc-*.client"
"""The names of clients' lock files, as a pattern."""


def client_lock_name(client: int) -> str:
    """The name of a client's lock file."""
    return f"mmc-{client:016x}.client"


def try_lock(descriptor: int) -> bool:
    """Take the exclusive lock of an open file if nobody holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_free(descriptor: int) -> bool:
    """Whether nobody holds the lock of an open file; it is held here for a moment, and by all who ask."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return True


def open_locked(path: Path, flags: int, mode: int, patience_s: float = _PATIENCE_S) -> int | None:
    """Open and lock a file that is still at its path afterwards; None when another holds it.

    Whoever looks for what the dead left holds a lock for a moment: it is waited for, for ``patience_s``.

    Raises:
        OSError: the file cannot be opened.
    """
    until = time.monotonic() + patience_s
    while True:
        descriptor = os.open(path, flags | AMONG_OTHERS, mode)
        is_held = not try_lock(descriptor)
        if not is_held and is_at(descriptor, path):
            return descriptor
        os.close(descriptor)
        if time.monotonic() >= until:
            return None
        if is_held:
            time.sleep(_TURN_S)


def is_at(descriptor: int, path: Path) -> bool:
    """Whether a path names the file of a descriptor."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(descriptor)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


class DescriptorOwner(Protocol):
    """Whatever holds descriptors of this process alone."""

    def close_in_child(self) -> None:
        """Close this process's copies of the descriptors and nothing else."""
        ...


_OWNERS: weakref.WeakSet[DescriptorOwner] = weakref.WeakSet()


def close_at_fork(owner: DescriptorOwner) -> None:
    """Have an owner close its copies in every child that is forked from here on."""
    _OWNERS.add(owner)


def _close_copies() -> None:
    for owner in list(_OWNERS):
        owner.close_in_child()


os.register_at_fork(after_in_child=_close_copies)


class ClientLock:
    """A client's lock file, held from construction until :meth:`release` or death."""

    def __init__(self, directory: Path, client: int, mode: int) -> None:
        """Create and lock the file.

        Raises:
            CacheError: -3002, the directory does not let us.
        """
        self.path = directory / client_lock_name(client)
        try:
            descriptor = open_locked(self.path, os.O_RDWR | os.O_CREAT, mode, _CLIENT_PATIENCE_S)
        except OSError as reason:
            raise error_for(Code.CANNOT_CREATE, f"lock file {self.path}: {explained(reason)}") from None
        if descriptor is None:
            raise error_for(Code.CANNOT_CREATE, f"lock file {self.path} is held by another process")
        os.fchmod(descriptor, mode)  # whatever the umask is: ranks of other users must open it
        self._descriptor = descriptor
        close_at_fork(self)

    def release(self) -> None:
        """Remove the file and let go of the lock."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self.close_in_child()

    def close_in_child(self) -> None:
        """Close this process's copy of the descriptor and nothing else."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class HolderWatch:
    """A rank's view of the clients that said hello to it: alive until their lock can be taken."""

    def __init__(self, directory: Path) -> None:
        """Watches lock files in the directory of the rank's own segment."""
        self._directory = directory
        self._descriptors: dict[int, int] = {}
        self._unseen: set[int] = set()
        close_at_fork(self)

    def adopt(self, client: int) -> bool:
        """Begin to watch a client; False when it holds no lock, or one that this process may not see."""
        if client in self._descriptors:
            return not self.is_dead(client)
        self._unseen.discard(client)
        try:
            descriptor = os.open(self._directory / client_lock_name(client), os.O_RDONLY | AMONG_OTHERS)
        except OSError as reason:
            if reason.errno not in _NOT_THERE:
                self._unseen.add(client)
            return reason.errno in _NONE_LEFT
        if try_lock(descriptor):
            os.close(descriptor)
            return False
        self._descriptors[client] = descriptor
        return True

    def is_dead(self, client: int) -> bool:
        """Whether the client is known dead; its lock is then ours, and stays so until forgotten."""
        if client in self._unseen:
            self.adopt(client)
            if client in self._unseen:
                return False
        descriptor = self._descriptors.get(client)
        return descriptor is None or try_lock(descriptor)

    def forget(self, client: int) -> None:
        """Stop watching; the file of a client that is dead goes, while its lock is held here."""
        self._unseen.discard(client)
        descriptor = self._descriptors.pop(client, None)
        if descriptor is None:
            return
        path = self._directory / client_lock_name(client)
        if try_lock(descriptor) and is_at(descriptor, path):
            with contextlib.suppress(FileNotFoundError, PermissionError):
                path.unlink()
        os.close(descriptor)

    def close(self) -> None:
        """Stop watching all."""
        for client in list(self._descriptors):
            self.forget(client)

    def close_in_child(self) -> None:
        """A forked child watches nobody."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)
        self._descriptors.clear()
