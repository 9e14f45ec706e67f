"""What goes wrong between hosts, and with whole hosts: each mishap is a method call, and may be drawn."""

from __future__ import annotations

from random import Random

from tests.simulation.cluster import Cluster
from tests.simulation.hosts import Host
from tests.simulation.network import NOWHERE

_CUTS_S = (0.05, 0.5, 3.0, 3.0, 12.0)
_AWAY_S = (0.5, 3.0, 12.0, 20.0)
_STEPS_MAX = 300


class Outages:
    """Mishaps of one cluster of several hosts."""

    def __init__(self, cluster: Cluster, random: Random) -> None:
        """``random`` decides what happens to whom."""
        self._cluster = cluster
        self._random = random
        self._world = cluster.world

    # Mishaps, as they are

    def part(self, hosts: set[int], others: set[int], seconds: float, *, one_way: bool = False) -> None:
        """Some hosts are cut off from others; ``NOWHERE``: from the meta service that is on none of them."""
        network = self._cluster.network
        network.part(hosts, others, seconds)
        if not one_way:
            network.part(others, hosts, seconds)
        self._world.count("one-way partitions" if one_way else "partitions")

    def kill_host(self, host: Host, away_s: float) -> bool:
        """A host dies with its memory and all that runs there, and comes back; False: not now."""
        cluster, wires = self._cluster, self._cluster.wires
        ranks = [rank for rank in cluster.ranks if rank.host is host]
        down = [other for other in cluster.hosts if wires.is_down(other.number)]
        has_meta = cluster.settings.spread.meta == host.number
        if any(rank.dead for rank in ranks) or (has_meta and cluster.meta.dead):
            return False
        if len(down) + 1 >= len(cluster.hosts):
            return False
        self._world.count("hosts killed")
        self._world.log("host dies", host.address, away_s)
        wires.host_down(host.number)
        clients = [client for client in cluster.clients if client.host is host and not client.dead]
        for client in clients:
            cluster.crash_client(client)
        if has_meta:
            cluster.restart_meta(away_s)
        for rank in ranks:
            cluster.lose_rank(rank)
        self._world.after(away_s, lambda: self._come_back(host, len(clients)))
        return True

    def _come_back(self, host: Host, clients: int) -> None:
        cluster = self._cluster
        self._world.log("host is back", host.address)
        self._world.count("hosts returned")
        cluster.wires.host_up(host.number)
        for rank in [rank for rank in cluster.ranks if rank.host is host]:
            cluster.revive_rank(rank, None)
        for _ in range(clients):
            cluster.add_client(host)

    # Mishaps, as they are drawn

    def partition(self) -> None:
        """A set of hosts is cut off: from the other hosts, from the meta service, or from both."""
        cluster, random = self._cluster, self._random
        every = {host.number for host in cluster.hosts}
        hosts = set(random.sample(sorted(every), random.randint(1, len(every) - 1)))
        meta = {cluster.settings.spread.meta}
        others = random.choice((every - hosts, meta - hosts, (every | meta) - hosts)) or every - hosts
        one_way = random.random() < 0.3
        if one_way and random.random() < 0.5:
            hosts, others = others, hosts
        self.part(hosts, others, random.choice(_CUTS_S), one_way=one_way)
        if meta & (hosts | others) and meta != {NOWHERE}:
            self._world.count("partitions from the meta service's host")

    def kill_some_host(self) -> None:
        """Any host dies."""
        self.kill_host(self._random.choice(self._cluster.hosts), self._random.choice(_AWAY_S))

    def kill_server(self) -> None:
        """A rank dies within the next steps that a thread of its data server takes in memory."""
        cluster, random = self._cluster, self._random
        threads = [t for rank in cluster.ranks if rank.server and not rank.dead for t in rank.server.threads]
        if not threads:
            return
        thread = random.choice(threads)
        away_s = random.choice((0.0, 0.0, 0.5, 3.0))
        steps = random.randint(1, _STEPS_MAX)

        def die() -> None:
            self._world.count("data servers killed at work")
            cluster.restart_rank(thread.rank, away_s)

        thread.processor.on_crash = die
        thread.processor.armed = thread.processor.left = steps

    def break_wire(self) -> None:
        """A connection breaks or falls silent."""
        wires = self._cluster.wires.open_wires()
        if wires:
            self._random.choice(wires).break_down()
