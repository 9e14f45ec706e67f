"""What the meta service does with names: claim, confirm, evict, remove, lease, rebuild.

1. Nothing here waits: what needs a rank's word is a command in its outbox, and the code of the key is
   settled when the command is acknowledged, the rank given up, or the deadline passed.
2. Evicting and removing first *withdraw* a replica (no reader is told of it), then command; the name is
   free when the last holding rank has acknowledged.  A rank refuses what is under an explicit lease,
   and the replica is restored.
3. A claimed name is resolved by its rank alone, since the published record is the truth: by its
   confirmation, or by its answer to a check, a lease or a removal.
4. A claim that a rebuild finds to be void may have been published: its ranks are commanded to revoke it;
   till then it is neither granted nor listed again, and a removal of the key waits for that too.
5. A lease is granted when every holding rank has stored it.  From the command on, and until after the
   ranks' own count has ended, nothing here evicts or removes the key.
6. A copy counts as a replica when its rank has confirmed it; until then a removal waits for its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.actors.meta.copying import AT_ONCE, Copying
from mmc.actors.meta.leasing import LeaseCommands
from mmc.actors.meta.voids import Voids
from mmc.cache.claims import Claims
from mmc.cache.commands import Command, Outboxes
from mmc.cache.leases import Leases
from mmc.cache.names import Entry, Names, NameState
from mmc.errors import Code
from mmc.identifiers import MAX_REPLICAS
from mmc.wire.operations import CommandKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mmc.actors.meta.leasing import Waiter
    from mmc.identifiers import Location, PackedVersion
    from mmc.limits import MetaLimits

_OK = Code.OK
"""By a name of its own, since Python 3.11 looks for an enumeration's member longer than for a key."""


class Naming:
    """Names and everything that hangs on them, in one epoch."""

    def __init__(self, limits: MetaLimits) -> None:
        """Nothing is known: names come from claims, and from the ranks' reports."""
        self._limits = limits
        self.names = Names()
        self.leases = Leases()
        check_s = limits.claim_check_ms / 1000
        self.claims = Claims(check_s)
        self.outboxes = Outboxes(limits.command_repeat_ms / 1000)
        self.copying = Copying(self.names, self.outboxes, check_s, remembers=limits.repair)
        self._removing: dict[bytes, list[Waiter]] = {}
        self._voids = Voids()
        self._existed: set[bytes] = set()
        self._reported: dict[int, dict[int, int]] = {}
        self.leasing = LeaseCommands(limits, self.leases, self.outboxes)
        self.evictions = 0

    def leased(self, keys: Sequence[bytes]) -> list[int]:
        """For each key, 1 where it is leased."""
        if not self.leasing and not self.leases:
            return [0] * len(keys)
        return [int(self.is_leased(key)) for key in keys]

    def is_leased(self, key: bytes) -> bool:
        """Whether a key may not be evicted or removed, as far as this service knows."""
        return self.leasing.concern(key) or self.leases.until(key) > 0

    def may_not_go(self, key: bytes) -> bool:
        """Whether a key may not be evicted: it is leased, or being copied, which ends soon."""
        return key in self.copying.under_way or self.is_leased(key)

    def places_of(self, entry: Entry) -> set[Location]:
        """Where a removal has to reach: replicas, those that leave, and a copy on its way."""
        copy = self.copying.of(entry.key)
        return {*entry.replicas, *entry.leaving, *((copy.place,) if copy else ())}

    def claim(
        self,
        key: bytes,
        version: PackedVersion,
        size: int,
        places: tuple[Location, ...],
        now: float,
    ) -> Code:
        """Take a name: 0 granted, -3006 readable already, -3101 pending, -3016 too many names.

        What is on its way out, since its claim is void, is not granted again: an object was there before it.
        """
        if self._voids.has(version):
            return Code.EXISTS
        entry = self.names.get(key)
        if entry is None:
            return self._grant(key, version, size, places, now)
        if entry.version == version and entry.replicas:
            return Code.OK
        if entry.state is NameState.READABLE:
            return Code.EXISTS
        if entry.state is NameState.CLAIMED:
            self._check(entry, now)
        return Code.WRONG_STATE

    def _grant(
        self,
        key: bytes,
        version: PackedVersion,
        size: int,
        places: tuple[Location, ...],
        now: float,
    ) -> Code:
        if len(self.names) >= self._limits.objects_max:
            return Code.NO_SPACE
        for place in places:
            there = self.names.at(place.rank, place.record)
            if there is not None and not self._supersede(there, place, is_rank_s_word=False):
                return Code.NO_SUCH_RANK
        if self.copying.under_way and not all(map(self.copying.supersede, places)):
            return Code.NO_SUCH_RANK
        entry = self.names.claim(key, version, size, places)
        if self.copying.remembers:
            self.copying.remember(entry)
        self.claims.note(entry, now)
        return _OK

    def replicate(self, key: bytes, version: PackedVersion, place: Location, now: float) -> Code:
        """Grant a place to a copy, or say why not: :class:`~mmc.wire.requests.Replicate` has the codes."""
        entry = self.names.get(key)
        if entry is None or entry.version != version or entry.state is not NameState.READABLE:
            return Code.NOT_FOUND
        if key in self.copying.under_way or key in self._removing:
            return Code.WRONG_STATE
        if any(other.rank == place.rank for other in (*entry.replicas, *entry.leaving)):
            return Code.EXISTS
        if len(entry.replicas) >= MAX_REPLICAS:
            return Code.INVALID_ARGUMENT
        if not self._make_way(place):
            return Code.NO_SUCH_RANK
        self.copying.begin(entry, place, now)
        return _OK

    def _make_way(self, place: Location) -> bool:
        """Whether nothing stands in a record that a client is to write."""
        there = self.names.at(place.rank, place.record)
        is_free = there is None or self._supersede(there, place, is_rank_s_word=False)
        return is_free and self.copying.supersede(place)

    def _supersede(self, there: Entry, place: Location, *, is_rank_s_word: bool) -> bool:
        """A record that may be written again has lost what it held under an older generation.

        A rank says so of itself.  A client may speak of a segment that is no more: against what a rank has
        confirmed its word is nothing, since no rank reuses what this service has not heard to be gone.
        """
        old = next(p for p in (*there.replicas, *there.leaving) if p[:2] == (place.rank, place.record))
        is_confirmed = old in there.replicas and old not in there.unconfirmed
        if old.generation >= place.generation or (is_confirmed and not is_rank_s_word):
            return False
        self._drop(there, old)
        return True

    def _check(self, entry: Entry, now: float) -> None:
        """Ask the ranks what became of a claim, unless they are being asked already."""
        for place in entry.unconfirmed:
            if not self.outboxes.of(place.rank).concerns(entry):
                self.outboxes.add(CommandKind.CHECK, place, entry)
        self.claims.note(entry, now)

    def check_due_claims(self, now: float) -> None:
        """Ask about the claims that stayed unconfirmed for too long."""
        for entry in self.claims.take_due(now):
            self._check(entry, now)
        self.copying.check_due(now)

    def confirm(self, place: Location, version: PackedVersion, now: float) -> Code:
        """A rank says that a record is published; -3007 when no such replica is listed."""
        entry = self.names.at(place.rank, place.record)
        if entry is None or entry.version != version:
            return self._land(place, version, now)
        if place in entry.replicas:
            self._confirm(entry, place)
            return _OK
        return _OK if place in entry.leaving else Code.NOT_FOUND

    def _land(self, place: Location, version: PackedVersion, now: float) -> Code:
        """A copy is published: a replica from now on, which keeps the leases of its key."""
        entry = self.copying.land(place, version)
        if entry is None:
            return Code.NOT_FOUND
        self._note_reported(place)
        left_s = self.leases.until(entry.key) - now
        if left_s > 0:
            self.leasing.pass_on(entry, left_s)
        self.copying.on_landed(entry)
        return _OK

    def _confirm(self, entry: Entry, place: Location) -> None:
        self.names.confirm(entry, place)
        self._note_reported(place)
        self.claims.settle(entry)

    def begin_report(self, rank: int) -> None:
        """The rank joins: what it does not report or confirm from here on is gone when it has reported."""
        self._reported[rank] = {}

    def _note_reported(self, place: Location) -> None:
        reported = self._reported.get(place.rank)
        if reported is not None:
            reported[place.record] = place.generation

    def report(
        self,
        key: bytes,
        version: PackedVersion,
        size: int,
        place: Location,
        leased_until: float,
        now: float,
    ) -> Code:
        """A rank reports a published record; -3007 when it must invalidate it.

        Between versions of one key the one that is listed as readable wins.  A claim is no more than a
        promise, whose writer may be dead: against an object that was published before it, it is void.
        A lease is a promise about the key, and outlives the object that it was first given for: the ranks
        of the other object are told to keep it, so that it outlives this service too.
        """
        entry = self.names.get(key)
        if self._voids.has(version):
            self._keep_lease(entry, leased_until, now)
            return Code.NOT_FOUND
        there = self.names.at(place.rank, place.record)
        other = None if there is entry else there
        if other is not None and not self._supersede(other, place, is_rank_s_word=True):
            return Code.NOT_FOUND
        if entry is not None and entry.state is NameState.CLAIMED and entry.version != version:
            self._displace(entry)
            entry = None
        if entry is not None:
            other_place = any(p.rank == place.rank and p != place for p in entry.replicas)
            if entry.version != version or other_place or entry.state is NameState.LEAVING:
                self._keep_lease(entry, leased_until, now)
                return Code.NOT_FOUND
            if place in entry.leaving:
                return Code.NOT_FOUND
        entry = self.names.report(key, version, size, place)
        self.copying.reported(entry, place)
        self.claims.settle(entry)
        self._note_reported(place)
        if leased_until:
            self.leases.add(key, 0, leased_until)
        return Code.OK

    def _keep_lease(self, entry: Entry | None, leased_until: float, now: float) -> None:
        """What is leased goes: the object that is listed under its key, if one is, is leased in its place."""
        if leased_until and entry is not None and entry.replicas:
            self.leases.add(entry.key, 0, leased_until)
            self.leasing.pass_on(entry, leased_until - now)

    def _displace(self, entry: Entry) -> None:
        """A claim is void; whatever was published under it is to go."""
        for claimed in entry.replicas:
            self._drop(entry, claimed)
            self._voids.add(self.outboxes.add(CommandKind.REVOKE, claimed, entry))

    def evict(self, victims: Iterable[tuple[Entry, Location]]) -> None:
        """Withdraw replicas and command their ranks to let go of them."""
        for entry, place in victims:
            self.names.withdraw(entry, place)
            self.outboxes.add(CommandKind.EVICT, place, entry)

    def remove(self, entry: Entry, waiter: Waiter) -> None:
        """Remove a key from every rank that has it; joins a removal under way."""
        waiters = self._removing.get(entry.key)
        if waiters is not None:
            waiters.append(waiter)
            return
        self._removing[entry.key] = [waiter]
        for place in entry.replicas:
            if entry.state is NameState.READABLE:
                self.names.withdraw(entry, place)
            self.outboxes.add(CommandKind.REMOVE, place, entry)
        self.copying.void(entry)

    def acknowledge(self, rank: int, number: int, code: Code, now: float) -> None:
        """A rank has carried out a command, or said why not."""
        command = self.outboxes.of(rank).acknowledge(number)
        if command is not None:
            self._settle(command, code, now)

    def _settle(self, command: Command, code: Code, now: float) -> None:
        entry, place = command.entry, command.place
        if self._voids.settle(command):
            return
        if command.kind in (CommandKind.EVICT, CommandKind.REMOVE):
            self.evictions += command.kind == CommandKind.EVICT and code == Code.OK
            self._settle_departure(entry, place, code, now)
            return
        if code == Code.OK:
            if place in entry.unconfirmed:
                self._confirm(entry, place)
            else:
                self._land(place, entry.version, now)
        elif code == Code.NOT_FOUND:
            self._drop(entry, place)
        if command.is_lease:
            listed = self.names.get(entry.key)
            if listed is not entry:  # what was leased has made way for another, or has gone
                self.leasing.move(command, listed)
                code = Code.NOT_FOUND
            self.leasing.settle(command, code, now)

    def _settle_departure(self, entry: Entry, place: Location, code: Code, now: float) -> None:
        """An eviction or a removal ended: gone, refused because of a lease, or not yet published."""
        if code == Code.WRONG_STATE and self.copying.is_void(place):
            return  # it is commanded again until it is gone
        if code in (Code.OK, Code.NOT_FOUND):
            if code == Code.OK or entry.state is not NameState.CLAIMED:
                self._existed.add(entry.key)
            self._drop(entry, place)
            return
        self._existed.discard(entry.key)
        if place in entry.leaving:
            self.names.restore(entry, place, published=code == Code.LEASED)
            if entry.unconfirmed:
                self.claims.note(entry, now)
        waiters = self._removing.pop(entry.key, ())
        refusal = Code.LEASED if code == Code.LEASED else Code.NOT_FOUND
        for batch, index in waiters:
            batch.settle(index, refusal)

    def _drop(self, entry: Entry, place: Location) -> None:
        """A replica is gone for good; of two commands that say so, the second changes nothing."""
        if self.copying.under_way:
            self.copying.forget(place)
        if self.names.get(entry.key) is not entry:
            return
        if self.copying.under_way and entry.replicas == (place,) and self.copying.inherit(entry):
            self.claims.note(entry, AT_ONCE)
        was_claimed = entry.state is NameState.CLAIMED
        self.names.drop(entry, place)
        self.claims.settle(entry)
        if self.names.get(entry.key) is entry:
            return
        self.leases.forget(entry.key)
        self.copying.forget_name(entry.key)
        existed = entry.key in self._existed
        self._existed.discard(entry.key)
        waiters = self._removing.pop(entry.key, ())
        if waiters and self._voids.concern(entry.key):
            self._voids.wait(entry.key, waiters)
            return
        for batch, index in waiters:
            batch.settle(index, Code.OK if existed or not was_claimed else Code.NOT_FOUND)

    def finish_report(self, rank: int) -> None:
        """What a rank holds is what it reported, and what is claimed, leaving, or still to be said."""
        reported = self._reported.pop(rank, {})
        for record, entry in list(self.names.on_rank(rank).items()):
            for place in entry.replicas:
                if place.rank != rank or place in entry.unconfirmed:
                    continue
                if reported.get(record) != place.generation:
                    self._drop(entry, place)

    def lose_rank(self, rank: int, now: float) -> None:
        """The rank is no member any more: what it held is gone."""
        self._reported.pop(rank, None)
        self.copying.lose_rank(rank)
        commands = self.outboxes.drop_rank(rank)
        for command in commands:
            if not command.is_lease:
                self._settle(command, Code.NOT_FOUND, now)
        for record, entry in list(self.names.on_rank(rank).items()):
            for place in (*entry.replicas, *entry.leaving):
                if place[:2] == (rank, record):
                    self._drop(entry, place)
        for command in commands:  # now that nothing is listed there, and a lease moves to what is
            if command.is_lease:
                self._settle(command, Code.NOT_FOUND, now)

    def check(self) -> None:
        """Invariants of the tables, and that every wait has a command that will end it."""
        self.names.check()
        self.leases.check()
        self.copying.check()
        for entry in self.names:
            if entry.unconfirmed or entry.state is NameState.CLAIMED:
                assert entry.key in self.claims, entry.key
            for place in entry.leaving:
                assert self.outboxes.of(place.rank).concerns(entry) or self.copying.is_void(place), entry.key
        for key in self._removing:
            removed = self.names.get(key)
            assert removed is not None, key
            places = (*removed.replicas, *removed.leaving)
            assert key in self.copying.under_way or any(
                self.outboxes.of(p.rank).concerns(removed) for p in places
            ), key
