"""What the operations of a run asked for and were told: the ground that the checkers judge on.

The bytes of an object follow from its key and the number of its put, in every word of them: so any
torn, foreign or stale byte is seen, and any bytes tell which put they come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mmc.errors import Code
from tests.simulation.world import Strand

WORD = 8
_NUMBER_SHIFT = 32
_KEY_SHIFT = 20
SMALLEST = WORD


def content_of(key_number: int, number: int, size: int) -> bytes:
    """The bytes of a put: in each word its number, its key, and the word's place."""
    words = np.arange(-(-size // WORD), dtype="<u8")
    words |= np.uint64(number << _NUMBER_SHIFT | key_number << _KEY_SHIFT)
    return words.tobytes()[:size]


def number_in(content: bytes | memoryview) -> int:
    """The number of the put that bytes claim to come from."""
    return int.from_bytes(content[:WORD], "little") >> _NUMBER_SHIFT


@dataclass(slots=True, eq=False)
class Put:
    """One object of one put; ``code`` is None while it runs, and for ever if its client died."""

    key: bytes
    number: int
    size: int
    content: bytes
    client: str
    client_id: int
    replicas: int
    preferred: tuple[int, ...]
    started: float
    finished: float | None = None
    code: Code | None = None
    read: bool = False
    removed_at: float | None = None
    gone_at: float | None = None
    is_copied: bool = False

    @property
    def has_several_places(self) -> bool:
        """Whether it may be published on more than one rank."""
        return self.replicas > 1 or self.is_copied

    @property
    def is_acknowledged(self) -> bool:
        """Whether it was said to have succeeded."""
        return self.code == Code.OK

    @property
    def is_refused(self) -> bool:
        """Whether it was said not to have happened."""
        return self.code is not None and self.code not in (Code.OK, Code.UNKNOWN_SEQUENCE)


@dataclass(slots=True, eq=False)
class Act:
    """One call of one client."""

    kind: str
    client: str
    keys: tuple[bytes, ...]
    started: float
    deadline: float
    stalled_before: float
    puts: tuple[Put, ...] = ()
    codes: list[Code] = field(default_factory=list)
    finished: float | None = None
    strand: Strand | None = None


class History:
    """Every put and call of a run."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """``keys`` are all that are ever used."""
        self.keys = list(keys)
        self._key_numbers = {key: position for position, key in enumerate(keys)}
        self.puts: dict[bytes, list[Put]] = {key: [] for key in keys}
        self.by_number: dict[int, Put] = {}
        self.running: dict[Act, None] = {}

    def add_key(self, key: bytes) -> bytes:
        """One more key."""
        self._key_numbers[key] = len(self.keys)
        self.keys.append(key)
        self.puts[key] = []
        return key

    def begin_put(
        self, key: bytes, size: int, client: str, client_id: int, replicas: int,
        preferred: tuple[int, ...], now: float,
    ) -> Put:  # fmt: skip
        """A put of this key begins."""
        number = len(self.by_number) + 1
        content = content_of(self._key_numbers[key], number, size)
        put = Put(key, number, size, content, client, client_id, replicas, preferred, now)
        self.puts[key].append(put)
        self.by_number[number] = put
        return put

    def abandon(self, client: str, now: float) -> None:
        """A client died: the outcome of what it was doing is unknown."""
        for act in [act for act in self.running if act.client == client]:
            self.give_up(act, now)

    def give_up(self, act: Act, now: float) -> None:
        """The caller is gone; perhaps its whole process is, and it was given up with that."""
        if act not in self.running:
            return
        del self.running[act]
        for put in act.puts:
            put.finished = now
