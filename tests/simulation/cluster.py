"""A whole cluster, of one host or several, simulated: every act and every mishap is a method call.

The swarm and the state machine of hypothesis drive it; the checkers look on.
"""

from __future__ import annotations

from functools import partial
from types import TracebackType
from typing import Self

from mmc.cache.membership import MemberState
from mmc.identifiers import ANY_RANK
from mmc.segments.layout import AT_DEAD, AT_ID, Segment
from mmc.wire.codec import RETRY, Header
from mmc.wire.sequence import Frames
from tests.simulation.chance import CALM, Chance, Mix
from tests.simulation.checkers import Checkers
from tests.simulation.clients import ClientProcess
from tests.simulation.clocks import Clock
from tests.simulation.data_servers import Agent, ServingStrand
from tests.simulation.history import History, Put
from tests.simulation.hosts import BOOT_ID, Host
from tests.simulation.memory import SharedBytes
from tests.simulation.network import META_ROUTE, Broker, Network
from tests.simulation.observing import observe
from tests.simulation.operations import Operations
from tests.simulation.services import MetaProcess, RankProcess
from tests.simulation.settings import Settings
from tests.simulation.watching import MetaWatch, RankWatch, StoreWatch, watch_reply
from tests.simulation.wires import Wires
from tests.simulation.world import BOOT, World

KEYS = 6
_START_S = 10.0
_SEEN = {"replays": "replays", "joins": "joins", "duplicate sequence": "duplicates refused"}
_CHECKED_EVERY = 15
_LEAVING_S = 3.0
_LOOKS_S = 0.01
_AHEAD_S = 5000.0
_RANKS_A_STEP = 8
"""For so many ranks a step passes before it is looked again whether all of them are as they should be."""
_SAID_DEAD = 0.5
_KEPT = 0.5


class Cluster:
    """A meta service, ranks and clients."""

    def __init__(self, seed: int, settings: Settings, mix: Mix, keys: int = KEYS) -> None:
        """Everything starts at once, in calm; from then on ``mix`` rules."""
        self.settings = settings
        self.mix = mix
        self.world = World(Chance(seed, CALM))
        self.network = Network(self.world)
        self.wires = Wires(self.world, self.network, settings.spread.quality)
        self.history = History([b"key %d" % number for number in range(keys)])
        self.checkers = Checkers(self)
        self.operations = Operations(self)
        self.network.on_send = self._sent
        self.written = b""
        self.lost_ranks = 0
        self.lost_segments: list[RankProcess] = []
        clock = self._drifting()
        self._meta_clock = self._drifting()
        self.hosts = self._make_hosts(clock)
        self._lives = 0
        self._unchecked = 0
        self._segments: dict[tuple[int, str], SharedBytes] = {}
        self._threads: dict[str, ServingStrand] = {}
        self.clients: list[ClientProcess] = []
        self._by_name: dict[str, ClientProcess] = {}
        self.looked_at_every = max(1, settings.ranks // _RANKS_A_STEP)
        self.ranks: list[RankProcess] = []
        self._numbers: dict[str, int] = {}
        self.meta = self._make_meta()
        for number in range(settings.ranks):
            wanted = number if settings.numbered else ANY_RANK
            host = self._host_of(settings.spread.ranks, number)
            self.ranks.append(self._make_rank(f"rank-{number}", host, wanted, None))
            self._numbers[self.ranks[number].name] = number
        for number in range(settings.clients):
            writable = number >= settings.read_only_clients
            self.add_client(self._host_of(settings.spread.clients, number), writable=writable)

    def start(self) -> None:
        """Wait until everybody is there, and let things go wrong from then on."""
        ready = self.world.run_until(self.is_up, _START_S, self.looked_at_every)
        assert ready, f"the cluster does not start\n{self.world.story.tail()}"
        self.world.chance.mix = self.mix
        self.network.forget_links()
        for process in (*self.ranks, *self.clients):
            process.processor.left = self.world.chance.run_length()

    def is_up(self) -> bool:
        """Whether every rank is live and every client sees all of them."""
        if self.meta.dead or any(rank.dead for rank in self.ranks):
            return False
        table = self.meta.actor.roster.table
        peers = table.peers()
        live = (
            table.all_reported()
            and len(peers) == len(self.ranks)
            and all(peer.reported and peer.member.state == MemberState.LIVE for peer in peers)
        )
        live = live and all(rank.actor.is_live for rank in self.ranks)
        return live and all(self._sees_everybody(client) for client in self.living_clients())

    def _sees_everybody(self, client: ClientProcess) -> bool:
        """Whether a client knows all ranks, and uses those of its host."""
        here = [rank for rank in self.ranks if rank.host is client.host]
        is_wide = self.settings.spread.is_wide
        knows_all = not is_wide or len(client.actor.members) == len(self.ranks)
        return knows_all and len(client.actor.ranks) == len(here)

    # Processes

    def _life(self) -> int:
        self._lives += 1
        return self._lives

    def _drifting(self) -> Clock:
        """The clock of a host."""
        drift = self.mix.drift
        if not drift:
            return Clock(BOOT, 1.0, 0.0)
        self.world.count("drifting clocks")
        random = self.world.chance.random
        return Clock(BOOT, random.uniform(1 - drift, 1 + drift), random.uniform(0.0, _AHEAD_S))

    def _make_hosts(self, clock: Clock) -> list[Host]:
        spread = self.settings.spread
        clocks = [clock, *(self._drifting() for _ in range(1, spread.hosts))]
        self.network.settle(META_ROUTE, spread.meta)
        return [
            Host(number, BOOT_ID + machine, f"host-{number}", its)
            for number, (machine, its) in enumerate(zip(spread.machines, clocks, strict=True))
        ]

    def _host_of(self, hosts: tuple[int, ...], number: int) -> Host:
        return self.hosts[hosts[number] if hosts else 0]

    def _make_meta(self) -> MetaProcess:
        meta = MetaProcess(
            self.world, self.network, self._meta_clock, self.settings,
            self.written if self.settings.persists else b"", self._persist,
        )  # fmt: skip
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

    def _make_rank(self, name: str, host: Host, wanted: int, shared: SharedBytes | None) -> RankProcess:
        self.network.settle(name.encode(), host.number)
        rank = RankProcess(self.world, self.wires, host, self.settings, name, wanted, shared, self._is_alive)
        rank.life = self._life()
        rank.on_thread = self._thread_began
        self._segments[host.number, f"/{name}"] = rank.shared
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
        with rank.processor.undisturbed():
            if not rank.processor.buffer:
                self.checkers.space.check(rank)
            rank.actor.check()

    def _is_alive(self, client_id: int) -> bool:
        if any(client.id == client_id and not client.dead for client in self.clients):
            return True
        return any(agent.id == client_id for rank in self.ranks if not rank.dead for agent in agents_of(rank))

    def _thread_began(self, thread: ServingStrand) -> None:
        """A thread of a data server begins."""
        self._threads[thread.processor.name] = thread

    def _segment_at(self, host: int, path: str) -> SharedBytes | None:
        """The memory behind a path of a host."""
        return self._segments.get((host, path))

    def add_client(self, host: Host | None = None, *, writable: bool = True) -> ClientProcess:
        """A client process starts, on a living host: on the first unless another is named."""
        name = f"client-{len(self.clients)}"
        host = host or next(host for host in self.hosts if not self.wires.is_down(host.number))
        self.network.settle(name.encode(), host.number)
        client = ClientProcess(
            self.world, self.wires, host, self.settings, name, self._segment_at, writable=writable
        )
        client.life = self._life()
        observe(client.actor, "next_put", after=partial(self.checkers.replicas.attempted, client))
        client.processor.on_crash = lambda: self.crash_client(client)
        self.clients.append(client)
        self._by_name[name] = client
        client.start()
        return client

    def living_clients(self) -> list[ClientProcess]:
        """The clients that neither crashed nor are about to leave."""
        return [client for client in self.clients if not client.dead and not client.is_leaving]

    def client_named(self, name: str) -> ClientProcess | None:
        """The client process of this name."""
        return self._by_name.get(name)

    def writer_named(self, name: str) -> ClientProcess | Agent | None:
        """Who writes as this client: a process of a rank's host, or a thread of its data server."""
        thread = self._threads.get(name)
        return self._by_name.get(name) if thread is None else thread.agent

    def rank_of(self, segment: Segment) -> RankProcess:
        """The rank whose segment this is, as some process sees it."""
        identity = segment.id
        known = (*self.ranks, *self.lost_segments)
        return next(rank for rank in known if rank.shared.words[AT_ID] == identity)

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

    def let_client_leave(self, client: ClientProcess) -> None:
        """A client without calls says goodbye and ends."""
        self.world.count("client departures")
        self.checkers.leases.left(client.name)
        client.is_leaving = True

        def leave() -> None:
            client.leave()
            self.history.abandon(client.name, self.world.now)
            client.crash()

        client.spawn(leave)

    def restart_meta(self, away_s: float = 0.0) -> None:
        """The meta service dies and starts again, with what it wrote down."""
        if self.meta.dead:
            return
        self.world.count("meta restarts")
        self.meta.crash()
        self.world.after(away_s, self._revive_meta)

    def _revive_meta(self) -> None:
        if not self.settings.persists:
            self.checkers.visibility.file_lost()
            self.checkers.removal.file_lost()
        self.meta = self._make_meta()

    def restart_rank(self, rank: RankProcess, away_s: float = 0.0, *, keeps_segment: bool = True) -> None:
        """A local service dies and starts again: on its segment, or, where that is lost, on a new one."""
        if rank.dead:
            return
        if keeps_segment:
            self.world.count("local service restarts")
            rank.crash()
        else:
            self.lose_rank(rank)
        self.world.after(away_s, lambda: self.revive_rank(rank, rank.shared if keeps_segment else None))

    def lose_rank(self, rank: RankProcess) -> None:
        """A local service dies with its segment."""
        self.world.count("segments lost")
        rank.crash()
        self.world.log("segment lost", rank.name)
        self.lost_segments.append(rank)
        self.checkers.leases.lost(rank)
        if self.world.chance.random.random() < _SAID_DEAD:
            rank.shared.words[AT_DEAD] = 1

    def revive_rank(self, rank: RankProcess, shared: SharedBytes | None) -> None:
        """A dead local service starts again: on this segment, or on a new one."""
        again = self._make_rank(rank.name, rank.host, rank.wanted, shared)
        again.processor.left = self.world.chance.run_length()
        self.ranks[self.ranks.index(rank)] = again

    def let_rank_leave(self, rank: RankProcess) -> None:
        """A local service leaves the cluster; later it comes back, with its segment or without."""
        if rank.dead:
            return
        self.world.count("local service departures")
        keeps_segment = self.world.chance.random.random() < _KEPT
        left_at = self.world.now

        def leave() -> None:
            rank.locked(lambda: rank.actor.leave(rank.now))
            strand = self.world.current
            assert strand is not None
            while not rank.actor.has_left and self.world.now < left_at + _LEAVING_S:
                strand.pause(_LOOKS_S)
            self.restart_rank(rank, _LEAVING_S, keeps_segment=keeps_segment)

        rank.spawn(leave)

    def restart_broker(self, broker: Broker, away_s: float) -> None:
        """A broker dies with all that is in it, and starts again."""
        self.world.count("broker restarts")
        self.network.restart(broker, away_s)

    def _sent(self, source: bytes, header: Header, frames: Frames) -> None:
        if header.flags & RETRY:
            self.world.count("retries")
        name = source.decode()
        if name == self.meta.name:
            watch_reply(self, f"{name} {self.meta.life}", header, frames)
            return
        if name in self._numbers:
            watch_reply(self, f"{name} {self.ranks[self._numbers[name]].life}", header, frames)

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

    def segments_of(self, put: Put) -> list[int]:
        """The ids of the segments, lost ones too, that hold the bytes of a put."""
        return [
            rank.shared.words[AT_ID]
            for rank in (*self.ranks, *self.lost_segments)
            if any(stored.number == put.number for stored in rank.inspection.all_stored())
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


def agents_of(rank: RankProcess) -> list[Agent]:
    """The threads of a rank's data server that write."""
    return [] if rank.server is None else rank.server.agents
