"""A few short strings that together run almost all that many run: what is kept of a corpus."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType
    from typing import Any

Lines = frozenset[tuple[str, int]]


def lines_of(run: Callable[[bytes], None], data: bytes) -> Lines:
    """The lines of the product that a string runs."""
    seen: set[tuple[str, int]] = set()

    def note(frame: FrameType, event: str, _argument: Any) -> Any:  # noqa: ANN401 - as sys.settrace has it
        name = frame.f_code.co_filename
        if "/mmc/" not in name:
            return None
        if event == "line":
            seen.add((name, frame.f_lineno))
        return note

    sys.settrace(note)
    try:
        run(data)
    finally:
        sys.settrace(None)
    return frozenset(seen)


def choose(run: Callable[[bytes], None], strings: Iterable[bytes], most_bytes: int) -> list[bytes]:
    """The strings that add the most lines for their length, up to ``most_bytes`` in all."""
    left = {string: lines_of(run, string) for string in strings}
    chosen: list[bytes] = []
    covered: set[tuple[str, int]] = set()
    while left:
        worth = {string: len(lines - covered) / (8 + len(string)) for string, lines in left.items()}
        best = max(worth, key=worth.__getitem__)
        if not worth[best] or len(best) + sum(map(len, chosen)) > most_bytes:
            break
        chosen.append(best)
        covered |= left.pop(best)
    return chosen
