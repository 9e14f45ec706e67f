"""Files of segments: made whole or not at all, held by one, and cleared away when dead."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from mmc.errors import CacheError, CannotCreate, Code, NoSystemMemory
from mmc.segments.directory import OwnedSegment, SegmentDirectory, boot_id, open_shared
from mmc.segments.layout import (
    AT_BOOT,
    AT_DEAD,
    AT_FORMAT,
    AT_SERVE_UNTIL,
    AT_TERM,
    Layout,
    Segment,
    plan_layout,
)
from mmc.segments.lockfile import ClientLock
from tests.unit.segments.conftest import Holder
from tests.unit.segments.holder import CLIENT, IDENTITY, SEGMENT

LAYOUT = plan_layout(65536, 4, 2, 2)

Hold = Callable[[str], Holder]


@pytest.fixture
def directory(shm: Path) -> SegmentDirectory:
    """An empty directory of segments."""
    return SegmentDirectory(str(shm), 0o600)


def create(
    directory: SegmentDirectory, name: str = SEGMENT, *, keep: bool = True, identity: int = IDENTITY
) -> OwnedSegment:
    """A small new segment."""
    return directory.create(name, LAYOUT, identity, keep=keep)


def names(directory: SegmentDirectory) -> list[str]:
    """What lies in the directory."""
    return sorted(path.name for path in directory.path.iterdir())


def shared(directory: SegmentDirectory, name: str = SEGMENT) -> Segment:
    """A segment as a client maps it."""
    segment = open_shared(str(directory.path / name), IDENTITY)
    assert segment is not None
    return segment


def test_a_segment_is_made_with_all_its_space(directory: SegmentDirectory) -> None:
    """A new file has its name, its permissions and every byte of its space from the start."""
    owned = create(directory)
    assert names(directory) == [SEGMENT]
    state = owned.path.stat()
    assert stat.S_IMODE(state.st_mode) == 0o600
    assert state.st_size == LAYOUT.total
    assert state.st_blocks * 512 >= LAYOUT.total
    assert (owned.segment.layout, owned.segment.id) == (LAYOUT, IDENTITY)
    assert owned.segment.words[AT_BOOT] == boot_id()
    owned.release(keep=False)


def test_the_permissions_are_those_that_were_asked_for(shm: Path) -> None:
    """A segment that a group shares is made so."""
    directory = SegmentDirectory(str(shm), 0o640)
    mask = os.umask(0)
    try:
        owned = create(directory)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(owned.path.stat().st_mode) == 0o640
    owned.release(keep=False)


def test_a_living_service_s_segment_is_its_own(directory: SegmentDirectory) -> None:
    """While a service holds a segment, nobody makes or takes another of its name: -3006."""
    owned = create(directory)
    owned.segment.words[AT_TERM] = 77
    rival = SegmentDirectory(str(directory.path), 0o600)
    with pytest.raises(CacheError, match="held by a living service") as caught:
        create(rival, identity=1)
    assert caught.value.code is Code.EXISTS
    with pytest.raises(CacheError, match="held by a living service") as caught:
        rival.reattach(SEGMENT)
    assert caught.value.code is Code.EXISTS
    assert names(directory) == [SEGMENT]
    assert (shared(directory).term, owned.segment.words[AT_DEAD]) == (77, 0)
    owned.release(keep=False)


def test_a_segment_being_made_is_its_maker_s(directory: SegmentDirectory) -> None:
    """While a service makes a segment, nobody else makes one of its name: -3006."""
    unfinished = directory.path / f"{SEGMENT}.new"
    lock = ClientLock(directory.path, CLIENT, 0o600)
    os.link(lock.path, unfinished)
    with pytest.raises(CacheError, match="being made by another service") as caught:
        create(directory)
    assert caught.value.code is Code.EXISTS
    lock.release()


class Overtaken(SegmentDirectory):
    """A directory in which a rival makes the same segment, as late as it can be noticed."""

    rival: SegmentDirectory
    won: OwnedSegment | None = None

    def _remove_old(self, path: Path) -> None:
        super()._remove_old(path)
        if self.won is None:
            self.won = create(self.rival, path.name, identity=1)


def test_of_two_that_make_one_segment_only_one_has_it(shm: Path) -> None:
    """However the steps of two services interleave, the second is refused with -3006."""
    directory = Overtaken(str(shm), 0o600)
    directory.rival = SegmentDirectory(str(shm), 0o600)
    with pytest.raises(CacheError) as caught:
        create(directory)
    assert caught.value.code is Code.EXISTS


def test_a_kept_segment_is_taken_over_with_everything(directory: SegmentDirectory) -> None:
    """After its service has gone, a kept segment comes back as it was, lock and all."""
    owned = create(directory)
    owned.segment.words[AT_TERM] = 77
    owned.segment.memory.copy_in(LAYOUT.payload_at, memoryview(b"payload"))
    owned.release(keep=True)
    owned.release(keep=False)
    again = directory.reattach(SEGMENT)
    assert isinstance(again, OwnedSegment)
    assert (again.segment.id, again.segment.term, again.segment.layout) == (IDENTITY, 77, LAYOUT)
    assert again.memory.read(LAYOUT.payload_at, 7) == b"payload"
    with pytest.raises(CacheError):
        directory.reattach(SEGMENT)
    again.release(keep=False)
    assert names(directory) == []


def test_a_killed_service_s_segment_can_be_taken_over(directory: SegmentDirectory, hold: Hold) -> None:
    """A segment is an orphan as soon as its service is dead, though a child that it forked lives."""
    holder = hold("segment-and-fork")
    assert holder.hear() == "held"
    holder.hear_child()
    with pytest.raises(CacheError, match="living service"):
        directory.reattach(SEGMENT)
    assert shared(directory).words[AT_DEAD] == 0, "the child buried its parent's segment"
    holder.kill()
    owned = directory.reattach(SEGMENT)
    assert isinstance(owned, OwnedSegment)
    owned.release(keep=False)


def test_a_released_segment_is_dead_before_it_is_gone(directory: SegmentDirectory) -> None:
    """Readers that still map a segment that was not kept stop believing it."""
    owned = create(directory)
    reader = shared(directory)
    owned.release(keep=False)
    assert names(directory) == []
    assert reader.words[AT_DEAD] == 1


def test_an_orphan_is_replaced_by_a_cold_start(directory: SegmentDirectory) -> None:
    """Whoever starts cold marks the old segment dead, and its file is another."""
    create(directory).release(keep=True)
    reader = shared(directory)
    owned = create(directory, identity=1)
    assert reader.words[AT_DEAD] == 1
    assert owned.segment.words[AT_DEAD] == 0
    assert open_shared(str(owned.path), IDENTITY) is None
    assert open_shared(str(owned.path), 1) is not None
    owned.release(keep=False)


def test_what_a_killed_service_left_unfinished_is_finished_anew(directory: SegmentDirectory) -> None:
    """A file that its maker never finished is no hindrance, and nothing of it remains."""
    (directory.path / f"{SEGMENT}.new").write_bytes(b"\xff" * (LAYOUT.total + 4096))
    owned = create(directory)
    assert names(directory) == [SEGMENT]
    assert owned.path.stat().st_size == LAYOUT.total
    assert owned.segment.words[AT_DEAD] == owned.segment.term == 0
    assert set(owned.memory.read(LAYOUT.payload_at, LAYOUT.capacity)) == {0}
    owned.release(keep=False)


def damage_format(path: Path) -> None:
    """Make it a segment of another format."""
    with path.open("r+b") as file:
        file.seek(8 * AT_FORMAT)
        file.write(b"\0" * 8)


def damage_boot(path: Path) -> None:
    """Make it a segment of another boot of the host."""
    with path.open("r+b") as file:
        file.seek(8 * AT_BOOT)
        file.write(b"\1" * 8)


def damage_life(path: Path) -> None:
    """Make it a segment that was marked dead."""
    with path.open("r+b") as file:
        file.seek(8 * AT_DEAD)
        file.write(b"\1")


def cut(path: Path) -> None:
    """Cut it in the middle of a word."""
    os.truncate(path, LAYOUT.total - 3)


def empty(path: Path) -> None:
    """Leave nothing in it."""
    os.truncate(path, 0)


def cut_pages(path: Path) -> None:
    """Cut some pages off."""
    os.truncate(path, LAYOUT.total - 8192)


def change_version(path: Path) -> None:
    """Make it a segment that another version has laid out."""
    with path.open("r+b") as file:
        file.seek(8 * AT_FORMAT)
        file.write(b"\7")


DAMAGES: dict[Callable[[Path], None], str] = {
    damage_format: "no segment",
    damage_boot: "host was started again",
    damage_life: "given up",
    cut: f"{LAYOUT.total - 3} bytes",
    empty: "0 bytes",
    cut_pages: "truncated",
    change_version: "layout is version 7",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_cannot_be_used_is_not_taken_over(
    directory: SegmentDirectory, damage: Callable[[Path], None]
) -> None:
    """A segment that is damaged, dead or of another boot is not taken over, with a reason, but replaced."""
    owned = create(directory)
    owned.release(keep=True)
    damage(owned.path)
    assert DAMAGES[damage] in str(directory.reattach(SEGMENT))
    if damage is not damage_life:
        assert open_shared(str(owned.path), IDENTITY) is None
    replaced = create(directory, identity=1)
    assert replaced.segment.id == 1
    replaced.release(keep=False)


def test_what_is_not_there_is_not_taken_over(directory: SegmentDirectory) -> None:
    """A service that was never here before has nothing to come back to."""
    assert directory.reattach(SEGMENT) == ""


def test_a_client_opens_a_segment_by_its_id(directory: SegmentDirectory) -> None:
    """A segment is local when its file opens and holds the id that the membership names."""
    owned = create(directory)
    path = str(owned.path)
    segment = open_shared(path, IDENTITY)
    assert segment is not None
    assert segment.memory.writable
    read_only = open_shared(path, IDENTITY, writable=False)
    assert read_only is not None
    assert not read_only.memory.writable
    assert open_shared(path, IDENTITY + 1) is None
    owned.release(keep=False)


@pytest.mark.parametrize("writable", [False, True])
@pytest.mark.parametrize("name", ["missing", "", "a\0b", "file", "odd", "/dev/zero", "x" * 5000, "\ud800"])
def test_a_path_that_leads_to_no_segment_is_not_local(
    directory: SegmentDirectory, name: str, *, writable: bool
) -> None:
    """Whatever path a peer names, it opens a segment or nothing."""
    (directory.path / "file").write_bytes(bytes(8192))
    (directory.path / "odd").write_bytes(bytes(8191))
    assert open_shared(f"{directory.path}/{name}", IDENTITY, writable=writable) is None
    assert open_shared(name, IDENTITY, writable=writable) is None


def test_who_may_only_read_maps_read_only(directory: SegmentDirectory, hold: Hold) -> None:
    """A client without permission to write maps the segment read-only, one without any not at all."""
    if os.getuid():
        pytest.skip("only root can become somebody else")
    directory.path.chmod(0o755)
    for mode in (0o600, 0o644, 0o666):
        owned = create(directory, f"{mode:o}.dram")
        owned.path.chmod(mode)
        owned.release(keep=True)
    holder = hold("open-as-nobody")
    assert [holder.hear() for _ in range(3)] == ["none", "writable False", "writable True"]


def test_too_little_room_is_told_with_both_sizes(directory: SegmentDirectory) -> None:
    """A pool that cannot fit is refused with -3001, what is free, what is needed, and what to do."""
    directory.require(0)
    directory.require(LAYOUT.total)
    state = os.statvfs(directory.path)
    free_mb = state.f_bavail * state.f_frsize // 1_000_000
    with pytest.raises(NoSystemMemory) as caught:
        directory.require(10**18)
    sentence = caught.value.sentence
    assert f"{directory.path} has " in sentence
    free_said = int(sentence.split(" has ")[1].split(" MB free")[0])
    assert abs(free_said - free_mb) < 0.2 * free_mb + 100
    assert "1000000000000 MB are needed" in sentence
    assert "--shm-size" in sentence


def test_no_segment_is_made_where_it_does_not_fit(directory: SegmentDirectory) -> None:
    """A segment larger than the file system is refused with -3001, and leaves no file behind."""
    state = os.statvfs(directory.path)
    if not state.f_blocks:
        pytest.skip("this tmpfs has no limit")
    too_large = plan_layout(2 * state.f_blocks * state.f_frsize, 1, 1, 1)
    files = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(NoSystemMemory, match=f"{too_large.total / 1e6:.0f} MB are needed"):
        directory.create(SEGMENT, too_large, IDENTITY, keep=True)
    assert names(directory) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == files


def test_an_impossible_segment_is_refused(directory: SegmentDirectory) -> None:
    """A size that no file can have is refused with -3002, and leaves no file behind."""
    impossible = Layout(*(*LAYOUT[:-1], -1))
    with pytest.raises(CannotCreate, match="Invalid argument"):
        directory.create(SEGMENT, impossible, IDENTITY, keep=True)
    assert names(directory) == []


def test_a_name_that_cannot_be_a_file_is_refused(directory: SegmentDirectory) -> None:
    """A segment in a directory that is not there is refused with -3002 and the reason."""
    with pytest.raises(CannotCreate, match="No such file or directory"):
        create(directory, "missing/segment.dram")
    (directory.path / SEGMENT).mkdir()
    with pytest.raises(CannotCreate, match="Is a directory"):
        create(directory)


@pytest.mark.parametrize("path", ["/proc", "/sys", "/nowhere", "/dev/null"])
def test_segments_lie_on_good_file_systems_only(path: str) -> None:
    """A directory on a file system that cannot hold segments is refused with -3002 and its name."""
    with pytest.raises(CannotCreate, match=f"segment_dir {path} is "):
        SegmentDirectory(path, 0o600)


def test_sweeping_removes_what_the_dead_left_and_nothing_else(directory: SegmentDirectory) -> None:
    """Only unlocked lock files, unfinished segments and segments nobody comes back to are removed."""
    client = ClientLock(directory.path, 1, 0o600)
    living = create(directory, "mmc-1.dram", keep=False)
    create(directory, "mmc-2.dram").release(keep=True)
    create(directory, "mmc-3.dram", keep=False).release(keep=True)
    reader = shared(directory, "mmc-3.dram")
    for number, damage in enumerate(DAMAGES, 4):
        orphan = create(directory, f"mmc-{number}.dram")
        orphan.release(keep=True)
        damage(orphan.path)
    litter = ["mmc-3.dram", "mmc-5.dram", "mmc-6.dram", "mmc-9.client", "mmc-9.dram.new"]
    strangers = ["mmc-notes.txt", "notes.client", "other.dram"]
    for name in (*litter[3:], *strangers):
        (directory.path / name).touch()
    before = names(directory)
    assert [path.name for path in directory.sweep()] == litter
    assert names(directory) == [name for name in before if name not in litter]
    assert {client.path.name, living.path.name, "mmc-2.dram", *strangers} < set(names(directory))
    assert reader.words[AT_DEAD] == 1
    assert living.segment.words[AT_DEAD] == 0
    assert directory.sweep() == []
    living.release(keep=False)
    client.release()


def test_sweeping_spares_what_it_is_told_to(directory: SegmentDirectory) -> None:
    """Segments of services that are about to come back are left to them."""
    for name in ("mmc-pool-1.dram", "mmc-pool-2.dram", "mmc-other-1.dram"):
        create(directory, name, keep=False).release(keep=True)
    assert [path.name for path in directory.sweep(spare="mmc-pool-")] == ["mmc-other-1.dram"]
    assert names(directory) == ["mmc-pool-1.dram", "mmc-pool-2.dram"]


def test_sweeping_leaves_what_served_a_moment_ago(directory: SegmentDirectory) -> None:
    """A segment not to be kept is its service's to come back to, until a minute after it last served."""
    crashed = create(directory, "mmc-crashed-1.dram", keep=False)
    crashed.segment.words[AT_SERVE_UNTIL] = 5_000
    crashed.release(keep=True)
    assert directory.sweep(now_ms=64_000) == []
    assert [path.name for path in directory.sweep(now_ms=66_000)] == ["mmc-crashed-1.dram"]


def test_sweeping_may_be_limited_to_some_names(directory: SegmentDirectory) -> None:
    """Whoever ends clears away its own, and at once."""
    for name in ("mmc-pool-1.dram", "mmc-other-1.dram"):
        create(directory, name, keep=False).release(keep=True)
    assert [path.name for path in directory.sweep(only="mmc-pool-*")] == ["mmc-pool-1.dram"]


def test_sweeping_leaves_no_descriptor_open(directory: SegmentDirectory) -> None:
    """Whatever was looked at is closed again."""
    (directory.path / "mmc-1.client").touch()
    create(directory, "mmc-2.dram").release(keep=True)
    files = len(list(Path("/proc/self/fd").iterdir()))
    directory.sweep()
    assert len(list(Path("/proc/self/fd").iterdir())) == files


def test_orphans_are_named_and_left_alone(directory: SegmentDirectory) -> None:
    """A segment whose service is gone is an orphan, kept or not; a held one is none, and nothing changes."""
    create(directory, "mmc-kept.dram").release(keep=True)
    damaged = directory.path / "mmc-broken.dram"
    damaged.write_bytes(b"no segment")
    (directory.path / "mmc-1.client").touch()
    held = create(directory, "mmc-held.dram")
    before = names(directory)
    found = {orphan.path.name: orphan for orphan in directory.orphans()}
    assert names(directory) == before
    assert set(found) == {"mmc-kept.dram", "mmc-broken.dram"}
    assert found["mmc-kept.dram"].waits
    assert found["mmc-kept.dram"].size == LAYOUT.total
    assert not found["mmc-broken.dram"].waits
    held.release(keep=False)
    again = directory.reattach("mmc-kept.dram")
    assert isinstance(again, OwnedSegment)
    again.release(keep=False)
