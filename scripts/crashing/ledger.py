"""What was put, acknowledged and removed, written down outside of the processes that may be killed.

Each life of a client appends to a file of its own; what was written survives a SIGKILL, as the kernel has it.
These words follow one another for a key, each written before anybody may rely on it:

    tried     before the put is called: from now on the object may be there
    stored    the put answered 0: from now on every get finds it ...
    leaving   ... until this, which stands there before the removal is called
    gone      an object that was stored has been removed: nobody finds it from now on

So no clock is compared: a reader knows a key's state before its call from what it has read by then, and the
state after it by reading on.
"""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

WORDS = TRIED, STORED, LEAVING, GONE = "tried", "stored", "leaving", "gone"
_FOUND, _TICK = "found", "tick"
_BITS = {word: 1 << at for at, word in enumerate(WORDS)}
_RECENT = 512


class Tick(NamedTuple):
    """Calls that ended since the one before: those that succeeded, and others; ``at`` as time.monotonic()."""

    at: float
    succeeded: int
    refused: int


class Journal:
    """The file of one life of a client."""

    def __init__(self, directory: Path, name: str) -> None:
        """Begin it."""
        self._name = name
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._descriptor = os.open(directory / f"{name}.journal", flags, 0o600)

    def say(self, word: str, *keys: str) -> None:
        """Write a line for each of these; once it returns, a SIGKILL does not undo it."""
        if keys:
            os.write(self._descriptor, "".join(f"{word} {key}\n" for key in keys).encode())

    def find(self, kind: str, **facts: object) -> None:
        """Write down what must not be, or what the driver is to judge."""
        self.say(_FOUND, json.dumps({"kind": kind, "by": self._name, **facts}))

    def tick(self, tick: Tick) -> None:
        """Write down how many calls there were."""
        self.say(_TICK, json.dumps(tick))


class Keys:
    """A set that can be drawn from."""

    def __init__(self) -> None:
        """Empty."""
        self._keys: list[str] = []
        self._at: dict[str, int] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        """Each of them."""
        return iter(self._keys)

    def add(self, key: str) -> None:
        """Have it in."""
        if key not in self._at:
            self._at[key] = len(self._keys)
            self._keys.append(key)

    def discard(self, key: str) -> None:
        """Have it out."""
        at = self._at.pop(key, None)
        if at is not None:
            last = self._keys.pop()
            if at < len(self._keys):
                self._keys[at] = last
                self._at[last] = at

    def draw(self, chance: Random, most: int) -> list[str]:
        """Up to so many different ones."""
        return chance.sample(self._keys, min(most, len(self._keys)))


class Ledger:
    """All journals of a directory, read as far as they are written."""

    def __init__(self, directory: Path, *, keys_only: bool = False) -> None:
        """Nothing is read yet.  ``keys_only``: findings and counts of calls are not kept."""
        self._directory = directory
        self._keys_only = keys_only
        self._read: dict[Path, int] = {}
        self._said: dict[str, int] = {}
        self._gone: tuple[list[str], list[str]] = [], []
        self.counts: Counter[str] = Counter()
        self.stored = Keys()
        self.left: deque[str] = deque(maxlen=_RECENT)
        self.findings: list[dict[str, Any]] = []
        self.ticks: list[Tick] = []

    def read_on(self) -> None:
        """Take up what was written since, and forget what was gone by the time before.

        A word may be read before the one it follows, from another file: that comes with the next reading.
        """
        for key in self._gone[0]:
            self._said.pop(key, None)
        self._gone = self._gone[1], []
        for path in self._directory.glob("*.journal"):
            at = self._read.get(path, 0)
            if path.stat().st_size == at:
                continue
            with path.open("rb") as stream:
                stream.seek(at)
                text = stream.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._read[path] = at + len(whole)
            for line in whole.decode().splitlines():
                self._take(*line.split(" ", 1))

    def _take(self, word: str, about: str) -> None:
        if word not in (_FOUND, _TICK):
            self._hear(about, word)
        elif self._keys_only:
            return
        elif word == _FOUND:
            self.findings.append(json.loads(about))
        else:
            self.ticks.append(Tick(*json.loads(about)))

    def _hear(self, key: str, word: str) -> None:
        self.counts[word] += 1
        self._said[key] = self._said.get(key, 0) | _BITS[word]
        if self.is_stored(key):
            self.stored.add(key)
        else:
            self.stored.discard(key)
        if word == GONE:
            self.left.append(key)
            self._gone[1].append(key)

    def has(self, key: str, word: str) -> bool:
        """Whether this was said of a key, as far as it was read."""
        return bool(self._said.get(key, 0) & _BITS[word])

    def is_stored(self, key: str) -> bool:
        """Whether every get must find it."""
        return self._said.get(key, 0) & ~_BITS[TRIED] == _BITS[STORED]

    def open_keys(self) -> list[str]:
        """What is there, or may be."""
        return [key for key, said in self._said.items() if not said & _BITS[GONE]]
