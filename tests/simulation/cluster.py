"""A whole cluster of one host, simulated: every act and every mishap is a method call.

The swarm and the state machine of hypothesis drive it; the checkers look on.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from mmc.cache.membership import MemberState
from mmc.segments.layout import AT_ID, Segment
from mmc.wire.codec import RETRY, Header
from mmc.wire.sequence import Frames
from tests.simulation.chance import CALM, Chance, Mix
from tests.simulation.checkers import Checkers
from tests.simulation.clients import ClientProcess
from tests.simulation.history import History, Put
from tests.simulation.memory import SharedBytes
from tests.simulation.network import Network
from tests.simulation.operations import Operations
from tests.simulation.services import MetaProcess, RankProcess
from tests.simulation.settings import Settings
from tests.simulation.watching import MetaWatch, RankWatch, StoreWatch, watch_reply
from tests.simulation.world import World

KEYS = 6
_START_S = 10.0
_SEEN = {"replays": "replays", "joins": "joins", "duplicate sequence": "duplicates refused"}
_CHECKED_EVERY = 5


class Cluster:
    """A meta service, ranks and clients."""

    def __init__(self, seed: int, settings: Settings, mix: Mix, keys: int = KEYS) -> None:
        """Everything starts at once, in calm; from then on ``mix`` rules."""
        self.settings = settings
        self.mix = mix
        self.world = World(Chance(seed, CALM))
        self.network = Network(self.world)
        self.history = History([b"key %d" % number for number in range(keys)])
        self.checkers = Checkers(self)
        self.operations = Operations(self)
        self.network.on_send = self._sent
        self.written = b""
        self.lost_ranks = 0
        self._lives = 0
        self._unchecked = 0
        self._segments: dict[str, SharedBytes] = {}
        self.clients: list[ClientProcess] = []
        self._by_name: dict[str, ClientProcess] = {}
        self.ranks: list[RankProcess] = []
        self.meta = self._make_meta()
        for number in range(settings.ranks):
            self.ranks.append(self._make_rank(f"rank-{number}", None))
        for number in range(settings.clients):
            writable = number >= settings.read_only_clients
            self.add_client(writable=writable)

    def start(self) -> None:
        """Wait until everybody is there, and let things go wrong from then on."""
        ready = self.world.run_until(self.is_up, _START_S)
        assert ready, f"the cluster does not start\n{self.world.story.tail()}"
        self.world.chance.mix = self.mix
        for process in (*self.ranks, *self.clients):
            process.processor.left = self.world.chance.run_length()

    def is_up(self) -> bool:
        """Whether every rank is live and every client sees all of them."""
        peers = self.meta.actor.roster.table.peers()
        live = len(peers) == len(self.ranks) and all(
            peer.reported and peer.member.state == MemberState.LIVE for peer in peers
        )
        live = live and all(rank.actor.is_live for rank in self.ranks)
        return live and all(len(client.actor.ranks) == len(self.ranks) for client in self.living_clients())

    # Processes

    def _life(self) -> int:
        self._lives += 1
        return self._lives

    def _make_meta(self) -> MetaProcess:
        written = self.written if self.settings.persists else b""
        meta = MetaProcess(self.world, self.network, self.settings, written, self._persist)
        meta.life = self._life()
        watch = MetaWatch(self, meta)

        def check() -> None:
            watch.look()
            self._unchecked += 1
            if self._unchecked % _CHECKED_EVERY == 0:
                meta.actor.check()

        meta.after_step = check
        meta.start()
        return meta

    def _persist(self, data: bytes) -> None:
        self.written = data

    def _make_rank(self, name: str, shared: SharedBytes | None) -> RankProcess:
        rank = RankProcess(self.world, self.network, self.settings, name, shared, self._is_alive)
        rank.life = self._life()
        self._segments[f"/{name}"] = rank.shared
        RankWatch(self, rank)
        StoreWatch(self, rank)
        rank.after_step = lambda: self._check_rank(rank)
        rank.start()
        return rank

    def _check_rank(self, rank: RankProcess) -> None:
        self._unchecked += 1
        if self._unchecked % _CHECKED_EVERY == 0:
            self.check_rank(rank)

    def check_rank(self, rank: RankProcess) -> None:
        """The rank's own invariants, and S6."""
        if not rank.processor.buffer:
            self.checkers.space.check(rank)
        rank.actor.check()

    def _is_alive(self, client_id: int) -> bool:
        return any(client.id == client_id and not client.dead for client in self.clients)

    def add_client(self, *, writable: bool = True) -> ClientProcess:
        """A client process starts."""
        name = f"client-{len(self.clients)}"
        client = ClientProcess(
            self.world, self.network, self.settings, name, self._segments.get, writable=writable
        )
        client.life = self._life()
        client.processor.on_crash = lambda: self.crash_client(client)
        self.clients.append(client)
        self._by_name[name] = client
        client.start()
        return client

    def living_clients(self) -> list[ClientProcess]:
        """The clients that have not crashed."""
        return [client for client in self.clients if not client.dead]

    def client_named(self, name: str) -> ClientProcess | None:
        """The client process of this name."""
        return self._by_name.get(name)

    def rank_of(self, segment: Segment) -> RankProcess:
        """The rank whose segment this is, as some process sees it."""
        identity = segment.id
        return next(rank for rank in self.ranks if rank.shared.words[AT_ID] == identity)

    # Mishaps

    def crash_client(self, client: ClientProcess) -> None:
        """A client dies, at once."""
        if client.dead:
            return
        self.world.count("client crashes")
        client.crash()
        self.history.abandon(client.name, self.world.now)
        self.checkers.pins.crashed(client.name)

    def arm_crash(self, client: ClientProcess, operations: int) -> None:
        """A client dies after so many of its next memory operations."""
        client.processor.armed = operations
        client.processor.left = operations

    def restart_meta(self) -> None:
        """The meta service dies and starts again, with what it wrote down."""
        self.world.count("meta restarts")
        self.meta.crash()
        self.meta = self._make_meta()

    def restart_rank(self, rank: RankProcess) -> RankProcess:
        """A local service dies and starts again on its segment."""
        self.world.count("rank restarts")
        rank.crash()
        again = self._make_rank(rank.name, rank.shared)
        self.ranks[self.ranks.index(rank)] = again
        return again

    def _sent(self, source: bytes, header: Header, frames: Frames) -> None:
        if header.flags & RETRY:
            self.world.count("retries")
        name = source.decode()
        if name == self.meta.name:
            watch_reply(self, f"{name} {self.meta.life}", header, frames)
            return
        for rank in self.ranks:
            if rank.name == name:
                watch_reply(self, f"{name} {rank.life}", header, frames)

    # Where things are

    def places_of(self, put: Put) -> list[tuple[str, int]]:
        """The readable records that hold the bytes of a put."""
        return [
            (rank.name, stored.record)
            for rank in self.ranks
            for stored in rank.inspection.all_stored()
            if stored.number == put.number and stored.is_current
        ]

    def places_of_key(self, key: bytes) -> list[tuple[str, int]]:
        """The published records that hold a key."""
        return [
            (rank.name, stored.record)
            for rank in self.ranks
            for stored in rank.inspection.all_stored()
            if stored.key == key
        ]

    def has_room(self) -> bool:
        """Whether neither leases nor the number of names stand in the way of a put."""
        naming = self.meta.actor.naming
        return not len(naming.leases) and len(naming.names) < self.settings.meta.objects_max

    def tally(self) -> None:
        """Count what the services that are alive have seen of retries."""
        for reception in (self.meta.actor.reception, *(r.actor.desk.reception for r in self.ranks)):
            for seen, counted in _SEEN.items():
                self.world.counts[counted] += reception.counters[seen]

    # The end

    def __enter__(self) -> Self:
        """The cluster itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing runs any more."""
        for process in (self.meta, *self.ranks, *self.clients):
            process.dead = process.processor.dead = True
        self.world.close()
