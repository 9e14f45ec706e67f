"""The seeded swarm: draws a configuration, a mix of mishaps and a mix of operations, and runs them.

Nothing is as likely to find a fault as a run that does few things often, so each seed leaves out most
kinds of mishaps and prefers some kinds of operations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from random import Random
from types import MappingProxyType

from mmc.identifiers import MAX_REPLICAS
from mmc.wire.operations import DrainAct
from tests.simulation.chance import Mix
from tests.simulation.clients import ClientProcess
from tests.simulation.cluster import KEYS, Cluster
from tests.simulation.ending import Ending
from tests.simulation.hosts import Host, draw_spread, draw_wide_spread, spread_out
from tests.simulation.network import EVERYBODY
from tests.simulation.outages import Outages
from tests.simulation.processes import Process
from tests.simulation.services import RankProcess
from tests.simulation.settings import Settings, beside_chance, draw_settings, large_settings
from tests.simulation.themes import CROWDED, THEMES
from tests.simulation.wires import Quality

OPERATIONS = 40
"""How many operations a run begins."""

_MANY_OPERATIONS = 400
_RUNNING_MAX = 8
_CLIENTS_MAX = 11
_CLIENTS_OF_MANY_HOSTS_MAX = 16
_STEPS_LEAST = 1850
_THEMED = 0.2
_SHARE_OF_POOL = 3
_INTO_BUFFERS = 0.4
_WIDE_SHARE = 0.3
_COPIED = 0.4


def draw_mix(random: Random) -> Mix:
    """How often what goes wrong in a run."""

    def rate(*choices: float) -> float:
        return random.choice(choices)

    return Mix(
        lost=rate(0.0, 0.0, 0.02, 0.1, 0.3),
        repeated=rate(0.0, 0.02, 0.2),
        delayed=rate(0.0, 0.02, 0.2),
        event_lost=rate(0.0, 0.0, 0.3, 0.9),
        event_repeated=rate(0.0, 0.3),
        latency_s=rate(0.0001, 0.001),
        delay_s=rate(0.01, 0.3, 3.0),
        run_length=rate(8.0, 30.0, 120.0, 1e6),
        long_stall=rate(0.0, 0.02, 0.1),
        longest_stall_s=rate(0.01, 0.3, 1.5),
        buffers_stores=random.random() < 0.8,
        crash_at_stall=rate(0.0, 0.0, 0.001),
        ordered=random.random() < 0.4,
        uneven=random.random() < 0.3,
        drift=rate(0.0, 0.0, 0.0001, 0.009),
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run was."""

    seed: int
    steps: int
    counts: Counter[str]
    fingerprint: str


class Swarm:
    """Drives one cluster by chance."""

    def __init__(self, cluster: Cluster, random: Random, focus: Mapping[str, float]) -> None:
        """``random`` decides what is done; what goes wrong meanwhile is the cluster's own chance.

        ``focus``: weights of operations and rates of mishaps, by name, instead of those that are drawn; also
        ``gap_s``, the time from one to the next, ``away_s``, for how long what restarts is gone, ``keys``,
        how many there are, and ``skew``: the n-th key is used n ** -skew times as often as the first.
        """
        self._cluster = cluster
        self._random = random
        self._focus = focus
        self._acts: list[tuple[Callable[[ClientProcess], None], float]] = [
            (self._put, 10),
            (self._get, 8),
            (self._exist, 3),
            (self._query, 1),
            (self._remove, random.choice((0, 2, 4))),
            (self._lease, random.choice((0, 0, 2))),
            (self._unlease, random.choice((0, 1))),
            (self._view, random.choice((0, 1, 3))),
            (self._list, random.choice((0, 1))),
            (self._status, random.choice((0, 0, 1))),
        ]
        self._mishaps: list[tuple[Callable[[], None], float]] = [
            (self._crash, random.choice((0.0, 0.0, 0.05))),
            (self._arm, random.choice((0.0, 0.05))),
            (self._leave, random.choice((0.0, 0.0, 0.03))),
            (self._cut, random.choice((0.0, 0.0, 0.03))),
            (self._stop, random.choice((0.0, 0.0, 0.02))),
            (self._sleep, random.choice((0.0, 0.0, 0.0, 0.01))),
            (self._cancel, random.choice((0.0, 0.0, 0.03))),
            (self._restart_broker, random.choice((0.0, 0.0, 0.0, 0.04))),
            (self._restart_meta, random.choice((0.0, 0.0, 0.0, 0.03))),
            (self._restart_rank, random.choice((0.0, 0.0, 0.0, 0.03))),
            (self._lose_segment, random.choice((0.0, 0.0, 0.0, 0.01))),
            (self._rank_leaves, random.choice((0.0, 0.0, 0.0, 0.01))),
            (self._bring_back, 0.0 if cluster.mix.ordered else random.choice((0.0, 0.0, 0.2))),
        ]
        self._is_wide = cluster.settings.spread.is_wide
        self._mishaps += self._host_mishaps()
        self._beside = beside_chance(random)
        copies = len(cluster.ranks) > 1 and self._beside.random() < _COPIED
        self._movings: list[tuple[Callable[[], None], float]] = [
            (self._move, 0.2 if copies else 0.0),
            (self._drain, self._beside.choice((0.02, 0.1)) if copies else 0.0),
        ]
        self._movings = [(act, focus.get(_name(act), rate)) for act, rate in self._movings]
        self._acts = [(act, focus.get(_name(act), weight)) for act, weight in self._acts]
        self._mishaps = [(act, focus.get(_name(act), rate)) for act, rate in self._mishaps]
        self._gap_s = focus.get("gap_s", random.choice((0.0005, 0.005, 0.05)))
        self._batch = random.choice((1, 1, 3))
        self._skew = focus.get("skew", 0.0)
        self._keys = int(focus.get("keys", random.choice((1, 3, len(cluster.history.keys)))))
        self._timeouts = random.choice(((0.2, 1.0), (0.5,), (1.0, 2.0)))
        if self._is_wide:
            self._batch = random.choice((1, 3, 6))

    def _host_mishaps(self) -> list[tuple[Callable[[], None], float]]:
        """What may happen between hosts, and how often."""
        if not self._is_wide:
            return []
        outages, rates = Outages(self._cluster, self._random), self._cluster.settings.spread.mishaps
        mishaps = (outages.partition, outages.kill_some_host, outages.kill_server, outages.break_wire)
        return [(mishap, rates.get(_name(mishap), 0.0)) for mishap in mishaps]

    def run(self, operations: int) -> None:
        """Begin so many operations, and more until enough has happened."""
        begun = 0
        while begun < operations or self._cluster.world.steps < _STEPS_LEAST:
            begun += 1
            self._cluster.world.run_for(self._random.expovariate(1 / self._gap_s))
            for mishap, rate in self._mishaps:
                if self._random.random() < rate:
                    mishap()
            for moving, rate in self._movings:
                if rate and self._beside.random() < rate:
                    moving()
            self._cluster.world.run_until(lambda: len(self._cluster.history.running) < _RUNNING_MAX, 10.0)
            acts = [act for act, _ in self._acts]
            act = self._random.choices(acts, [weight for _, weight in self._acts])[0]
            act(self._client())

    def _client(self) -> ClientProcess:
        if not self._cluster.living_clients():
            self._cluster.add_client()
        return self._random.choice(self._cluster.living_clients())

    def _some_keys(self) -> list[bytes]:
        keys = self._cluster.history.keys[: self._keys]
        weights = [(number + 1) ** -self._skew for number in range(len(keys))] if self._skew else None
        return self._random.choices(keys, weights, k=self._random.randint(1, self._batch))

    def _timeout(self) -> float:
        return self._random.choice(self._timeouts)

    def _put(self, client: ClientProcess) -> None:
        keys = self._some_keys()
        most = self._cluster.settings.capacity // _SHARE_OF_POOL
        sizes = [self._random.choice((8, 64, 700, 4096, self._random.randint(8, most))) for _ in keys]
        sizes = [min(size, most) for size in sizes]
        ranks = min(len(self._cluster.ranks), MAX_REPLICAS)
        replicas = self._random.choice((1, 1, self._random.randint(1, ranks)))
        if self._is_wide and ranks > 1 and self._random.random() < _WIDE_SHARE:
            replicas = self._random.randint(2, min(3, ranks))
        preferred: tuple[int, ...] = ()
        if self._random.random() < 0.2:
            known = sorted(client.actor.members if self._is_wide else client.actor.ranks)
            preferred = tuple(self._random.sample(known, min(len(known), replicas)))
        self._cluster.operations.put(client, keys, sizes, replicas, preferred, self._timeout())

    def _get(self, client: ClientProcess) -> None:
        keys = self._some_keys()
        sizes = None
        if self._random.random() < _INTO_BUFFERS:
            puts = [self._cluster.history.puts[key] for key in keys]
            sizes = [self._random.choice(known).size if known else 8 for known in puts]
        self._cluster.operations.get(client, keys, sizes, self._timeout())

    def _exist(self, client: ClientProcess) -> None:
        self._cluster.operations.exist(client, self._some_keys(), self._timeout())

    def _query(self, client: ClientProcess) -> None:
        self._cluster.operations.query(client, self._some_keys(), self._timeout())

    def _remove(self, client: ClientProcess) -> None:
        self._cluster.operations.remove(client, self._some_keys(), self._timeout())

    def _free_of_leasing(self, client: ClientProcess) -> list[bytes]:
        return [key for key in set(self._some_keys()) if key not in client.leasing]

    def _lease(self, client: ClientProcess) -> None:
        keys = sorted(self._free_of_leasing(client))
        ttl_ms = self._random.choice((100, 1000, 3000))
        if keys:
            self._cluster.operations.lease(client, keys, ttl_ms, self._timeout())

    def _unlease(self, client: ClientProcess) -> None:
        keys = sorted(self._free_of_leasing(client))
        if keys:
            abandoned = self._random.random() < 0.5
            self._cluster.operations.unlease(client, keys, self._timeout(), abandoned=abandoned)

    def _view(self, client: ClientProcess) -> None:
        hold_s = self._random.choice((0.001, 0.1, 1.0))
        self._cluster.operations.view(client, self._some_keys()[0], hold_s, self._timeout())

    def _list(self, client: ClientProcess) -> None:
        self._cluster.operations.list(client, self._timeout())

    def _status(self, client: ClientProcess) -> None:
        self._cluster.operations.status(client, self._timeout())

    # Copies

    def _mover(self) -> ClientProcess | None:
        """A client, which copies what the meta service wants copied from a rank that it sees."""
        movers = [client for client in self._cluster.living_clients() if client.writable]
        movers = [client for client in movers if client.actor.ranks]
        return self._beside.choice(movers) if movers else None

    def _draining(self, mover: ClientProcess) -> list[int]:
        peers = self._cluster.meta.actor.roster.table.peers()
        return [peer.member.rank for peer in peers if peer.drains and peer.member.rank in mover.actor.ranks]

    def _move(self) -> None:
        mover = self._mover()
        if mover is not None:
            rank = self._beside.choice(self._draining(mover) or sorted(mover.actor.ranks))
            self._cluster.operations.move(mover, rank, self._beside.choice((0.2, 2.0)))

    def _drain(self) -> None:
        """Begin the drain of a rank that holds something, or have one take objects again."""
        mover = self._mover()
        if mover is None:
            return
        act = self._beside.choice((DrainAct.BEGIN, DrainAct.BEGIN, DrainAct.DISCARD))
        on_rank = self._cluster.meta.actor.naming.names.on_rank
        rank = max(mover.actor.ranks, key=lambda number: len(on_rank(number)))
        draining = self._draining(mover)
        if draining:
            act, rank = DrainAct.CANCEL, self._beside.choice(draining)
        self._cluster.operations.drain(mover, rank, act, 1.0)

    # Mishaps

    def _replace(self) -> None:
        most = _CLIENTS_OF_MANY_HOSTS_MAX if self._is_wide else _CLIENTS_MAX
        if len(self._cluster.clients) < most:
            self._cluster.add_client(self._some_host() if self._is_wide else None)

    def _some_host(self) -> Host:
        wires = self._cluster.wires
        return self._random.choice([host for host in self._cluster.hosts if not wires.is_down(host.number)])

    def _crash(self) -> None:
        if len(self._cluster.living_clients()) > 1:
            self._cluster.crash_client(self._client())
            self._replace()

    def _arm(self) -> None:
        if len(self._cluster.living_clients()) > 1:
            self._cluster.arm_crash(self._client(), self._random.randint(1, 200))
            self._replace()

    def _leave(self) -> None:
        busy = {act.client for act in self._cluster.history.running}
        idle = [client for client in self._cluster.living_clients() if client.name not in busy]
        if idle and len(self._cluster.living_clients()) > 1:
            self._cluster.let_client_leave(self._random.choice(idle))
            self._replace()

    def _processes(self) -> list[Process]:
        return [self._cluster.meta, *self._cluster.ranks, *self._cluster.living_clients()]

    def _cut(self) -> None:
        network, world = self._cluster.network, self._cluster.world
        seconds = self._random.choice((0.05, 0.5, 3.0, 3.0, 12.0))
        one, other = self._random.sample([process.route for process in self._processes()], 2)
        match self._random.randrange(5):
            case 0 | 1:
                world.count("cuts")
                network.isolate(one, seconds)
            case 2:
                world.count("one-way cuts")
                network.cut(one, EVERYBODY, seconds)
            case 3:
                world.count("one-way cuts")
                network.cut(EVERYBODY, one, seconds)
            case _:
                world.count("link cuts")
                network.cut(one, other, seconds)

    def _stop(self) -> None:
        self._cluster.world.count("stops")
        self._random.choice(self._processes()).stop(self._random.choice((0.05, 0.5, 3.0)))

    def _sleep(self) -> None:
        self._cluster.world.count("minutes asleep")
        self._random.choice(self._processes()).stop(60.0)

    def _cancel(self) -> None:
        acts = list(self._cluster.history.running)
        if acts:
            self._cluster.operations.cancel(self._random.choice(acts))

    def _away(self) -> float:
        return self._focus.get("away_s", self._random.choice((0.0, 0.0, 0.5, 3.0, 12.0)))

    def _rank(self) -> RankProcess:
        return self._random.choice(self._cluster.ranks)

    def _restart_broker(self) -> None:
        network = self._cluster.network
        broker = self._random.choice((network.requests, network.events))
        self._cluster.restart_broker(broker, self._random.choice((0.0, 0.1, 1.0)))

    def _restart_meta(self) -> None:
        self._cluster.restart_meta(self._away())

    def _restart_rank(self) -> None:
        self._cluster.restart_rank(self._rank(), self._away())

    def _lose_segment(self) -> None:
        self._cluster.restart_rank(self._rank(), self._away(), keeps_segment=False)

    def _rank_leaves(self) -> None:
        self._cluster.let_rank_leave(self._rank())

    def _bring_back(self) -> None:
        self._cluster.network.bring_back(self._cluster.meta.actor.epoch)


def _name(method: Callable[..., None]) -> str:
    return method.__name__.removeprefix("_")


def run_large(seed: int, ranks: int) -> Outcome:
    """One run of a cluster of so many ranks, eight a host, with keys used as unevenly as real ones (Zipf).

    Raises:
        AssertionError: an invariant was broken.
    """
    focus = {"keys": 4 * ranks, "skew": 1.0, "gap_s": 0.005}
    settings = spread_out(large_settings(ranks), draw_wide_spread(seed, ranks))
    return run_seed(seed, _MANY_OPERATIONS, settings, draw_mix(Random(seed)), focus)


def prepare(seed: int) -> tuple[Settings, Mix, Random]:
    """What a seed stands for."""
    random = Random(seed)
    return draw_settings(random), draw_mix(random), random


def run_seed(
    seed: int,
    operations: int = OPERATIONS,
    settings: Settings | None = None,
    mix: Mix | None = None,
    focus: Mapping[str, float] = MappingProxyType({}),
    hosts: int | None = None,
    quality: Quality | None = None,
) -> Outcome:
    """One run, of a configuration, a mix of mishaps and operations that are drawn unless given.

    So is the number of hosts where nothing else is given; else it is one.  ``quality``: what connections
    between hosts are like, instead of what is drawn.

    Raises:
        AssertionError: an invariant was broken.
    """
    drawn, drawn_mix, random = prepare(seed)
    is_drawn = settings is None and mix is None and not focus
    spread = draw_spread(seed, hosts if hosts or is_drawn else 1)
    if is_drawn and random.random() < _THEMED:
        theme = random.choice(THEMES)
        focus = theme.focus
        if theme.mix is not None:
            drawn, drawn_mix = CROWDED, theme.mix
    keys = max(KEYS, int(focus.get("keys", 0)))
    settings = settings or drawn
    if spread is not None:
        spread = replace(spread, quality=quality or spread.quality)
        settings = spread_out(settings, spread)
    with settings.spread.in_place(), Cluster(seed, settings, mix or drawn_mix, keys) as cluster:
        world = cluster.world
        world.counts["clusters of several hosts"] += settings.spread.is_wide
        try:
            cluster.start()
            Swarm(cluster, random, focus).run(operations)
            Ending(cluster).check()
            cluster.tally()
        except AssertionError as failure:
            failure.add_note(f"in step {world.steps} of seed {seed}")
            raise
        return Outcome(seed, world.steps, world.counts, world.story.fingerprint())
