"""Where the checkers look on: hooks around the actors' acts, and around every store of a client."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from mmc.actors.local.obedience import Outcome, orders_of
from mmc.actors.meta.naming import Naming
from mmc.actors.reception import Request
from mmc.cache.commands import Command
from mmc.cache.membership import MemberState
from mmc.cache.names import Entry, Names, NameState
from mmc.cache.records import RecordState
from mmc.errors import Code
from mmc.identifiers import Location, Member, PackedVersion, unpack_version
from mmc.segments.layout import AT_CLOSING, AT_ID, AT_RANK, AT_TERM, CLOCK, RECORD_WORDS, WORD
from mmc.wire.codec import Header, decode_body
from mmc.wire.operations import Operation
from mmc.wire.replies import Commands, Failure
from mmc.wire.sequence import Frames
from tests.simulation.checkers import DEPARTURES
from tests.simulation.memory import Processor
from tests.simulation.observing import observe

if TYPE_CHECKING:
    from mmc.cache.membership import MembershipTable, Peer
    from tests.simulation.cluster import Cluster
    from tests.simulation.services import MetaProcess, RankProcess
    from tests.simulation.world import World


def watch_requests(cluster: Cluster, service: str, receiver: object, epoch_of: object) -> None:
    """See every execution of a mutating request (S5)."""

    def executing(request: Request, _now: float) -> None:
        if request.session is not None and request.message.mutates:
            epoch = getattr(epoch_of, "epoch")  # noqa: B009 - a reception
            cluster.checkers.at_most_once.executing(service, epoch, request.session.number, request.sequence)

    observe(receiver, "_execute", before=executing)


def watch_reply(cluster: Cluster, source: str, header: Header, frames: Frames) -> None:
    """See every reply of a service (S5)."""
    if header.session:
        code = 0
        if header.operation == Operation.FAILURE:
            body = decode_body(header, frames)
            code = body.code if isinstance(body, Failure) else 0
        cluster.checkers.at_most_once.sending(source, header, frames, code)


class NamesWatch:
    """Counts the transitions of names."""

    def __init__(self, world: World, names: Names) -> None:
        """Of one epoch."""
        self._world = world
        self._names = names
        self._before = NameState.ABSENT
        for change in ("claim", "confirm", "report", "withdraw", "restore", "drop"):
            observe(names, change, before=self._changing, after=partial(self._changed, change))

    def _state(self, which: Entry | bytes) -> NameState:
        entry = self._names.get(which.key if isinstance(which, Entry) else which)
        return NameState.ABSENT if entry is None else entry.state

    def _changing(self, which: Entry | bytes, *_: object, **_named: object) -> None:
        self._before = self._state(which)

    def _changed(
        self, change: str, _result: object, which: Entry | bytes, *_: object, **_named: object
    ) -> None:
        self._world.count(f"name {self._before.name.lower()} > {self._state(which).name.lower()} by {change}")


class MembershipWatch:
    """Counts what becomes of ranks."""

    def __init__(self, cluster: Cluster, table: MembershipTable) -> None:
        """Of one meta service."""
        self._cluster = cluster
        self._world = cluster.world
        self._known = False
        self._table = table
        observe(table, "_set_state", before=self._moving)
        observe(table, "give_up", before=self._given_up)
        observe(table, "finish_report", before=self._reported)
        observe(table, "admit", before=self._joining, after=self._admitted)

    def _moving(self, peer: Peer, state: MemberState) -> None:
        old = MemberState(peer.member.state)
        if old != state:
            self._world.count(f"rank {old.name.lower()} > {MemberState(state).name.lower()}")

    def _reported(self, rank: int) -> None:
        peer = self._table.peer(rank)
        if peer is not None:
            self._cluster.checkers.removal.reported(peer.member.segment)

    def _given_up(self, _rank: int) -> None:
        self._world.count("rank given up")

    def _joining(self, wanted: Member, *_: object) -> None:
        self._known = wanted.segment in {peer.member.segment for peer in self._table.peers()}

    def _admitted(self, admitted: tuple[Member, bool], *_: object) -> None:
        member, wipes = admitted
        self._cluster.checkers.visibility.returned(member.segment)
        if wipes:
            self._world.count("rank returned after its grace")
        else:
            self._world.count("rank returned within its grace" if self._known else "rank joined")


class MetaWatch:
    """Looks on at one meta service, whichever epoch it is in."""

    def __init__(self, cluster: Cluster, meta: MetaProcess) -> None:
        """From its first act on."""
        self._cluster = cluster
        self._meta = meta
        self._naming: Naming | None = None
        watch_requests(cluster, f"{meta.name} {meta.life}", meta.actor, meta.actor.reception)
        MembershipWatch(cluster, meta.actor.roster.table)
        self.look()

    def look(self) -> None:
        """Begin with the names of a new epoch."""
        naming = self._meta.actor.naming
        if naming is self._naming:
            return
        self._naming = naming
        self._cluster.checkers.visibility.forget_commands()
        observe(naming.outboxes, "add", after=self._issued)
        observe(naming, "_settle", before=self._settled)
        observe(naming, "lose_rank", before=self._lost)
        observe(naming, "claim", after=self._claimed)
        observe(naming, "replicate", after=self._copying)
        observe(naming, "report", before=self._reporting)
        NamesWatch(self._cluster.world, naming.names)

    def _issued(
        self, command: Command, kind: int, place: Location, entry: Entry,
        argument: int = 0, *, is_lease: bool = False,
    ) -> None:  # fmt: skip
        self._cluster.world.log("command", kind, place, entry.key, command.id, argument)
        if kind in DEPARTURES:
            self._cluster.checkers.visibility.doom(entry.key, command.id, place)
            self._cluster.world.count("evictions" if kind == DEPARTURES[0] else "removals")

    def _copying(self, code: Code, key: bytes, version: PackedVersion, place: Location, _now: float) -> None:
        self._cluster.world.log("copy", key, unpack_version(version), place, code)
        self._cluster.world.count(f"copy: {code.name.lower()}")
        if code == Code.OK:
            self._cluster.checkers.visibility.copied(place)
        for put in self._cluster.history.puts[key]:
            put.is_copied |= code == Code.OK

    def _settled(self, command: Command, code: Code, _now: float) -> None:
        self._cluster.world.log("settled", command.kind, command.entry.key, command.id, code)
        if command.kind in DEPARTURES:
            epoch = self._meta.actor.epoch
            decided = self._cluster.checkers.visibility.decided
            decided(command.entry.key, epoch, command.id, command.place, code)

    def _reporting(
        self, key: bytes, version: PackedVersion, _size: int, place: Location, _until: float, _now: float
    ) -> None:
        assert self._naming is not None
        entry = self._naming.names.get(key)
        self._cluster.world.log("report", key, place, entry is None or entry.state.name)
        if entry is not None and entry.state is NameState.CLAIMED and entry.version != version:
            self._cluster.checkers.visibility.displaced(entry.replicas)

    def _lost(self, number: int, _now: float) -> None:
        self._cluster.lost_ranks += 1
        self._cluster.world.log("lost rank", number)
        members = {peer.member.segment for peer in self._meta.actor.roster.table.peers()}
        for rank in (*self._cluster.ranks, *self._cluster.lost_segments):
            words = rank.shared.words  # two segments may have been of this rank, each in an epoch of its own
            if words[AT_RANK] == number + 1 and words[AT_ID] not in members:
                self._cluster.checkers.visibility.lost_rank(rank)
                self._cluster.checkers.leases.lost(rank)

    def _claimed(
        self, code: Code, key: bytes, version: PackedVersion, size: int,
        places: tuple[Location, ...], _now: float,
    ) -> None:  # fmt: skip
        unpacked = unpack_version(version)
        self._cluster.world.log("claim", key, unpacked, size, places, code)
        ranks = [place.rank for place in places]
        self._cluster.checkers.replicas.claimed(unpacked.client, unpacked.counter, key, ranks)


class RankWatch:
    """Looks on at one rank."""

    def __init__(self, cluster: Cluster, rank: RankProcess) -> None:
        """From its first act on."""
        self._cluster = cluster
        self._rank = rank
        self._reason = "repair"
        keeper, obedience, desk = rank.actor.keeper, rank.actor.obedience, rank.actor.desk
        watch_requests(cluster, f"{rank.name} {rank.life}", desk, desk.reception)
        self._because(obedience, "carry_out", "command")
        self._because(keeper, "wipe", "wipe")
        self._because(keeper, "detach", "death")
        self._because(desk, "_return", "return")
        self._because(desk, "_forfeit", "forfeit")
        self._because(rank.actor, "_reported", "refusal")
        self._because(rank.actor, "_confirmed", "refused confirmation")
        observe(keeper, "retire", before=self._retiring)
        observe(keeper, "reserve", after=self._reserved)
        observe(keeper, "adopt", after=self._adopted)
        observe(keeper, "acknowledge_all", before=self._begun)
        observe(keeper.table, "move", before=self._moving)
        observe(obedience, "carry_out", after=self._obeyed)

    def _because(self, target: object, name: str, reason: str) -> None:
        def begin(*_arguments: object) -> None:
            self._reason = reason

        def end(*_arguments: object) -> None:
            self._reason = "repair"

        observe(target, name, before=begin, after=end)

    def _retiring(self, doomed: list[int], commands: Mapping[int, int] = MappingProxyType({})) -> None:
        for record in doomed:
            stored = self._rank.inspection.stored(record)
            place = (self._rank.name, record)
            if record in commands:
                self._cluster.checkers.fencing.commanded(self._rank, record, commands[record])
            if stored is None:
                self._cluster.world.log("retire", place, self._reason)
                continue
            self._cluster.world.log("retire", place, stored.key, stored.number, self._reason)
            self._cluster.checkers.leases.retired(self._rank, record, self._reason)
            command = commands.get(record)
            self._cluster.checkers.visibility.retired(self._rank, record, self._reason, command)

    def _reserved(self, record: int | None, holder: object, size: int, grant: int) -> None:
        name = self._rank.name
        if record is not None:
            self._cluster.world.count("record free > reserved")
        self._cluster.world.log("reserve", (name, record), getattr(holder, "client", 0), size)

    def _adopted(self, done: bool, record: int, *, restamp: bool = False) -> None:
        if done:
            stored = self._rank.inspection.stored(record)
            facts = (stored.key, stored.number) if stored else ()
            self._cluster.world.log("adopt", (self._rank.name, record), *facts)

    def _begun(self) -> None:
        self._cluster.world.log("joins", self._rank.name)
        self._cluster.checkers.fencing.begun_term(self._rank)

    def _moving(self, record: int, state: RecordState) -> None:
        old = self._rank.actor.keeper.table[record].state
        self._cluster.world.count(f"record {old.name.lower()} > {state.name.lower()}")
        if state is RecordState.FREE:
            self._cluster.world.log("free", (self._rank.name, record))
            self._cluster.checkers.fencing.released(self._rank, record)
            self._cluster.checkers.pins.released(self._rank, record)

    def _obeyed(self, outcomes: list[Outcome], commands: Commands, _now_ms: int) -> None:
        orders = {order.id: order for order in orders_of(commands)}
        for outcome in outcomes:
            order = orders[outcome.id]
            self._cluster.world.log("obey", self._rank.name, outcome.id, order.kind, outcome.code)


class StoreWatch:
    """Looks on at what clients store in one rank's segment (S3)."""

    def __init__(self, cluster: Cluster, rank: RankProcess) -> None:
        """From here on."""
        self._cluster = cluster
        self._rank = rank
        layout = rank.segment.layout
        self._records = range(
            layout.records_at // WORD, layout.records_at // WORD + layout.records * RECORD_WORDS
        )
        self._pins = range(layout.pins_at // WORD, layout.pins_at // WORD + layout.clients * layout.pins)
        self._index = range(layout.index_at // WORD, layout.records_at // WORD)
        rank.shared.on_words = self.on_words
        rank.shared.on_payload = self.on_payload

    def on_words(self, processor: Processor, at: int) -> None:
        """A store becomes visible."""
        client = self._cluster.writer_named(processor.name)
        if at == AT_CLOSING and self._rank.shared.words[at] == self._rank.shared.words[AT_TERM]:
            self._cluster.checkers.visibility.changed_term(self._rank)
        if client is None or at in self._index:
            return
        fencing = self._cluster.checkers.fencing
        if at in self._records:
            record, word = divmod(at - self._records.start, RECORD_WORDS)
            if word != CLOCK:
                fencing.stored_word(self._rank, client.name, client.id, record)
        elif at in self._pins:
            row = (at - self._pins.start) // self._rank.segment.layout.pins
            if self._rank.inspection.client_of(row + 1) != client.id:
                fencing.fail(f"{client.name} writes pins of row {row}, not its own")
        else:
            fencing.fail(f"{client.name} writes word {at}, which is the rank's")

    def on_payload(self, processor: Processor, start: int, end: int) -> None:
        """Bytes are about to be written."""
        client = self._cluster.writer_named(processor.name)
        layout = self._rank.segment.layout
        if client is None:
            return
        fencing = self._cluster.checkers.fencing
        if start >= layout.payload_at:
            start, end = start - layout.payload_at, end - layout.payload_at
            fencing.stored_payload(self._rank, client.name, client.id, start, end)
            if processor.received_from is not None:
                fencing.received(self._rank, client.name, processor.received_from, start, end)
        else:
            record = (start // WORD - self._records.start) // RECORD_WORDS
            fencing.stored_word(self._rank, client.name, client.id, record)
