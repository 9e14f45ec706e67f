"""Claims that no rank has confirmed yet, in the order in which they are to be looked into."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmc.cache.names import Entry


class Claims:
    """Entries with unconfirmed replicas; each is due for a check a fixed time after it was noted."""

    def __init__(self, delay_s: float) -> None:
        """``delay_s``: how long a claim may stay unconfirmed before its ranks are asked."""
        self._delay = delay_s
        self._due: OrderedDict[bytes, tuple[float, Entry]] = OrderedDict()

    def __len__(self) -> int:
        """How many entries wait for confirmation."""
        return len(self._due)

    def __contains__(self, key: bytes) -> bool:
        """Whether a key is looked into."""
        return key in self._due

    def note(self, entry: Entry, now: float) -> None:
        """Look into this entry after the delay from now."""
        self._due.pop(entry.key, None)
        self._due[entry.key] = (now + self._delay, entry)

    def settle(self, entry: Entry) -> None:
        """Every replica of the entry is accounted for."""
        if not entry.unconfirmed:
            self._due.pop(entry.key, None)

    def forget(self, key: bytes) -> None:
        """There is nothing to look into any more."""
        self._due.pop(key, None)

    def next_due(self) -> float | None:
        """When the next entry is due."""
        return next(iter(self._due.values()))[0] if self._due else None

    def take_due(self, now: float) -> list[Entry]:
        """The entries due by now, noted again for another delay."""
        due = []
        for when, entry in self._due.values():
            if when > now:
                break
            due.append(entry)
        for entry in due:
            self.note(entry, now)
        return due
