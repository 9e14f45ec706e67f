"""Blocks' bytes: the same everywhere, and nothing else passes for them."""

import numpy as np
import pytest

from scripts.replay.content import Content, Words, mix

BYTES = 512


def block(content: Content, number: int, size: int = BYTES) -> Words:
    """A block's words."""
    words = np.empty(size // 8, dtype=np.uint64)
    content.write(number, words)
    return words


def test_a_true_copy_passes_in_another_process() -> None:
    """What one instance wrote, another of the same seed finds right."""
    written = block(Content(BYTES, 1), 2**64 - 1)
    assert Content(BYTES, 1).wrong_bytes(2**64 - 1, written) == 0


def test_every_flipped_byte_is_caught() -> None:
    """A single changed byte is counted as one wrong byte, wherever it stands."""
    content = Content(BYTES, 0)
    words = block(content, 5)
    octets = words.view(np.uint8)
    for place in range(BYTES):
        octets[place] ^= 1 << place % 8
        assert content.wrong_bytes(5, words) == 1
        octets[place] ^= 1 << place % 8
    assert content.wrong_bytes(5, words) == 0


def test_swapped_blocks_are_caught() -> None:
    """Where one block's bytes stand in place of another's, every word is wrong."""
    content = Content(BYTES, 0)
    first, second = block(content, 1), block(content, 2)
    assert content.wrong_bytes(1, second) > BYTES // 2
    assert content.wrong_bytes(2, first) > BYTES // 2
    assert not np.any(first == second)


def test_a_torn_block_is_caught_at_every_word() -> None:
    """One word of another block in place of the block's own is caught, wherever it stands."""
    content = Content(BYTES, 0)
    mine, foreign = block(content, 1), block(content, 2)
    for place in range(BYTES // 8):
        torn = mine.copy()
        torn[place] = foreign[place]
        assert 1 <= content.wrong_bytes(1, torn) <= 8


def test_displaced_words_are_caught() -> None:
    """A block's own words in another order are wrong, all of them."""
    content = Content(BYTES, 0)
    words = block(content, 1)
    assert len(set(words.tolist())) == BYTES // 8
    assert content.wrong_bytes(1, np.roll(words, 1)) > BYTES // 2


@pytest.mark.parametrize("stale", [0, 0xFF])
def test_a_buffer_that_nobody_filled_is_caught(stale: int) -> None:
    """Zeros and ones are not the bytes of a block."""
    buffer = np.full(BYTES, stale, dtype=np.uint8).view(np.uint64)
    assert Content(BYTES, 0).wrong_bytes(0, buffer) > BYTES // 2


def test_another_seed_has_other_bytes() -> None:
    """Bytes that an earlier run of another seed left are wrong."""
    assert Content(BYTES, 1).wrong_bytes(3, block(Content(BYTES, 2), 3)) > BYTES // 2


def test_checking_changes_nothing() -> None:
    """A buffer that was checked holds what it held."""
    content = Content(BYTES, 0)
    words = block(content, 9)
    before = words.tobytes()
    content.wrong_bytes(9, words)
    content.wrong_bytes(8, words)
    assert words.tobytes() == before


def test_the_mix_is_one_to_one() -> None:
    """Neighbouring numbers have different mixes, below 2**64."""
    mixed = {mix(number) for number in range(5000)}
    assert len(mixed) == 5000
    assert max(mixed) < 2**64
