"""Free space, by example; tests/stateful/test_space.py goes on."""

import pytest

from mmc.cache.space import LARGE_ALIGNMENT, SMALL_ALIGNMENT, Space, alignment_of, rounded


@pytest.mark.parametrize(
    ("size", "taken"),
    [
        (0, 64),
        (1, 64),
        (64, 64),
        (65, 128),
        (4032, 4032),
        (4033, 4096),
        (4095, 4096),
        (4096, 4096),
        (4097, 8192),
        (1 << 20, 1 << 20),
    ],
)
def test_sizes_are_rounded(size: int, taken: int) -> None:
    """Objects take whole 64 bytes, and whole 4 KiB from 4 KiB up; an empty one takes 64."""
    assert rounded(size) == taken


def test_large_objects_are_page_aligned() -> None:
    """Extents of 4 KiB and more begin at a page."""
    assert [alignment_of(size) for size in (0, 4095)] == [SMALL_ALIGNMENT] * 2
    assert [alignment_of(size) for size in (4096, 1 << 30)] == [LARGE_ALIGNMENT] * 2


def test_the_smallest_hole_that_holds_it_is_taken() -> None:
    """An allocation leaves larger holes whole for larger objects."""
    space = Space(4096, [(0, 64), (512, 64), (640, 64), (896, 64)])
    assert space.holes == 4
    assert space.allocate(128) == 704
    assert space.allocate(64) == 576
    assert space.allocate(64) == 832
    assert space.allocate(400) == 64


def test_a_hole_too_small_for_the_alignment_is_passed_over() -> None:
    """A page-aligned object takes a hole only where a page boundary leaves enough of it."""
    space = Space(5 * 4096, [(0, 64), (4160, 64), (8256, 64)])
    assert space.allocate(4096) == 3 * 4096
    assert space.allocate(4096) == 4 * 4096
    assert space.allocate(4096) is None


def test_released_extents_join_their_neighbours() -> None:
    """A hole between two holes makes one of the three."""
    space = Space(192, [(64, 64)])
    assert space.holes == 2
    space.release(64, 64)
    assert (space.holes, space.largest, space.free_bytes) == (1, 192, 192)


def test_nothing_is_no_extent() -> None:
    """Giving back an extent without bytes is a fault of the caller's."""
    space = Space(128, [(0, 128)])
    with pytest.raises(AssertionError):
        space.release(64, 0)
    space.release(64, 1)
    assert space.free_bytes == 1


def test_a_full_space_gives_nothing() -> None:
    """With nothing free there is no hole, and nothing to give."""
    space = Space(128)
    assert [space.allocate(64) for _ in range(3)] == [0, 64, None]
    assert (space.holes, space.largest, space.free_bytes) == (0, 0, 0)


@pytest.mark.parametrize(
    "used",
    [
        [(0, 128), (64, 64)],
        [(64, 64), (64, 64)],
        [(0, 64), (960, 128)],
        [(2048, 64)],
    ],
)
def test_extents_that_overlap_are_damage(used: list[tuple[int, int]]) -> None:
    """Extents that overlap or leave the capacity are refused, so that damage is not believed."""
    with pytest.raises(ValueError, match="extent"):
        Space(1024, used)


@pytest.mark.parametrize(
    "used",
    [
        [],
        [(0, 128), (192, 64)],
        [(0, 64), (128, 128)],
        [(0, 192), (192, 64), (256, 64)],
    ],
)
def test_the_check_finds_what_is_wrong(used: list[tuple[int, int]]) -> None:
    """S6: a used extent too few, too many, or misplaced is found."""
    space = Space(256, [(0, 64), (128, 64)])
    space.check([(0, 64), (128, 64)])
    with pytest.raises(AssertionError):
        space.check(used)


def test_what_fits_at_once_is_told_without_taking_it() -> None:
    """Sizes fit only together, each in an extent of its own, and asking changes nothing."""
    space = Space(5 * 4096, [(2 * 4096, 4096)])
    assert space.fits([8192, 8192])
    assert space.fits([4096, 8192, 4096])
    assert not space.fits([8192, 8192, 64])
    assert not space.fits([12288])
    assert space.fits([])
    assert (space.free_bytes, space.largest, space.holes) == (4 * 4096, 8192, 2)


def test_what_was_tried_is_free_again() -> None:
    """Extents taken for the sake of argument do not overlap, and all come back."""
    space = Space(8192)
    with space.tried() as attempt:
        assert attempt(4096) == (0, 4096)
        assert attempt(4096) == (4096, 4096)
        assert attempt(1) is None
    assert (space.free_bytes, space.largest) == (8192, 8192)
