"""Keys, hashes, terms: what everybody must compute alike."""

import pytest

from mmc.errors import InvalidArgument
from mmc.identifiers import (
    MAX_KEY_BYTES,
    Term,
    are_keys,
    decode_key,
    encode_key,
    is_key,
    key_hash,
    rendezvous_weight,
)


@pytest.mark.parametrize(
    ("key", "encoded"),
    [
        ("k", b"k"),
        (b"k", b"k"),
        ("\N{SNOWMAN}", b"\xe2\x98\x83"),
        (b"\xff\xfe", b"\xff\xfe"),
        ("\udcff\udcfe", b"\xff\xfe"),
        ("k" * MAX_KEY_BYTES, b"k" * MAX_KEY_BYTES),
    ],
)
def test_text_and_bytes_are_keys(key: str | bytes, encoded: bytes) -> None:
    """A text key is its UTF-8, and bytes are themselves."""
    assert encode_key(key) == encoded


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("", "1 to 255 bytes, not 0"),
        (b"", "1 to 255 bytes, not 0"),
        (b"k" * 256, "1 to 255 bytes, not 256"),
        ("\N{SNOWMAN}" * 86, "1 to 255 bytes, not 258"),
        ("nul\0inside", "NUL"),
        (b"\0", "NUL"),
        ("\ud800", "UTF-8"),
        (17, "not int"),
        (None, "not NoneType"),
        (bytearray(b"k"), "not bytearray"),
    ],
)
def test_what_is_no_key_is_refused_with_the_reason(key: object, why: str) -> None:
    """A key that can never work is refused, and the sentence says why."""
    with pytest.raises(InvalidArgument, match=why):
        encode_key(key)  # type: ignore[arg-type] # users are not all type checked


def test_a_key_as_text_is_the_same_key() -> None:
    """Bytes that are no UTF-8 are text that gives the same bytes again."""
    for key in (b"k", "\N{SNOWMAN}".encode(), b"\xff\xfe", b"a\xe2\x98"):
        assert encode_key(decode_key(key)) == key


def test_hashes_and_weights_are_part_of_the_format() -> None:
    """Segments and other processes hold them: the functions never change."""
    assert key_hash(b"key") == 0xBBEA0D63A05165E3
    assert rendezvous_weight(key_hash(b"key"), 0) == 0xF46F424F1E1EFC6F
    assert rendezvous_weight(key_hash(b"key"), 1023) == 0x45159683D6B1A61C


def test_terms_are_ordered_as_their_words() -> None:
    """A later epoch is a higher term, whatever its admissions, and no term is 0."""
    terms = [Term(0, 1), Term(1, 0), Term(1, 1), Term(1, (1 << 32) - 1), Term(2, 0)]
    packed = [term.packed() for term in terms]
    assert packed == sorted(set(packed))
    assert packed[0] > 0
    assert Term(3, 4).packed() == 3 << 32 | 4


@pytest.mark.parametrize(
    "keys", [(), (b"a",), (b"a", b"b" * 255), (b"",), (b"a", b""), (b"a\0", b"b"), (b"b" * 256,)]
)
def test_keys_looked_at_together_are_what_each_is(keys: tuple[bytes, ...]) -> None:
    """Many byte strings can be keys exactly when each of them can."""
    assert are_keys(keys) == all(is_key(key) for key in keys)
