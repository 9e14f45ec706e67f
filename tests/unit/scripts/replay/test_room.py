"""How large pools are made."""

from pathlib import Path

import pytest

from scripts.replay.room import allowed_bytes, needed_bytes, size_text

KIB = 1024


@pytest.mark.parametrize("blocks", [1, 1000, 182790])
@pytest.mark.parametrize("block_bytes", [64 * KIB, 1 << 20])
def test_all_blocks_fit_below_the_watermark(blocks: int, block_bytes: int) -> None:
    """Two pools hold all blocks while less than nine tenths full, with room to spare."""
    needed = needed_bytes(blocks, block_bytes, 2)
    assert 2 * needed * 0.9 > blocks * block_bytes
    assert 2 * needed < 1.25 * blocks * block_bytes + 12 * blocks**0.5 * block_bytes + (64 << 20)


def test_small_blocks_need_records() -> None:
    """Blocks smaller than what one record stands for take as much of a pool as that."""
    assert needed_bytes(1000, 4 * KIB, 2) == needed_bytes(1000, 32 * KIB, 2)


def test_a_host_is_never_filled(tmp_path: Path) -> None:
    """Pools take a part of what is free, and are never empty."""
    alone, two = allowed_bytes(str(tmp_path), 1), allowed_bytes(str(tmp_path), 2)
    assert 0 < two <= alone


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (64 * KIB, "64 KiB"), (3 << 29, "1.5 GiB")],
)
def test_sizes_read_well(size: int, text: str) -> None:
    """Sizes are shown in the largest unit that fits, without needless zeros."""
    assert size_text(size) == text
