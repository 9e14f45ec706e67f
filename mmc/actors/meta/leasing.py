"""Leases on their way through the ranks that hold a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.errors import Code
from mmc.wire.operations import CommandKind

if TYPE_CHECKING:
    from collections.abc import Collection

    from mmc.actors.meta.batches import Batch
    from mmc.cache.commands import Command, Outboxes
    from mmc.cache.leases import Leases
    from mmc.cache.names import Entry
    from mmc.limits import MetaLimits

    Waiter = tuple[Batch, int]
    """Who waits for the code of one key: a batch, and the key's place in it."""

LEASE_SLACK = 1.01
"""Ranks keep a lease one per cent longer than asked; holders count on one per cent less."""


class Leasing:
    """One lease, or end of a lease, on its way through the ranks that hold the key."""

    __slots__ = ("entry", "granted", "grants", "missing", "session", "ttl_s", "waiter", "wrong_state")

    def __init__(self, session: int, ttl_s: float, waiter: Waiter | None, *, grants: bool) -> None:
        """Nobody has answered yet."""
        self.session = session
        self.ttl_s = ttl_s
        self.waiter = waiter
        self.grants = grants
        self.missing = 0
        self.entry: Entry | None = None
        self.granted = False
        self.wrong_state = False

    def settle(self) -> None:
        """Every rank has answered: whoever waits gets the code."""
        if self.waiter is None:
            return
        batch, index = self.waiter
        if self.wrong_state:
            batch.settle(index, Code.WRONG_STATE)
        else:
            batch.settle(index, Code.OK if self.granted or not self.grants else Code.NOT_FOUND)


class LeaseCommands:
    """The lease commands that ranks have not acknowledged, and what becomes of each."""

    def __init__(self, limits: MetaLimits, leases: Leases, outboxes: Outboxes) -> None:
        """None is under way."""
        self._limits = limits
        self._leases = leases
        self._outboxes = outboxes
        self._leasing: dict[int, Leasing] = {}
        self._of_key: dict[bytes, list[Leasing]] = {}

    def __len__(self) -> int:
        """How many keys they are about."""
        return len(self._of_key)

    def concern(self, key: bytes) -> bool:
        """Whether any of them is about this key."""
        return key in self._of_key

    def lease(self, entry: Entry, session: int, ttl_ms: int, waiter: Waiter) -> None:
        """Have every rank that holds the key store a lease of this length."""
        leasing = Leasing(session, ttl_ms / 1000, waiter, grants=True)
        self._command(entry, CommandKind.LEASE, ttl_ms, leasing)

    def unlease(self, entry: Entry, sessions: Collection[int], waiter: Waiter, now: float) -> None:
        """End the leases of some sessions early, down to what others still hold, or are about to.

        A rank may hear of a lease that is on its way before this, or after it.
        """
        removed = [self._leases.remove(entry.key, session) for session in sessions]
        if not any(removed):
            waiter[0].settle(waiter[1], Code.OK)
            return
        others = [one for one in self._of_key.get(entry.key, ()) if one.session not in sessions]
        left_s = max([self._leases.until(entry.key) - now, *(one.ttl_s for one in others)])
        left_ms = int(1000 * min(max(left_s, 0.0), LEASE_SLACK * self._limits.lease_max_ms / 1000))
        leasing = Leasing(0, 0.0, waiter, grants=False)
        self._command(entry, CommandKind.UNLEASE, left_ms, leasing)

    def may_command(self, entry: Entry) -> bool:
        """Whether the ranks that hold a key may be commanded more: one that stands still is not for ever."""
        most = self._limits.commands_max
        return all(len(self._outboxes.of(place.rank).outstanding) < most for place in entry.replicas)

    def _command(self, entry: Entry, kind: CommandKind, argument: int, leasing: Leasing) -> None:
        leasing.entry = entry
        for place in entry.replicas:
            command = self._outboxes.add(kind, place, entry, argument, is_lease=True)
            self._leasing[command.id] = leasing
        leasing.missing += len(entry.replicas)
        if entry.replicas:
            self._of_key.setdefault(entry.key, []).extend([leasing] * len(entry.replicas))

    def move(self, command: Command, listed: Entry | None) -> None:
        """The object of a command is not listed any more: have the one that is, if one is, leased instead."""
        leasing = self._leasing[command.id]
        if listed is not None and leasing.entry is not listed:
            self._command(listed, CommandKind(command.kind), command.argument, leasing)

    def pass_on(self, entry: Entry, left_s: float) -> None:
        """The ranks of an object keep what is left of a lease that was given on others."""
        self._command(entry, CommandKind.LEASE, int(1000 * left_s), Leasing(0, left_s, None, grants=True))

    def settle(self, command: Command, code: Code, now: float) -> None:
        """A rank has answered one of them."""
        leasing = self._leasing.pop(command.id)
        key = command.entry.key
        under_way = self._of_key[key]
        under_way.remove(leasing)
        if not under_way:
            del self._of_key[key]
        leasing.missing -= 1
        leasing.granted |= code == Code.OK
        leasing.wrong_state |= code == Code.WRONG_STATE
        if leasing.granted and leasing.grants:
            self._leases.add(key, leasing.session, now + leasing.ttl_s * LEASE_SLACK)
        if not leasing.missing:
            leasing.settle()
