"""What an object holds: a function of its key, so that any process can check it, and its size beside it."""

from __future__ import annotations

import random
import zlib
from functools import cache

SPREAD_BYTES = 4 << 20
LARGEST_BYTES = 4 << 20


@cache
def _noise() -> memoryview:
    """Bytes that do not repeat; the same in every process."""
    return memoryview(random.Random(0).randbytes(SPREAD_BYTES + LARGEST_BYTES))


def key_of(hand: int, life: int, number: int, size: int) -> str:
    """The key of an object of a client's; it names the object's size in bytes."""
    return f"{hand}/{life}/{number}/{size}"


def hand_of(key: str) -> int:
    """Whose object it is."""
    return int(key.partition("/")[0])


def size_of(key: str) -> int:
    """The bytes of an object."""
    return int(key.rpartition("/")[2])


def pieces_of(key: str) -> list[memoryview]:
    """The content, in pieces: the key, and noise from a place that the key decides."""
    size = size_of(key)
    head = key.encode()[:size]
    at = zlib.crc32(head) % SPREAD_BYTES
    return [memoryview(head), _noise()[at : at + size - len(head)]]


def is_content(key: str, found: bytes | memoryview) -> bool:
    """Whether these are the bytes of the object, all of them."""
    head, rest = pieces_of(key)
    whole = memoryview(found)
    return len(whole) == size_of(key) and whole[: len(head)] == head and whole[len(head) :] == rest
