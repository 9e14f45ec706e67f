"""What the doctor makes of made-up hosts."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

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
    numbers_of,
)
from mmc.segments.directory import Orphan

_directory = partial(
    judge_directory, "/dev/shm", exists=True, writable=True, filesystem="tmpfs", user="uid 7"
)
_GB = 1 << 30
_KEPT = Orphan(Path("/dev/shm/mmc-kept.dram"), _GB, waits=True)
_LITTER = Orphan(Path("/dev/shm/mmc-left.dram"), _GB, waits=False)
_MINE = FileFacts("mmc-a.dram", 7, "ann", 0o100600, usable=True)
_THEIRS = FileFacts("mmc-b.dram", 8, "bob", 0o100600, usable=False)

WELL: list[tuple[Finding, str]] = [
    (_directory(), "tmpfs"),
    (judge_room("/dev/shm", 2 * _GB, _GB, "1GB"), "2147 MB free"),
    (judge_descriptors(1024, 128), "1024"),
    (judge_descriptors(-1, 100_000), "no limit"),
    (judge_locked_memory(-1, _GB), "no limit"),
    (judge_locked_memory(2 * _GB, _GB), "enough to register"),
    (judge_locked_memory(8 << 20, _GB), "8.4 MB"),
    (judge_port(5000, "--meta-url", PortState.FREE), "free"),
    (judge_port(5000, "--meta-url", PortState.CLUSTER), "a cluster answers"),
    (judge_port(8000, "", PortState.TAKEN), "nothing of this version"),
    (judge_files([], "uid 7"), "0 files"),
    (judge_files([_MINE], "uid 7"), "1 files"),
    (judge_huge_pages("always within_size [advise] never deny force\n"), "advise"),
    (judge_huge_pages("always within_size advise [never] deny force\n"), "never"),
    (judge_huge_pages(""), "no huge pages"),
    (judge_kernel("5.14.0-70.el9.x86_64"), "can populate"),
    (judge_kernel("6.1-custom"), "can populate"),
    (judge_processor("x86_64"), "x86_64"),
    (judge_python((3, 13, 1)), "3.13.1"),
    (judge_package("pyzmq", "26.2.1", "26.0"), "at least 26.0"),
    (judge_package("rich", None, "13.7", "cli"), "mmc[cli]"),
    (judge_package("mmc", "0.1.0", ""), "0.1.0"),
    (judge_orphans([]), "none"),
    (judge_orphans([_KEPT]), "1 wait"),
]
ILL: list[tuple[Finding, str, str]] = [
    (_directory(exists=False), "is no directory", "local.segment_dir"),
    (_directory(writable=False), "may not be written by uid 7", "uid 7"),
    (_directory(filesystem="overlay"), "overlay", "tmpfs"),
    (judge_room("/dev/shm", 64 << 20, _GB, "1GB"), "67 MB free", "--shm-size"),
    (judge_descriptors(256, 128), "256", "ulimit -n 768"),
    (judge_port(6000, "--events-url", PortState.TAKEN), "no cluster", "--events-url"),
    (judge_files([_MINE, _THEIRS], "uid 7"), "mmc-b.dram (uid 8 bob, mode 0600)", "segment_mode"),
    (judge_files([_THEIRS] * 5, "uid 7"), "and 2 more", "segment_mode"),
    (judge_kernel("5.4.0-190-generic"), "5.4.0", "5.14"),
    (judge_processor("aarch64"), "order of memory accesses", "x86-64"),
    (judge_python((3, 10, 9)), "3.10.9", "3.11"),
    (judge_package("pyzmq", "25.1.2", "26.0"), "25.1.2", "pip install 'pyzmq>=26.0'"),
    (judge_package("pyzmq", None, "26.0"), "not installed", "pip install"),
    (judge_orphans([_LITTER, _KEPT]), "mmc-left.dram (1074 MB); 1 wait", "mmc local"),
    (judge_orphans([_LITTER] * 5), "and 2 more", "mmc up"),
]


@pytest.mark.parametrize(("finding", "words"), WELL, ids=lambda value: getattr(value, "name", None))
def test_what_is_well_needs_nothing(finding: Finding, words: str) -> None:
    """A finding on a good host is ok and says what was found."""
    assert finding.ok
    assert words in finding.sentence
    assert finding.line().startswith(f"ok  {finding.name}: ")


@pytest.mark.parametrize(("finding", "words", "remedy"), ILL, ids=lambda value: getattr(value, "name", None))
def test_what_is_ill_has_a_remedy(finding: Finding, words: str, remedy: str) -> None:
    """A finding on a bad host says what is wrong and what to do, on one line."""
    assert not finding.ok
    assert words in finding.sentence
    assert remedy in finding.remedy
    assert finding.line().startswith(f"DO  {finding.name}: ")
    assert "\n" not in finding.line()


def test_names_are_stable_words() -> None:
    """Every finding's name is in snake case, for those who read the JSON."""
    findings = [finding for finding, _ in WELL] + [finding for finding, _, _ in ILL]
    assert all(finding.name.replace("_", "").isalnum() and finding.name.islower() for finding in findings)


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("1.0.8", (1, 0, 8)), ("26.2.1rc1", (26, 2, 1)), ("5.14.0-70.el9", (5, 14, 0)), ("odd", ())],
)
def test_versions_are_compared_by_their_numbers(version: str, numbers: tuple[int, ...]) -> None:
    """Only the leading numbers of a version count."""
    assert numbers_of(version) == numbers
