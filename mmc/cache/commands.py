"""Commands to ranks: events that are repeated until acknowledged.

A command names (rank, term, record, generation, object version), so that acting late or twice is
harmless, and carries a number that only grows, so that a rank can tell an old lease command from a
new one whatever the order of arrival.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmc.cache.names import Entry
    from mmc.identifiers import Location

_LONGEST = 16


class Command:
    """One command to one rank about one replica of an entry."""

    __slots__ = ("argument", "entry", "id", "is_lease", "kind", "place", "published_at")

    def __init__(
        self,
        number: int,
        kind: int,
        place: Location,
        entry: Entry,
        argument: int,
        *,
        is_lease: bool,
    ) -> None:
        self.id = number
        self.kind = kind
        self.place = place
        self.entry = entry
        self.argument = argument
        self.is_lease = is_lease
        self.published_at = -math.inf


class Outbox:
    """The commands that one rank has not acknowledged, and the numbers of its topics.

    Fresh commands are published at once.  As long as any is outstanding all are published again, at
    intervals that double while nothing is acknowledged; all but those published so lately that their rank
    may well be at work on them, which would only have more of it.
    """

    def __init__(self, repeat_s: float) -> None:
        """``repeat_s`` is the first interval."""
        self._repeat = repeat_s
        self._interval = repeat_s
        self.outstanding: dict[int, Command] = {}
        self._concerned: dict[bytes, int] = {}
        self.fresh: list[Command] = []
        self.repeat_at: float | None = None
        self.numbers = {False: 0, True: 0}

    def add(self, command: Command) -> None:
        """A new command."""
        self.outstanding[command.id] = command
        self.fresh.append(command)
        key = command.entry.key
        self._concerned[key] = self._concerned.get(key, 0) + 1

    def concerns(self, entry: Entry) -> bool:
        """Whether a command about this entry's key is outstanding."""
        return entry.key in self._concerned

    def take_due(self, now: float) -> list[Command]:
        """What is to be published now."""
        if self.repeat_at is not None and self.repeat_at <= now:
            before = now - self._interval / 2
            due = [command for command in self.outstanding.values() if command.published_at <= before]
            self._interval = min(2 * self._interval, _LONGEST * self._repeat)
            self.repeat_at = now + self._interval if self.outstanding else None
        else:
            due = self.fresh
            if due and self.repeat_at is None:
                self.repeat_at = now + self._interval
        self.fresh = []
        for command in due:
            command.published_at = now
        return due

    def acknowledge(self, number: int) -> Command | None:
        """An acknowledged command; None when it was acknowledged before."""
        self._interval = self._repeat
        command = self.outstanding.pop(number, None)
        if command is not None:
            key = command.entry.key
            self._concerned[key] -= 1
            if not self._concerned[key]:
                del self._concerned[key]
        if not self.outstanding:
            self.repeat_at = None
        return command

    def next_number(self, *, is_lease: bool) -> int:
        """The number of the next event of a topic."""
        self.numbers[is_lease] += 1
        return self.numbers[is_lease]


class Outboxes:
    """The outboxes of all ranks."""

    def __init__(self, repeat_s: float) -> None:
        """No commands yet."""
        self._repeat = repeat_s
        self._outboxes: dict[int, Outbox] = {}
        self._fresh: dict[int, None] = {}
        self._issued = 0

    def of(self, rank: int) -> Outbox:
        """A rank's outbox."""
        if rank not in self._outboxes:
            self._outboxes[rank] = Outbox(self._repeat)
        return self._outboxes[rank]

    def ranks(self) -> list[int]:
        """Every rank that ever had a command, and is a member."""
        return list(self._outboxes)

    def take_fresh(self) -> list[int]:
        """The ranks that new commands wait for, in the order of their coming; told once."""
        ranks, self._fresh = list(self._fresh), {}
        return ranks

    def add(
        self, kind: int, place: Location, entry: Entry, argument: int = 0, *, is_lease: bool = False
    ) -> Command:
        """A new command, to be published at once."""
        self._issued += 1
        command = Command(self._issued, kind, place, entry, argument, is_lease=is_lease)
        self.of(place.rank).add(command)
        self._fresh[place.rank] = None
        return command

    def next_due(self) -> float | None:
        """When commands are to be published again."""
        times = [at for outbox in self._outboxes.values() if (at := outbox.repeat_at) is not None]
        return min(times) if times else None

    def drop_rank(self, rank: int) -> list[Command]:
        """The rank is no member any more, or joins anew; returns what it had not acknowledged."""
        outbox = self._outboxes.pop(rank, None)
        self._fresh.pop(rank, None)
        return [] if outbox is None else list(outbox.outstanding.values())
