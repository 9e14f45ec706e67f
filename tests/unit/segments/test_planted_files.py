"""Files that strangers plant under our names, in a directory that everybody may write."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mmc.errors import CannotCreate
from mmc.segments.directory import SegmentDirectory, obstacle_of, open_shared
from mmc.segments.layout import plan_layout
from mmc.segments.lockfile import ClientLock, HolderWatch, client_lock_name

_LAYOUT = plan_layout(4096, 2, 1, 1)
_CLIENT = 7


def planted(shm: Path, kind: str, name: str, victim: Path) -> Path:
    """A link to a file of ours, or a pipe that nobody ever writes to."""
    path = shm / name
    if kind == "link":
        path.symlink_to(victim)
    else:
        os.mkfifo(path)
    return path


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file that is none of anybody's business."""
    path = tmp_path / "victim"
    path.write_bytes(b"precious")
    path.chmod(0o640)
    return path


@pytest.mark.parametrize("name", ["mmc-x-0.dram", "mmc-x-0.dram.new"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_segment_is_not_made_in_somebody_else_s_file(shm: Path, victim: Path, kind: str, name: str) -> None:
    """What is planted under the name of a segment is refused or replaced, and what it leads to stays."""
    planted(shm, kind, name, victim)
    directory = SegmentDirectory(str(shm), 0o600)
    try:
        directory.create("mmc-x-0.dram", _LAYOUT, 1, keep=False).release(keep=False)
    except CannotCreate as error:
        assert "mmc-x-0.dram" in error.sentence  # noqa: PT017 - whether it is refused depends on what is planted
    assert victim.read_bytes() == b"precious"
    assert victim.stat().st_mode & 0o777 == 0o640
    assert isinstance(directory.reattach("mmc-x-0.dram"), str)


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_a_planted_lock_file_is_nobody_s_life(shm: Path, victim: Path, kind: str) -> None:
    """A rank neither waits for it nor believes it, and a client does not take it for its own."""
    planted(shm, kind, client_lock_name(_CLIENT), victim)
    watch = HolderWatch(shm)
    assert not watch.adopt(_CLIENT)
    watch.close()
    if kind == "link":
        with pytest.raises(CannotCreate):
            ClientLock(shm, _CLIENT, 0o666)
    assert victim.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_is_no_file_is_no_segment(shm: Path, victim: Path, kind: str) -> None:
    """A client that is told of such a path has no segment there, at once; sweeping removes it at most."""
    path = planted(shm, kind, "mmc-x-0.dram", victim)
    for writable in (True, False):
        assert open_shared(str(path), 1, writable=writable) is None
    SegmentDirectory(str(shm), 0o600).sweep()
    assert victim.read_bytes() == b"precious"


@pytest.mark.parametrize("path", ["a\0b", "/" + "x" * 5000, "/dev/null", "/"])
def test_a_path_that_cannot_be_is_no_segment_and_no_obstacle(path: str) -> None:
    """Whatever a peer tells as a path, the answer is that there is no segment."""
    assert open_shared(path, 1) is None
    assert obstacle_of(path, 0) == "" or path in ("/dev/null", "/")
