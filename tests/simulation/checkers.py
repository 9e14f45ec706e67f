"""The invariants of the design, each judged from outside the code under test.

A checker is told what happened, keeps what it needs, and raises :class:`AssertionError` with the story of
the key.  The names are those of DESIGN: S1 integrity, S2 visibility, S3 fencing, S4 leases and pins,
S5 at most once, S6 space, S7 replicas, S8 removal, L2 bounded.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from mmc.actors.client.asking import ObjectInfo
from mmc.errors import Code
from mmc.identifiers import Location
from mmc.segments.layout import AT_ID, AT_RANK
from mmc.wire.codec import Header
from mmc.wire.operations import CommandKind, Operation
from mmc.wire.sequence import Frames
from tests.simulation.history import Act, Put, number_in

if TYPE_CHECKING:
    from tests.simulation.clients import ClientProcess
    from tests.simulation.cluster import Cluster
    from tests.simulation.inspection import Stored
    from tests.simulation.services import RankProcess
    from tests.simulation.world import Strand

_SLACK_S = 0.3
_RECENT_S = 1.0
_REFUSALS = (Code.DUPLICATE_SEQUENCE, Code.UNKNOWN_SEQUENCE)


class Checker:
    """What all checkers have."""

    name = ""

    def __init__(self, cluster: Cluster) -> None:
        """Judges one run."""
        self.cluster = cluster
        self.world = cluster.world

    def fail(self, sentence: str, subject: object = None) -> NoReturn:
        """The invariant does not hold; tells the story of a key, or of whatever it is about."""
        story = self.world.story
        told = story.tail() if subject is None else story.of(subject)
        raise AssertionError(f"{self.name}: {sentence}\n{told}")


class Integrity(Checker):
    """S1: a get returns exactly the bytes of one put of that key."""

    name = "S1 integrity"

    def read(self, key: bytes, content: bytes) -> Put:
        """Some bytes were read; returns the put they come from."""
        put = self.cluster.history.by_number.get(number_in(content))
        if put is None or put.key != key:
            self.fail(f"{key!r} reads as no put of it: {content[:16].hex()}", key)
        if put.content != content:
            self.fail(f"{key!r} reads as a torn put {put.number}", key)
        if put.is_refused:
            self.fail(f"{key!r} reads as put {put.number}, which was refused: {put.code!r}", key)
        put.read = True
        return put

    def finished_put(self, put: Put) -> None:
        """A put was answered."""
        if put.read and put.is_refused:
            self.fail(f"put {put.number} was read and then refused: {put.code!r}", put.key)

    def sized(self, key: bytes, info: ObjectInfo) -> None:
        """A size was told."""
        if all(put.size != info.size for put in self.cluster.history.puts[key]):
            self.fail(f"{key!r} is said to have {info.size} bytes, which no put of it has", key)


class Visibility(Checker):
    """S2: what a put acknowledged, every later get finds, until removed, evicted or its rank lost."""

    name = "S2 visibility"

    def __init__(self, cluster: Cluster) -> None:
        """Nothing was lost."""
        super().__init__(cluster)
        self._doomed: dict[bytes, dict[int, Location]] = {}
        self._copies: set[Location] = set()
        self._doomed_until: dict[bytes, float] = {}
        self._lost_early: dict[int, str] = {}
        self._commanded: set[Location] = set()
        self._going: set[tuple[str, int, int]] = set()
        self.given_up: set[int] = set()
        self._refused: set[tuple[int, int]] = set()

    def doom(self, key: bytes, command: int, place: Location) -> None:
        """The meta service has commanded a replica to go."""
        self._doomed.setdefault(key, {})[command] = place
        self._commanded.add(place)

    def copied(self, place: Location) -> None:
        """A place was granted to a copy: what removes its name goes on until it is gone, published or not."""
        self._copies.add(place)

    def displaced(self, places: tuple[Location, ...]) -> None:
        """After a restart, an unconfirmed claim was void against an older object that was reported."""
        self._commanded.update(places)

    def decided(self, key: bytes, epoch: int, command: int, place: Location, code: Code) -> None:
        """A command was acknowledged, carried out or refused."""
        if code in (Code.LEASED, Code.WRONG_STATE):
            self._refused.add((epoch, command))
            if code == Code.WRONG_STATE and place in self._copies:
                return  # it is commanded again
            self._commanded.discard(place)
        doomed = self._doomed.get(key, {})
        if command in doomed:
            self._doomed[key] = {c: p for c, p in doomed.items() if p != place or c > command}
            self._doomed_until[key] = self.world.now

    def forget_commands(self) -> None:
        """The meta service has lost its commands."""
        for key, commands in self._doomed.items():
            if commands:
                self._doomed_until[key] = self.world.now
        self._doomed.clear()

    def retired(self, rank: RankProcess, record: int, reason: str, command: int | None) -> None:
        """A rank is about to invalidate a published record, perhaps by a command of this number."""
        stored = rank.inspection.stored(record)
        if stored is not None and command is not None and (rank.actor.term >> 32, command) in self._refused:
            self.fail(f"{stored.key!r} goes by command {command}, which was refused", stored.key)
        put = None if stored is None else self.cluster.history.by_number.get(stored.number)
        if stored is None or put is None or put.key != stored.key:
            return
        if (
            reason == "wipe" and put.removed_at is not None
        ):  # until now, whoever did not know that the rank was given up could find it
            put.removed_at = self.world.now
        self._going.add((rank.name, record, put.number))
        places = [(*place, put.number) for place in self.cluster.places_of(put)]
        if not self._going.issuperset(places):
            return
        if not stored.is_current and put.has_several_places:
            return
        number = rank.actor.rank
        place = Location(-1 if number is None else number, record, stored.generation)
        commanded = reason in ("command", "wipe") or place in self._commanded
        if commanded or (reason.startswith("refus") and self._is_replaced(put)):
            put.gone_at = self.world.now
        elif put.is_acknowledged and put.gone_at is None:
            self.fail(f"put {put.number} was acknowledged and is lost by {reason}", put.key)
        else:
            self._lost_early[put.number] = reason

    def _is_replaced(self, put: Put) -> bool:
        """Whether, after a restart of the meta service, its key has another object, or one that just went."""
        if not self.world.counts["meta restarts"]:
            return False
        if self._doomed.get(put.key) or self._doomed_until.get(put.key, 0.0) > self.world.now - _RECENT_S:
            return True
        return any(
            stored.key == put.key and stored.number != put.number
            for rank in (*self.cluster.ranks, *self.cluster.lost_segments)
            for stored in rank.inspection.all_stored()
        )

    def finished_put(self, put: Put) -> None:
        """A put was answered."""
        if put.is_acknowledged and self.given_up.intersection(self.cluster.segments_of(put)):
            put.gone_at = self.world.now
        elif put.is_acknowledged:
            for rank in self.cluster.ranks:
                for stored in rank.inspection.all_stored():
                    if stored.number == put.number:
                        self._is_not_left_behind(put, stored)
        reason = self._lost_early.get(put.number)
        if put.is_acknowledged and reason is not None and not self.cluster.places_of(put):
            self.fail(f"put {put.number} is acknowledged and was lost by {reason}", put.key)

    def changed_term(self, rank: RankProcess) -> None:
        """A rank's segment is of a new term: what is of an older one is worth nothing from now on."""
        for stored in rank.inspection.all_stored():
            put = self.cluster.history.by_number.get(stored.number)
            if put is not None and put.is_acknowledged and put.gone_at is None:
                self._is_not_left_behind(put, stored)

    def _is_not_left_behind(self, put: Put, stored: Stored) -> None:
        if not put.has_several_places and put.key == stored.key and not stored.is_current:
            self.fail(f"put {put.number} was acknowledged under a term that is over", put.key)

    def lost_rank(self, rank: RankProcess) -> None:
        """The meta service has given a rank up: what is published there, or is about to be, is lost."""
        self.given_up.add(rank.shared.words[AT_ID])
        number = rank.shared.words[AT_RANK] - 1
        for key, doomed in self._doomed.items():
            if any(place.rank == number for place in doomed.values()):
                self._doomed[key] = {c: place for c, place in doomed.items() if place.rank != number}
                self._doomed_until[key] = self.world.now
        for stored in rank.inspection.all_stored():
            put = self.cluster.history.by_number.get(stored.number)
            if put is None:
                continue
            put.gone_at = self.world.now
            if self.given_up.issuperset(self.cluster.segments_of(put)):
                put.removed_at = put.removed_at or self.world.now

    def file_lost(self) -> None:
        """Nobody knows any more which ranks there were: the lost are not missed, the given up may return.

        Epochs, and with them the numbers of commands, may begin again.
        """
        self._refused.clear()
        for rank in (*self.cluster.ranks, *self.cluster.lost_segments):
            is_given_up = rank.shared.words[AT_ID] in self.given_up
            for stored in rank.inspection.all_stored():
                put = self.cluster.history.by_number.get(stored.number)
                if put is not None and (is_given_up or rank in self.cluster.lost_segments):
                    put.gone_at = put.gone_at or self.world.now
                    put.removed_at = None
        self.given_up.clear()

    def returned(self, segment: int) -> None:
        """A segment is a member's again, or for the first time."""
        self.given_up.discard(segment)

    def missed(self, key: bytes, started: float) -> None:
        """A get or exist that began at a time said that there is no such object."""
        if self._doomed.get(key) or self._doomed_until.get(key, 0.0) >= started:
            return
        for put in self.cluster.history.puts[key]:
            if not put.is_acknowledged or put.finished is None or put.finished >= started:
                continue
            if put.gone_at is None and not self._is_beyond_doubt(put):
                self.fail(f"put {put.number} was acknowledged and is not found", key)

    def _is_beyond_doubt(self, put: Put) -> bool:
        """Whether it lies on ranks alone that, once their file was lost, did not come back in time."""
        table = self.cluster.meta.actor.roster.table
        members = {peer.member.segment for peer in table.peers()}
        is_over = not self.cluster.settings.persists and table.all_reported()
        return is_over and members.isdisjoint(self.cluster.segments_of(put))


@dataclass(slots=True, eq=False)
class OpenView:
    """A view that a client has open: it must keep these bytes."""

    client: str
    rank: RankProcess
    put: Put
    record: int
    at: int
    memory: memoryview


class Fencing(Checker):
    """S3: nothing is given out again while an earlier access could write it or be mistaken for valid.

    Every store of a client is looked at as it becomes visible: it may only meet what is reserved for that
    client.  What a rank retired by command is free only once the meta service has heard of it.
    """

    name = "S3 fencing"

    def __init__(self, cluster: Cluster) -> None:
        """Nothing is open, and nothing awaited."""
        super().__init__(cluster)
        self.unheard: dict[tuple[str, int], int] = {}
        self.movers: set[int] = set()

    def stored_word(self, rank: RankProcess, client: str, client_id: int, record: int) -> None:
        """A client's store to a record becomes visible."""
        holder = rank.inspection.block(record).holder
        if rank.inspection.client_of(holder) != client_id:
            self.fail(f"{client} writes record {record} of {rank.name}, not its own", rank.name)

    def stored_payload(self, rank: RankProcess, client: str, client_id: int, start: int, end: int) -> None:
        """A client writes bytes of the payload."""
        for block in rank.inspection.blocks():
            inside = block.offset <= start and end <= block.offset + block.capacity
            if inside and rank.inspection.client_of(block.holder) == client_id:
                return
        self.fail(f"{client} writes bytes {start} to {end} of {rank.name}, not its own", rank.name)

    def received(self, rank: RankProcess, thread: str, client_id: int, start: int, end: int) -> None:
        """Bytes that a client of another host has sent are about to be stored: into a write of its own.

        A mover writes under the versions of others' puts.
        """
        for block in rank.inspection.blocks():
            if block.offset <= start and end <= block.offset + block.capacity:
                writer = rank.inspection.writer_of(block.record)
                if writer and (writer == client_id or client_id in self.movers):
                    return
                self.fail(f"{thread} stores late bytes in record {block.record}, where no such write is open")

    def commanded(self, rank: RankProcess, record: int, command: int) -> None:
        """A rank has retired a record by command."""
        self.unheard[rank.name, record] = command

    def begun_term(self, rank: RankProcess) -> None:
        """What an earlier term commanded is no command any more."""
        for place in [place for place in self.unheard if place[0] == rank.name]:
            del self.unheard[place]

    def released(self, rank: RankProcess, record: int) -> None:
        """A rank is about to free a record and its bytes."""
        command = self.unheard.pop((rank.name, record), None)
        number = rank.actor.rank
        meta = self.cluster.meta
        if command is None or number is None or meta.dead or rank.actor.term >> 32 != meta.actor.epoch:
            return
        if command in meta.actor.naming.outboxes.of(number).outstanding:
            self.fail(f"record {record} of {rank.name} is free before command {command} is heard")


class Pins(Checker):
    """S4: pinned bytes are not reused."""

    name = "S4 pins"

    def __init__(self, cluster: Cluster) -> None:
        """No view is open."""
        super().__init__(cluster)
        self.views: dict[OpenView, None] = {}

    def opened(self, view: OpenView) -> None:
        """A client has opened a view."""
        self.views[view] = None

    def check(self, view: OpenView) -> None:
        """An open view has its bytes."""
        if bytes(view.memory) != view.put.content:
            self.fail(f"the view of put {view.put.number} by {view.client} changed", view.put.key)

    def closing(self, view: OpenView) -> None:
        """A client is about to close a view."""
        self.check(view)
        self.views.pop(view, None)

    def crashed(self, client: str) -> None:
        """The views of the dead are no views."""
        for view in [view for view in self.views if view.client == client]:
            del self.views[view]

    def released(self, rank: RankProcess, record: int) -> None:
        """A rank is about to free a record and its bytes."""
        for view in self.views:
            if view.rank.shared is rank.shared and view.record == record:
                self.fail(f"record {record}, viewed by {view.client}, is freed", view.put.key)


class Leases(Checker):
    """S4: an explicitly leased object is neither evicted nor removed before its lease ends."""

    name = "S4 leases"

    def __init__(self, cluster: Cluster) -> None:
        """Nothing is promised."""
        super().__init__(cluster)
        self._promises: dict[tuple[bytes, str], float] = {}
        self._lost_at: dict[bytes, float] = {}

    def granted(self, key: bytes, client: str, asked: float, until: float) -> None:
        """A client may count on a lease until a time, unless what it asked for was lost since it asked."""
        if until <= self.world.now or self._lost_at.get(key, 0.0) >= asked:
            return
        self._promises[key, client] = max(until, self._promises.get((key, client), 0.0))
        is_lossless = not self.cluster.lost_ranks and not self.cluster.lost_segments
        if is_lossless and not self.cluster.places_of_key(key):
            self.fail(f"{key!r} is leased to {client} and is not there", key)

    def ended(self, key: bytes, client: str) -> None:
        """A client is about to end its lease."""
        self._promises.pop((key, client), None)

    def lost(self, rank: RankProcess) -> None:
        """A rank's memory is lost, or the rank is given up: a lease ends with the last replica."""
        held = {stored.key for stored in rank.inspection.all_stored()}
        lost = {other.name for other in self.cluster.lost_segments if other in self.cluster.ranks}
        lost.add(rank.name)
        elsewhere = {key for key in held for name, _ in self.cluster.places_of_key(key) if name not in lost}
        self._lost_at.update(dict.fromkeys(held - elsewhere, self.world.now))
        for promise in [promise for promise in self._promises if promise[0] in held - elsewhere]:
            del self._promises[promise]

    def left(self, client: str) -> None:
        """A client that said goodbye counts on nothing any more."""
        for promise in [promise for promise in self._promises if promise[1] == client]:
            del self._promises[promise]

    def retired(self, rank: RankProcess, record: int, reason: str) -> None:
        """A rank is about to invalidate a published record."""
        stored = rank.inspection.stored(record)
        if reason != "command" or stored is None:
            return
        for (key, client), until in self._promises.items():
            if key == stored.key and self.world.now < until:
                others = [place for place in self.cluster.places_of_key(key) if place != (rank.name, record)]
                if not others:
                    self.fail(f"{key!r} is leased to {client} until {until} and goes now", key)


class AtMostOnce(Checker):
    """S5: each request takes effect at most once, and its reply is one and the same."""

    name = "S5 at most once"

    def __init__(self, cluster: Cluster) -> None:
        """Nothing was executed."""
        super().__init__(cluster)
        self._executed: set[tuple[str, int, int, int]] = set()
        self._replies: dict[tuple[str, int, int, int], Frames] = {}

    def executing(self, service: str, epoch: int, session: int, sequence: int) -> None:
        """A service is about to execute a mutating request."""
        which = (service, epoch, session, sequence)
        if which in self._executed:
            self.fail(f"request {sequence} of session {session} is executed again by {service}")
        self._executed.add(which)

    def sending(self, service: str, header: Header, frames: Frames, code: int) -> None:
        """A service sends a reply."""
        which = (service, header.epoch, header.session, header.sequence)
        if which not in self._executed:
            return
        if header.operation == Operation.FAILURE and code in _REFUSALS:
            return
        if self._replies.setdefault(which, frames) != frames:
            self.fail(f"request {header.sequence} of session {header.session}: two replies")


class Space(Checker):
    """S6: extents tile the capacity; when all is released, all comes back in one piece."""

    name = "S6 space"

    def check(self, rank: RankProcess) -> None:
        """Extents do not overlap, and what is not free adds up."""
        capacity = rank.segment.layout.capacity
        at = used = 0
        for block in sorted(rank.inspection.blocks(), key=lambda block: block.offset):
            if block.offset < at:
                self.fail(f"record {block.record} of {rank.name} overlaps another", rank.name)
            at = block.offset + block.capacity
            used += block.capacity
        if at > capacity:
            self.fail(f"an extent of {rank.name} ends at {at}, beyond {capacity}")
        free = rank.actor.keeper.table.space.free_bytes
        if used + free != capacity:
            self.fail(f"{rank.name}: {used} bytes in extents and {free} free are not {capacity}")

    def is_whole(self, rank: RankProcess) -> bool:
        """Whether everything came back, in one piece."""
        space = rank.actor.keeper.table.space
        free = space.free_bytes == space.largest == rank.segment.layout.capacity
        return free and not rank.inspection.blocks()


class Replicas(Checker):
    """S7: replicas are on distinct ranks, on preferred ones, and on as many machines as there are."""

    name = "S7 replicas"

    def __init__(self, cluster: Cluster) -> None:
        """Nothing was placed."""
        super().__init__(cluster)
        self._begun: set[Strand] = set()
        self._machines: dict[tuple[int, int], int] = {}

    def attempted(self, client: ClientProcess, counter: int) -> None:
        """A client is about to place a put for the first time, or again after ranks have refused it."""
        strand = self.world.current
        if strand is None or strand in self._begun:
            return
        self._begun.add(strand)
        ranks = {*client.actor.writable_ranks, *client.actor.far_ranks()}
        self._machines[client.id, counter] = len({client.actor.members[rank].boot for rank in ranks})

    def claimed(self, client_id: int, counter: int, key: bytes, ranks: list[int]) -> None:
        """A name is claimed for places on these ranks."""
        if len(ranks) != len(set(ranks)):
            self.fail(f"{key!r} is claimed twice on a rank: {ranks}", key)
        puts = [put for put in self.cluster.history.puts[key] if put.client_id == client_id]
        if not any(len(ranks) == put.replicas and set(put.preferred) <= set(ranks) for put in puts):
            self.fail(f"{key!r} is claimed on {ranks}, as no put wants it", key)
        peers = self.cluster.meta.actor.roster.table.peers()
        segments = {peer.member.segment for peer in peers if peer.member.rank in ranks}
        known = (*self.cluster.ranks, *self.cluster.lost_segments)
        machines = [rank.host.boot for rank in known if rank.shared.words[AT_ID] in segments]
        if any(put.preferred for put in puts) or len(machines) < len(ranks):
            return
        found, wanted = len(set(machines)), min(len(ranks), self._machines.get((client_id, counter), 0))
        if len(ranks) > 1 and found < wanted:
            self.fail(f"{key!r} is claimed on {ranks}, on {found} of {wanted} machines", key)


class Removal(Checker):
    """S8: once a remove has answered 0, no later get or exist finds that object on ranks in touch."""

    name = "S8 removal"

    def __init__(self, cluster: Cluster) -> None:
        """No rank has reported."""
        super().__init__(cluster)
        self._in_touch_since: dict[int, float] = {}
        self._file_lost_at = -math.inf

    def file_lost(self) -> None:
        """From now on nobody removes what lies on ranks that are not remembered."""
        self._file_lost_at = self.world.now

    def reported(self, segment: int) -> None:
        """A rank has reported: from now on it is in touch."""
        self._in_touch_since[segment] = self.world.now

    def removed(self, act: Act, key: bytes) -> None:
        """A remove has answered 0."""
        for put in self.cluster.history.puts[key]:
            if put.finished is not None and put.finished < act.started and self._is_remembered(put):
                put.removed_at = put.removed_at or self.world.now

    def _is_remembered(self, put: Put) -> bool:
        """Whether the meta service knows of all ranks that have it, of those too that it has given up."""
        if put.finished is None or put.finished > self._file_lost_at:
            return True
        peers = self.cluster.meta.actor.roster.table.peers()
        known = {peer.member.segment for peer in peers} | self.cluster.checkers.visibility.given_up
        return known.issuperset(self.cluster.segments_of(put))

    def read(self, started: float, put: Put) -> None:
        """A get that began at a time has found a put."""
        if self._is_gone(put, started):
            self.fail(f"put {put.number} was removed and is read", put.key)

    def found(self, started: float, key: bytes) -> None:
        """An exist that began at a time has found something."""
        puts = self.cluster.history.puts[key]
        if all(put.is_refused or self._is_gone(put, started) for put in puts):
            self.fail(f"{key!r} exists, and every put of it was removed or refused", key)

    def _is_gone(self, put: Put, started: float) -> bool:
        """Whether nobody may find a put: it was removed, and lies on no rank that does not know that."""
        if put.removed_at is None or put.removed_at >= started:
            return False
        peers = self.cluster.meta.actor.roster.table.peers()
        reported = {peer.member.segment for peer in peers if peer.reported}
        in_touch = {segment for segment in reported if self._in_touch_since[segment] < started}
        return in_touch.issuperset(self.cluster.segments_of(put))


class Bounded(Checker):
    """L2: every call returns by its deadline plus a small constant, and the time it stood still."""

    name = "L2 bounded"

    def finished(self, act: Act, stalled: float) -> None:
        """A call returned."""
        latest = act.deadline + stalled - act.stalled_before + _SLACK_S
        if self.world.now > latest:
            late = self.world.now - act.deadline
            self.fail(f"{act.kind} of {act.keys} by {act.client} is {late:.3f} s late", act.client)


class Checkers:
    """All of them."""

    def __init__(self, cluster: Cluster) -> None:
        """For one run."""
        self.integrity = Integrity(cluster)
        self.visibility = Visibility(cluster)
        self.fencing = Fencing(cluster)
        self.pins = Pins(cluster)
        self.leases = Leases(cluster)
        self.at_most_once = AtMostOnce(cluster)
        self.space = Space(cluster)
        self.replicas = Replicas(cluster)
        self.removal = Removal(cluster)
        self.bounded = Bounded(cluster)


DEPARTURES = (CommandKind.EVICT, CommandKind.REMOVE, CommandKind.REVOKE)
