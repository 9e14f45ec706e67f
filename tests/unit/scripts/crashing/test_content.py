"""What an object holds: known from its key, and unlike any other's."""

from __future__ import annotations

import pytest

from scripts.crashing.content import hand_of, is_content, key_of, pieces_of, size_of


@pytest.mark.parametrize("size", [1, 5, 4096, 4033, 3 << 20])
def test_content_is_told_from_any_other(size: int) -> None:
    """A flipped byte, a part of another object, a byte too many or too few: all are seen."""
    key, other = key_of(2, 3, 4, size), key_of(2, 3, 5, size)
    assert (hand_of(key), size_of(key)) == (2, size)
    whole = b"".join(pieces_of(key))
    assert len(whole) == size
    assert is_content(key, whole)
    assert not is_content(key, whole + b"x")
    assert not is_content(key, whole[:-1])
    for at in {0, size // 2, size - 1}:
        assert not is_content(key, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
    if size > len(key):
        torn = b"".join(pieces_of(other))
        assert not is_content(key, whole[: size // 2] + torn[size // 2 :])
        assert not is_content(key, torn[: size // 2] + whole[size // 2 :])
