"""Traces of LLM requests: each request is the list of its prompt's blocks, in order.

A block's id stands for the block and everything before it: two requests that begin with the same
ids begin with the same tokens.  A trace file has one JSON object a line; its ``hash_ids`` are the
blocks.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

Request = list[int]

IDS = 1 << 64
"""Block ids are below this."""

# The generator's chances and sizes, chosen so that 2,000 requests look like recorded conversations:
# about 25 blocks a request, of which a third to two fifths were asked for before.
_CONTINUES = 0.33
_ENDS = 0.12
_SHARES_PROMPT = 0.25
_PROMPTS = 24
_PROMPT_BLOCKS = (1, 4)
_FIRST_BLOCKS = (2.45, 1.1)
_TURN_BLOCKS = (1.1, 1.15)
_MOST_BLOCKS = 250


class TraceError(ValueError):
    """A trace that cannot be replayed; the sentence names the file and the line."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What a cache without limits would have reached on a trace, asked in its order."""

    asked: int
    hits: int
    distinct: int

    @property
    def rate(self) -> float:
        """Hits per block asked for."""
        return self.hits / self.asked if self.asked else 0.0


def read_trace(path: Path, limit: int | None = None) -> list[Request]:
    """The first ``limit`` requests of a file, or all of them.

    Raises:
        TraceError: the file cannot be read, or a line is no request.
    """
    found: list[Request] = []
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if limit is not None and len(found) >= limit:
                    break
                if line.strip():
                    found.append(_parse(line, f"{path}, line {number}"))
    except OSError as reason:
        raise TraceError(f"{path}: {reason.strerror}") from None
    except UnicodeDecodeError:
        raise TraceError(f"{path}: not UTF-8 text") from None
    if not found:
        raise TraceError(f"{path}: there is no request in it")
    return found


def _parse(line: str, where: str) -> Request:
    try:
        entry = json.loads(line)
    except ValueError as reason:
        raise TraceError(f"{where}: not JSON: {reason}") from None
    blocks = entry.get("hash_ids") if isinstance(entry, dict) else None
    if not isinstance(blocks, list):
        raise TraceError(f"{where}: there is no list of hash_ids")
    for block in blocks:
        if type(block) is not int or not 0 <= block < IDS:
            raise TraceError(f"{where}: {block!r} is no block id (a whole number below 2**64)")
    return blocks


def reach(requests: Iterable[Sequence[int]]) -> Reach:
    """Ask for every request's longest known prefix, and remember all its blocks."""
    seen: set[int] = set()
    asked = hits = 0
    for blocks in requests:
        asked += len(blocks)
        for block in blocks:
            if block not in seen:
                break
            hits += 1
        seen.update(blocks)
    return Reach(asked, hits, len(seen))


def generate(count: int, seed: int) -> list[Request]:
    """Requests of many conversations at once, some of which share a system prompt.

    A turn asks for everything that its conversation said so far, and some blocks more.
    """
    return _Generator(seed).requests(count)


class _Generator:
    """Draws conversations; ids count up from 0, which every request begins with."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._next = 1
        self._talks: list[Request] = []
        self._prompts = [self._fresh(self._chance.randint(*_PROMPT_BLOCKS)) for _ in range(_PROMPTS)]

    def requests(self, count: int) -> list[Request]:
        return [self._turn() for _ in range(count)]

    def _turn(self) -> Request:
        chance = self._chance
        if self._talks and chance.random() < _CONTINUES:
            place = chance.randrange(len(self._talks))
            talk = self._talks.pop(place) + self._fresh(self._length(*_TURN_BLOCKS))
        else:
            talk = [0, *self._prompt(), *self._fresh(self._length(*_FIRST_BLOCKS))]
        talk = talk[:_MOST_BLOCKS]
        if chance.random() >= _ENDS:
            self._talks.append(talk)
        return talk

    def _prompt(self) -> Request:
        """A system prompt, the first ones far more often than the last."""
        if self._chance.random() >= _SHARES_PROMPT:
            return []
        return self._prompts[int(_PROMPTS * self._chance.random() ** 2)]

    def _length(self, middle: float, spread: float) -> int:
        return 1 + int(self._chance.lognormvariate(middle, spread))

    def _fresh(self, count: int) -> Request:
        self._next += count
        return list(range(self._next - count, self._next))
