"""Batches in parts that fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")


def in_parts(sized: Iterable[tuple[T, int]], most: int, most_bytes: int) -> list[list[T]]:
    """Items, each with its bytes, in parts of at most so many, and so many bytes.

    What is larger by itself is a part of its own; what has no bytes begins none for their sake.
    """
    parts: list[list[T]] = []
    held = 0
    for item, size in sized:
        if not parts or len(parts[-1]) >= most or (held + size > most_bytes and size):
            parts.append([])
            held = 0
        parts[-1].append(item)
        held += size
    return parts
