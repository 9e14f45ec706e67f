"""What is to be copied from each rank: of ranks that drain everything, and what lost replicas.

1. Nothing is queued.  A cursor walks the records of a rank by their numbers; what is to be copied is handed
   to the mover of that rank, a bounded part at a time, and it comes back for the next.
2. A draining rank is walked again and again, in *passes*.  A replica goes when its copy has landed, or when
   every rank that could take one has one.  What is leased, being written or already on its way waits for a
   later pass; so does what fits nowhere.  A pass that ends with nothing but that is *blocked*.
3. A rank is drained when no name lies on it.  From then on it is granted none.
4. For a repair each rank is walked once, and gives what has too few replicas of which it holds the first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.cache.names import NameState
from mmc.errors import Code, error_for, told_code
from mmc.identifiers import MAX_REPLICAS, unpack_version
from mmc.wire import replies
from mmc.wire.operations import DrainAct, DrainState

if TYPE_CHECKING:
    from mmc.actors.meta.naming import Naming
    from mmc.cache.membership import MembershipTable, Peer
    from mmc.cache.names import Entry
    from mmc.identifiers import Location
    from mmc.limits import MetaLimits
    from mmc.wire.requests import CopiesWanted, Drain

_LOOKED = 4096
_PAUSE_S = 1.0
_OPEN = (DrainState.RUNNING, DrainState.BLOCKED)


class _Pass:
    """What one walk over a rank came to so far."""

    __slots__ = ("handed", "has_ended", "refused", "waiting", "went")

    def __init__(self) -> None:
        self.handed = 0
        self.refused = 0
        self.waiting = 0
        self.went = 0
        self.has_ended = False

    @property
    def is_blocked(self) -> bool:
        """Whether all that is left was refused for lack of space."""
        return self.refused > 0 and self.refused == self.handed and not self.waiting and not self.went


class _Draining:
    """The drain of one rank, in one life of its segment."""

    def __init__(self, peer: Peer) -> None:
        self.rank = peer.member.rank
        self.segment = peer.member.segment
        self.state = DrainState.RUNNING
        self.discards = False
        self.cursor = 0
        self.walk = _Pass()
        self.pass_at = 0.0
        self.refused = 0
        self.landed: set[Location] = set()
        self.moved = [0, 0]
        self.discarded = [0, 0]


class Moving:
    """The drains of a cluster, and its repair, in one epoch."""

    def __init__(self, limits: MetaLimits, table: MembershipTable, naming: Naming) -> None:
        """Ranks that drained in an earlier life of this service go on to."""
        self._limits = limits
        self._table = table
        self._naming = naming
        self._drains: dict[int, _Draining] = {}
        self._repairs: dict[int, int] = {}
        self.copied = 0
        naming.copying.on_landed = self._landed

    # Drains

    def ask(self, asked: Drain) -> tuple[replies.DrainReport, bool]:
        """Begin, cancel, or tell; and whether the membership is to be written down again.

        Raises:
            CacheError: -3018 no such rank; -3016 it is the last that takes objects; -3007 it does not drain;
                -3000 no such act.
        """
        peer = self._table.peer(asked.rank)
        act = asked.act
        if act in (DrainAct.BEGIN, DrainAct.DISCARD):
            if peer is None:
                raise error_for(Code.NO_SUCH_RANK, f"rank {asked.rank}")
            return self._begin(peer, discards=act == DrainAct.DISCARD)
        draining = self._draining(asked.rank)
        if draining is None:
            raise error_for(Code.NOT_FOUND, f"rank {asked.rank} does not drain")
        changes = act == DrainAct.CANCEL and peer is not None and peer.drains
        if changes:
            assert peer is not None
            draining.state = DrainState.CANCELLED
            peer.drained = False
            self._table.drain(asked.rank, drains=False)
        elif act not in (DrainAct.QUERY, DrainAct.CANCEL):
            raise error_for(Code.INVALID_ARGUMENT, f"drain act {act}")
        return self._report(draining), changes

    def _begin(self, peer: Peer, *, discards: bool) -> tuple[replies.DrainReport, bool]:
        rank = peer.member.rank
        others = [other for other in self._table.peers() if other.takes_objects and other is not peer]
        if not others:
            raise error_for(Code.NO_SPACE, f"no other live rank could take the objects of rank {rank}")
        draining = self._draining(rank) if peer.drains else None
        if draining is None:
            draining = self._drains[rank] = _Draining(peer)
        draining.discards = discards
        draining.pass_at = 0.0
        changes = not peer.drains
        self._table.drain(rank, drains=True)
        return self._report(draining), changes

    def _draining(self, rank: int) -> _Draining | None:
        """The drain of a rank, if it ever had one, as it stands."""
        peer, draining = self._table.peer(rank), self._drains.get(rank)
        is_same = draining is not None and peer is not None and peer.member.segment == draining.segment
        if peer is not None and peer.drains and not is_same:
            draining = self._drains[rank] = _Draining(peer)
        elif draining is not None and draining.state in _OPEN and not is_same:
            draining.state = DrainState.GONE
        if peer is not None and draining is not None and draining.state in _OPEN:
            self._look_whether_done(peer, draining)
        return draining

    def _look_whether_done(self, peer: Peer, draining: _Draining) -> None:
        if peer.reported and not self._naming.names.on_rank(draining.rank):
            draining.state = DrainState.DRAINED
            peer.drained = True

    def _report(self, draining: _Draining) -> replies.DrainReport:
        held = self._naming.names.on_rank(draining.rank)
        is_open = draining.state in _OPEN
        counters = (
            ("moved_objects", draining.moved[0]),
            ("moved_bytes", draining.moved[1]),
            ("discarded_objects", draining.discarded[0]),
            ("discarded_bytes", draining.discarded[1]),
            ("left_objects", len(held) if is_open else 0),
            ("left_bytes", sum([entry.size for entry in held.values()]) if is_open else 0),
            ("refused_objects", draining.refused if draining.state is DrainState.BLOCKED else 0),
        )
        return replies.DrainReport(draining.rank, draining.segment, int(draining.state), counters)

    # Copies

    def is_wanted(self, rank: int, now: float) -> bool:
        """Whether the mover of a rank has something to do."""
        draining = self._draining(rank)
        if draining is not None and draining.state in _OPEN:
            return draining.pass_at <= now
        return rank in self._repairs

    def plan(self, wanted: CopiesWanted, now: float) -> replies.CopyPlan:
        """The next objects that the mover of a rank is to copy."""
        draining = self._draining(wanted.rank)
        drains = draining is not None and draining.state in _OPEN
        if drains:
            assert draining is not None
            self._take_refusals(draining, wanted)
            entries = self._next_of_drain(draining, wanted, now)
        else:
            entries = self._next_of_repair(wanted)
        return replies.CopyPlan(
            tuple(entry.key for entry, _ in entries),
            tuple(unpack_version(entry.version) for entry, _ in entries),
            tuple(entry.size for entry, _ in entries),
            tuple((place, *(p for p in entry.replicas if p != place)) for entry, place in entries),
            (int(drains),) * len(entries),
            self._table.view,
        )

    def _take_refusals(self, draining: _Draining, wanted: CopiesWanted) -> None:
        """What could not be copied waits for another pass; what fits nowhere may be discarded."""
        for key, code in zip(wanted.keys, map(told_code, wanted.codes), strict=True):
            entry = self._naming.names.get(key)
            place = None if entry is None else _place_on(entry, draining.rank)
            if entry is None or place is None:
                continue
            if code != Code.NO_SPACE or self._must_wait(entry, place):
                draining.walk.waiting += 1
            elif draining.discards:
                self._naming.evict([(entry, place)])
                _count(draining.discarded, entry)
                draining.walk.went += 1
            else:
                draining.walk.refused += 1

    def _next_of_drain(
        self, draining: _Draining, wanted: CopiesWanted, now: float
    ) -> list[tuple[Entry, Location]]:
        handed: list[tuple[Entry, Location]] = []
        if not draining.walk.has_ended:
            handed, after = self._walk(draining.rank, draining.cursor, wanted, draining)
            draining.walk.handed += len(handed)
            draining.walk.has_ended = after is None
            draining.cursor = after or 0
        if draining.walk.has_ended and not handed:
            draining.state = DrainState.BLOCKED if draining.walk.is_blocked else DrainState.RUNNING
            draining.refused = draining.walk.refused
            draining.walk = _Pass()
            draining.pass_at = now + _PAUSE_S
        return handed

    def _next_of_repair(self, wanted: CopiesWanted) -> list[tuple[Entry, Location]]:
        handed, after = self._walk(wanted.rank, self._repairs.pop(wanted.rank, 0), wanted, None)
        if after is not None:
            self._repairs[wanted.rank] = after
        return handed

    def _walk(
        self, rank: int, record: int, wanted: CopiesWanted, draining: _Draining | None
    ) -> tuple[list[tuple[Entry, Location]], int | None]:
        """What is to be copied from a record on, within bounds, and where to go on; None at the end."""
        count = min(wanted.count, self._limits.copy_objects)
        left = min(wanted.bytes, self._limits.copy_bytes)
        found, after = self._naming.names.from_record(rank, record, _LOOKED)
        handed: list[tuple[Entry, Location]] = []
        for number, entry in found:
            if len(handed) >= count or (handed and entry.size > left):
                return handed, number
            place = _place_on(entry, rank)
            is_to_go = (
                self._lacks_replicas(entry, place)
                if draining is None
                else self._visit(draining, entry, place)
            )
            if is_to_go and place is not None:
                handed.append((entry, place))
                left -= entry.size
        return handed, after

    def _must_wait(self, entry: Entry, place: Location) -> bool:
        """Whether a replica can neither be copied nor go now."""
        is_settled = entry.state is NameState.READABLE and place not in entry.unconfirmed
        return not is_settled or self._naming.may_not_go(entry.key)

    def _visit(self, draining: _Draining, entry: Entry, place: Location | None) -> bool:
        """See to a replica that is to go; whether it is to be copied first."""
        if place is None or self._must_wait(entry, place):
            draining.walk.waiting += 1
            return False
        is_safe = self._is_safe_without(entry, place)
        if is_safe and (place in draining.landed or not self._has_taker(entry)):
            draining.landed.discard(place)
            draining.walk.went += 1
            self._naming.evict([(entry, place)])
            return False
        return True

    def _takes(self, rank: int) -> bool:
        peer = self._table.peer(rank)
        return peer is not None and peer.takes_objects

    def _has_taker(self, entry: Entry) -> bool:
        """Whether one more replica could be somewhere."""
        holders = {place.rank for place in (*entry.replicas, *entry.leaving)}
        could = any(peer.takes_objects and peer.member.rank not in holders for peer in self._table.peers())
        return could and len(entry.replicas) < MAX_REPLICAS

    def _lacks_replicas(self, entry: Entry, place: Location | None) -> bool:
        """Whether this is the first replica of an object that has fewer than were asked for."""
        if place is None or entry.state is not NameState.READABLE or self._naming.copying.of(entry.key):
            return False
        asked = self._naming.copying.asked(entry.key)
        first = next((other for other in entry.replicas if other not in entry.unconfirmed), None)
        return first == place and len(entry.replicas) < asked and self._has_taker(entry)

    def _landed(self, entry: Entry) -> None:
        """A copy is a replica: what it stands in for may go."""
        self.copied += 1
        for place in entry.replicas:
            draining = self._draining(place.rank)
            if draining is None or draining.state not in _OPEN or not self._is_safe_without(entry, place):
                continue
            _count(draining.moved, entry)
            if self._must_wait(entry, place):
                draining.landed.add(place)
            else:
                draining.walk.went += 1
                self._naming.evict([(entry, place)])
            return

    def _is_safe_without(self, entry: Entry, place: Location) -> bool:
        """Whether a replica that is to stay is known to be readable."""
        others = [other for other in entry.replicas if other != place and other not in entry.unconfirmed]
        return any(self._takes(other.rank) for other in others)

    # Repair

    def repair(self) -> None:
        """The membership has changed: see whether objects have too few replicas."""
        if self._limits.repair:
            self._repairs = dict.fromkeys((peer.member.rank for peer in self._table.peers()), 0)

    def counters(self) -> dict[str, int]:
        """What ``status`` shows."""
        return {"copying": len(self._naming.copying), "copied": self.copied}


def _place_on(entry: Entry, rank: int) -> Location | None:
    """The replica of a name on a rank."""
    return next((place for place in entry.replicas if place.rank == rank), None)


def _count(counts: list[int], entry: Entry) -> None:
    counts[0] += 1
    counts[1] += entry.size
