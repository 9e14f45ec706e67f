"""Void claims on their way out: what may have been published under them is revoked.

A rebuild finds a claim void when a rank reports an object of its key that was there before.  Until its ranks
have acknowledged, its version is neither granted nor listed, and a removal of its key is not over.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, TypeVar

from mmc.errors import Code

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mmc.actors.meta.leasing import Waiter
    from mmc.cache.commands import Command
    from mmc.cache.names import Entry
    from mmc.identifiers import PackedVersion

T = TypeVar("T")


class Voids:
    """The entries of void claims, by the commands that revoke them."""

    def __init__(self) -> None:
        """None."""
        self._entries: dict[int, Entry] = {}
        self._versions: Counter[PackedVersion] = Counter()
        self._keys: Counter[bytes] = Counter()
        self._waiting: dict[bytes, list[Waiter]] = {}

    def add(self, command: Command) -> None:
        """A command to revoke what one rank has of a claim."""
        entry = command.entry
        self._entries[command.id] = entry
        self._versions[entry.version] += 1
        self._keys[entry.key] += 1

    def has(self, version: PackedVersion) -> bool:
        """Whether this object version is one of them."""
        return version in self._versions

    def concern(self, key: bytes) -> bool:
        """Whether one of this key may still be readable."""
        return key in self._keys

    def wait(self, key: bytes, waiters: Iterable[Waiter]) -> None:
        """Whoever removes a key waits until none of it can be read."""
        self._waiting.setdefault(key, []).extend(waiters)

    def settle(self, command: Command) -> bool:
        """A command has ended: whether it was one of these; whoever waits for the last of its key is told."""
        entry = self._entries.pop(command.id, None)
        if entry is None:
            return False
        _count_down(self._versions, entry.version)
        _count_down(self._keys, entry.key)
        if entry.key not in self._keys:
            for batch, index in self._waiting.pop(entry.key, ()):
                batch.settle(index, Code.OK)
        return True


def _count_down(counts: Counter[T], what: T) -> None:
    counts[what] -= 1
    if not counts[what]:
        del counts[what]
