"""Lock files: who lives holds one, and nobody else."""

import os
import resource
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mmc.errors import CacheError, Code
from mmc.segments.lockfile import (
    ClientLock,
    HolderWatch,
    client_lock_name,
    is_at,
    open_locked,
    try_lock,
)
from tests.unit.segments.conftest import Holder
from tests.unit.segments.holder import CLIENT

Hold = Callable[[str], Holder]


def can_lock(path: Path) -> bool:
    """Whether nobody holds the lock of a file."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        return try_lock(descriptor)
    finally:
        os.close(descriptor)


def open_files() -> int:
    """How many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_names_are_part_of_the_contract() -> None:
    """A rank finds a client's lock file by its id alone."""
    assert client_lock_name(0xAB) == "mmc-00000000000000ab.client"


def test_a_lock_is_held_from_its_making_to_its_release(shm: Path) -> None:
    """While the client lives its file is locked; released, the file is gone."""
    lock = ClientLock(shm, CLIENT, 0o640)
    assert lock.path == shm / client_lock_name(CLIENT)
    assert lock.path.stat().st_mode & 0o777 == 0o640 & ~current_umask()
    assert not can_lock(lock.path)
    before = open_files()
    lock.release()
    lock.release()
    assert not lock.path.exists()
    assert open_files() == before - 1


def current_umask() -> int:
    """The permissions that no new file has."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_lock_is_held_by_one(shm: Path) -> None:
    """A second client of one id is refused with -3002, and leaves no descriptor behind."""
    lock = ClientLock(shm, CLIENT, 0o600)
    before = open_files()
    with pytest.raises(CacheError, match="held by another process") as caught:
        ClientLock(shm, CLIENT, 0o600)
    assert caught.value.code is Code.CANNOT_CREATE
    assert open_files() == before
    lock.release()


def test_where_no_file_can_be_made_the_sentence_names_it(shm: Path) -> None:
    """A client whose directory is missing is told which file could not be made, and why."""
    with pytest.raises(CacheError, match=r"missing/mmc-.*client: No such file") as caught:
        ClientLock(shm / "missing", CLIENT, 0o600)
    assert caught.value.code is Code.CANNOT_CREATE


def test_what_the_dead_left_is_taken_over(shm: Path) -> None:
    """A file that nobody locks is as good as none."""
    (shm / client_lock_name(CLIENT)).touch()
    lock = ClientLock(shm, CLIENT, 0o600)
    assert not can_lock(lock.path)
    lock.release()


def test_a_descriptor_knows_whether_its_path_is_still_its_own(shm: Path) -> None:
    """A file that was removed or replaced is not at its path any more."""
    path = shm / "file"
    descriptor = open_locked(path, os.O_RDWR | os.O_CREAT, 0o600)
    assert descriptor is not None
    assert is_at(descriptor, path)
    path.unlink()
    assert not is_at(descriptor, path)
    path.touch()
    assert not is_at(descriptor, path)
    os.close(descriptor)


def test_descriptors_are_closed_on_exec(shm: Path) -> None:
    """A program that is started by the client does not keep its lock."""
    descriptor = open_locked(shm / "file", os.O_RDWR | os.O_CREAT, 0o600)
    assert descriptor is not None
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)


def test_a_watch_refuses_who_holds_no_lock(shm: Path) -> None:
    """A hello that names a missing or an unlocked file is refused, and leaves nothing behind."""
    watch, before = HolderWatch(shm), open_files()
    assert not watch.adopt(CLIENT)
    path = shm / client_lock_name(CLIENT)
    path.touch()
    assert not watch.adopt(CLIENT)
    assert open_files() == before
    assert can_lock(path)


def test_a_client_lives_until_its_lock_can_be_taken(shm: Path) -> None:
    """A watched client is alive while it holds its lock, and dead afterwards, for good."""
    lock, watch = ClientLock(shm, CLIENT, 0o600), HolderWatch(shm)
    assert watch.adopt(CLIENT)
    assert not watch.is_dead(CLIENT)
    assert watch.adopt(CLIENT)
    lock.release()
    assert watch.is_dead(CLIENT)
    assert watch.is_dead(CLIENT)
    assert not watch.adopt(CLIENT)


def test_the_lock_of_the_dead_stays_taken_until_they_are_forgotten(shm: Path) -> None:
    """What a dead client held is looked at while nobody can come to life under its id; then its file goes."""
    path = shm / client_lock_name(CLIENT)
    first = open_locked(path, os.O_RDWR | os.O_CREAT, 0o600)
    assert first is not None
    watch = HolderWatch(shm)
    assert watch.adopt(CLIENT)
    os.close(first)
    assert can_lock(path)
    assert watch.is_dead(CLIENT)
    assert not can_lock(path)
    watch.forget(CLIENT)
    watch.forget(CLIENT)
    assert not path.exists()


def test_two_ranks_find_the_same_client_dead(shm: Path) -> None:
    """The second one does so though the first one has removed the file, or has it locked for a moment."""
    lock, first, second = ClientLock(shm, CLIENT, 0o600), HolderWatch(shm), HolderWatch(shm)
    assert first.adopt(CLIENT)
    assert second.adopt(CLIENT)
    lock.close_in_child()
    assert first.is_dead(CLIENT)
    assert not second.is_dead(CLIENT)
    first.forget(CLIENT)
    assert second.is_dead(CLIENT)
    successor = ClientLock(shm, CLIENT, 0o600)
    second.forget(CLIENT)
    assert successor.path.exists()
    successor.release()


def test_the_file_of_a_living_client_stays(shm: Path) -> None:
    """A rank that stops watching a client that lives takes nothing from it."""
    lock, watch = ClientLock(shm, CLIENT, 0o600), HolderWatch(shm)
    assert watch.adopt(CLIENT)
    watch.forget(CLIENT)
    assert lock.path.exists()
    assert not can_lock(lock.path)
    lock.release()


def test_whoever_was_never_watched_is_not_alive(shm: Path) -> None:
    """A client that a rank knows nothing of holds nothing there."""
    assert HolderWatch(shm).is_dead(CLIENT)


def test_a_closed_watch_keeps_nothing_open(shm: Path) -> None:
    """A rank that ends closes what it watched, and takes no living client's lock."""
    locks = [ClientLock(shm, client, 0o600) for client in (1, 2)]
    before, watch = open_files(), HolderWatch(shm)
    assert all(watch.adopt(client) for client in (1, 2))
    watch.close()
    assert open_files() == before
    assert not any(can_lock(lock.path) for lock in locks)
    for lock in locks:
        lock.release()


def test_a_watched_client_that_is_killed_is_dead(shm: Path, hold: Hold) -> None:
    """The kernel releases the lock of a client that is killed without a chance to do anything."""
    holder, watch = hold("lock"), HolderWatch(shm)
    assert holder.hear() == "held"
    assert watch.adopt(CLIENT)
    assert not watch.is_dead(CLIENT)
    holder.kill()
    assert watch.is_dead(CLIENT)
    watch.close()


def test_a_watched_client_that_leaves_is_dead(shm: Path, hold: Hold) -> None:
    """A client that released its lock is dead to the rank, though its process lives on."""
    holder, watch = hold("lock"), HolderWatch(shm)
    assert holder.hear() == "held"
    assert watch.adopt(CLIENT)
    holder.go_on()
    assert holder.hear() == "released"
    assert watch.is_dead(CLIENT)
    watch.close()


def test_a_forked_child_neither_releases_nor_keeps_its_parent_s_lock(shm: Path, hold: Hold) -> None:
    """A child that lets go of its copy takes nothing from its parent, and outlives it in vain."""
    holder, watch = hold("lock-and-fork"), HolderWatch(shm)
    assert holder.hear() == "held"
    holder.hear_child()
    assert watch.adopt(CLIENT)
    assert not watch.is_dead(CLIENT)
    assert (shm / client_lock_name(CLIENT)).exists()
    holder.kill()
    assert watch.is_dead(CLIENT)
    watch.close()


def test_a_forked_child_of_a_rank_keeps_no_dead_client_s_lock(shm: Path, hold: Hold) -> None:
    """What a rank watches is not held by a child that it forked, so that it can be cleared away."""
    path = shm / client_lock_name(CLIENT)
    lock = ClientLock(shm, CLIENT, 0o600)
    holder = hold("watch-and-fork")
    assert holder.hear() == "watching"
    holder.hear_child()
    lock.close_in_child()
    holder.go_on()
    assert holder.hear() == "forgotten"
    assert not path.exists()


def test_a_lock_held_for_a_moment_is_waited_for(tmp_path: Path) -> None:
    """Whoever sweeps holds the lock of a fresh file for an instant: its owner gets it all the same."""
    path = tmp_path / client_lock_name(7)
    path.touch()
    swept = os.open(path, os.O_RDONLY)
    assert try_lock(swept)
    letting_go = threading.Timer(0.1, os.close, (swept,))
    letting_go.start()
    ClientLock(tmp_path, 7, 0o600).release()
    letting_go.join()


def test_a_client_whose_file_cannot_be_opened_is_not_dead(shm: Path, hold: Hold) -> None:
    """A rank without a descriptor to spare gives back nothing that a living client may write."""
    holder, watch = hold("lock"), HolderWatch(shm)
    assert holder.hear() == "held"
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        adopted, was_dead = watch.adopt(CLIENT), watch.is_dead(CLIENT)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert adopted
    assert not was_dead
    assert not watch.is_dead(CLIENT)
    holder.kill()
    assert watch.is_dead(CLIENT)
    watch.close()
