"""The end of a run: when nothing goes wrong any more, everything comes to rest, and all is accounted for.

What is listed is readable, and what is stored is listed.  Judged here as well:

- L1: a put of a third of a pool succeeds, whatever the pool is full of.
- L3: while the meta service is dead, every client reads what is on its host; the next one knows it all again.
- S6: once every object is removed, all space is free in one piece.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from mmc.cache.names import NameState
from mmc.cache.records import RecordState
from mmc.errors import Code
from mmc.wire.operations import DrainAct
from tests.simulation.chance import CALM
from tests.simulation.clients import ClientProcess
from tests.simulation.cluster import Cluster
from tests.simulation.history import SMALLEST, Act

REST: tuple[str, object] = ("", None)
_CALLS_S = 150.0
_REST_S = 40.0
_CALL_S = 20.0
"""So long a call may take at rest: where windows are small, an object comes a few bytes at a time."""
_ASLEEP_S = 100.0
_RECOVERY_S = 5.0
_OUTAGE_S = 1.0
_STILL_S = 1.2
_SHARE_OF_POOL = 3
_WITNESSES = 3
_LEASE_SLACK_S = 0.5


class Ending:
    """Brings one cluster to rest."""

    def __init__(self, cluster: Cluster) -> None:
        """Its driver begins nothing any more."""
        self._cluster = cluster
        self._world = cluster.world

    def check(self) -> None:
        """Everything, in order."""
        self._world.chance.mix = CALM
        self._cluster.network.heal()
        self._cluster.wires.heal()
        history = self._cluster.history
        self._await(self._are_awake, _ASLEEP_S, "everybody wakes")
        self._await(lambda: not history.running, _CALLS_S, "calls end")
        if not self._cluster.living_clients():
            self._cluster.add_client()
        for client in self._cluster.clients:
            client.processor.armed = None
            client.processor.left = 10**9
        for rank in self._cluster.ranks:
            for thread in rank.server.threads if rank.server else ():
                thread.processor.armed = None
                thread.processor.left = 10**9
        mix = self._cluster.mix
        self._world.run_for(mix.delay_s if mix.delayed else 0.0)
        self._end_drains()
        self._rest("the cluster comes to rest")
        self._check_listed()
        self._look_at_everything()
        self._outlive_the_meta_service()
        self._end_leases()
        self._put_again()
        self._rest("the cluster rests with its last puts")
        self._remove_everything()
        self._rest("the cluster comes to rest again")
        self._await(self._is_whole, _REST_S, "all space comes back in one piece (S6)")

    def _end_drains(self) -> None:
        """Every rank takes objects again, once no request to drain is on its way any more."""
        if self._world.counts["drain"]:
            self._world.run_for(_STILL_S)
        client = self._cluster.living_clients()[0]
        peers = self._cluster.meta.actor.roster.table.peers()
        for rank in [peer.member.rank for peer in peers if peer.drains]:
            self._finish(self._cluster.operations.drain(client, rank, DrainAct.CANCEL, _CALL_S))

    def _are_awake(self) -> bool:
        cluster = self._cluster
        clients = (client for client in cluster.clients if not client.dead)  # also those about to leave
        processes = (cluster.meta, *cluster.ranks, *clients)
        if any(cluster.wires.is_down(host.number) for host in cluster.hosts):
            return False
        return not any(process.dead or process.stopped_until > self._world.now for process in processes)

    def _rest(self, what: str) -> None:
        """Wait until nothing is going on, and nothing begins again by itself."""
        while True:
            self._await(lambda: self._unrest() == REST, _REST_S, what)
            self._world.run_for(_STILL_S)
            if self._unrest() == REST:
                return

    def _await(self, holds: Callable[[], bool], limit_s: float, what: str) -> None:
        if not self._world.run_until(holds, limit_s, self._cluster.looked_at_every):
            unrest, subject = self._unrest()
            self._fail(f"not within {limit_s} s: {what}; {unrest}", subject)

    def _fail(self, sentence: str, subject: object = None) -> NoReturn:
        story = self._world.story
        told = story.tail() if subject is None else story.of(subject)
        raise AssertionError(f"the end: {sentence}\n{told}")

    def _unrest(self) -> tuple[str, object]:
        """What is still going on, and whose story tells why."""
        cluster = self._cluster
        if not cluster.is_up():
            return "somebody is not there", None
        naming = cluster.meta.actor.naming
        if naming.copying:
            return "a copy is under way", None
        for rank in cluster.ranks:
            number = rank.actor.rank
            if number is not None:
                for command in naming.outboxes.of(number).outstanding.values():
                    return f"command {command.id} to {rank.name} is outstanding", command.entry.key
            table = rank.actor.keeper.table
            for record in range(len(table)):
                if table[record].state in (RecordState.RESERVED, RecordState.RETIRED):
                    told = f"record {record} of {rank.name} is {table[record].state.name.lower()}"
                    return told, (rank.name, record)
            if rank.actor.desk.relief.queue:
                return f"reserves wait at {rank.name}", None
        for entry in naming.names:
            if entry.key in naming.claims:
                return f"the claim of {entry.key!r} is unconfirmed", entry.key
        for client in cluster.living_clients():
            if not client.actor.is_quiet():
                return f"{client.name} has something to tell", client.route
        return REST

    def _check_listed(self) -> None:
        """What is listed is stored, and what is stored is listed."""
        cluster = self._cluster
        cluster.meta.actor.check()
        listed = {}
        by_number = {rank.actor.rank: rank for rank in cluster.ranks}
        for entry in cluster.meta.actor.naming.names:
            if entry.state is not NameState.READABLE:
                self._fail(f"{entry.key!r} rests as {entry.state}", entry.key)
            for place in entry.replicas:
                rank = by_number.get(place.rank)
                stored = None if rank is None else rank.inspection.stored(place.record)
                if stored is None or stored.key != entry.key:
                    self._fail(f"{entry.key!r} is listed at {place} and is not there", entry.key)
                listed[place.rank, place.record] = entry
        for rank in cluster.ranks:
            cluster.check_rank(rank)
            for stored in rank.inspection.all_stored():
                if (rank.actor.rank, stored.record) not in listed:
                    self._fail(f"{stored} of {rank.name} is stored and not listed", stored.key)

    def _finish(self, act: Act) -> Act:
        self._await(lambda: act.finished is not None, _CALL_S, f"{act.kind} ends")
        return act

    def _witnesses(self) -> list[ClientProcess]:
        """Some of the clients that live: the oldest and the youngest."""
        clients = self._cluster.living_clients()
        return clients if len(clients) <= _WITNESSES else [*clients[: _WITNESSES - 1], clients[-1]]

    def _look_at_everything(self) -> None:
        """Every witness gets a definite answer for every key."""
        operations, keys = self._cluster.operations, list(self._cluster.history.keys)
        for client in self._witnesses():
            got = self._finish(operations.get(client, keys, None, _CALL_S)).codes
            found = self._finish(operations.exist(client, keys, _CALL_S)).codes
            for key, code in zip([*keys, *keys], [*got, *found], strict=True):
                if code not in (Code.OK, Code.NOT_FOUND):
                    self._fail(f"{client.name} is told {code!r} of {key!r} at rest", key)

    def _outlive_the_meta_service(self) -> None:
        """L3: reads go on without it, and its successor knows everything."""
        cluster, operations = self._cluster, self._cluster.operations
        stored = [entry.key for entry in cluster.meta.actor.naming.names]
        restarted = self._world.now
        cluster.restart_meta(_OUTAGE_S)
        for client in self._witnesses() if stored else ():
            here = [key for key in stored if self._is_on_host_of(client, key)]
            read = self._finish(operations.get(client, here, None, _OUTAGE_S / 4)).codes if here else ()
            for key, code in zip(here, read, strict=True):
                if code != Code.OK:
                    self._fail(f"L3: without a meta service {client.name} is told {code!r}", key)
        self._await(lambda: not cluster.meta.dead, 2 * _CALL_S, "the meta service starts again")
        limits = cluster.settings.meta
        doubt_s = 0.0 if cluster.settings.persists else (limits.serve_ms + limits.grace_ms) / 1000
        self._await(cluster.is_up, _RECOVERY_S + doubt_s, "L3: the next meta service knows all ranks")
        keys = list(cluster.history.keys)
        for client in self._witnesses():
            told = self._finish(operations.query(client, keys, _CALL_S)).codes
            for key, code in zip(keys, told, strict=True):
                if code == Code.NOT_FOUND and key in stored:
                    cluster.checkers.visibility.missed(key, restarted)  # unless it was evicted meanwhile
                elif code != (Code.OK if key in stored else Code.NOT_FOUND):
                    self._fail(f"L3: the next meta service tells {client.name} {code!r}", key)

    def _is_on_host_of(self, client: ClientProcess, key: bytes) -> bool:
        names = {name for name, _ in self._cluster.places_of_key(key)}
        return any(rank.name in names and rank.host is client.host for rank in self._cluster.ranks)

    def _end_leases(self) -> None:
        leases = self._cluster.meta.actor.naming.leases
        longest = self._cluster.settings.meta.lease_max_ms / 1000 + _LEASE_SLACK_S
        self._await(lambda: not len(leases), longest, "leases end")

    def _put_again(self) -> None:
        """L1: a put of a new key succeeds, small or large."""
        cluster, history = self._cluster, self._cluster.history
        for position, client in enumerate(self._witnesses()):
            for size in (SMALLEST * 4, cluster.settings.capacity // _SHARE_OF_POOL):
                if not client.writable or not cluster.has_room():
                    continue
                key = history.add_key(b"last %d of %d" % (position, size))
                act = self._finish(cluster.operations.put(client, [key], [size], 1, (), _CALL_S))
                if act.codes != [Code.OK]:
                    self._fail(f"L1: a put of {size} bytes at rest is answered {act.codes}", key)

    def _remove_everything(self) -> None:
        """Every key can be removed, and is gone."""
        operations, keys = self._cluster.operations, list(self._cluster.history.keys)
        clients = self._witnesses()
        self._finish(operations.remove(clients[0], keys, _CALL_S))
        for client in clients:
            self._finish(operations.exist(client, keys, _CALL_S))
        left = [key for key in keys if self._cluster.places_of_key(key)]
        if left:
            self._fail(f"{left[0]!r} is removed and is stored", left[0])

    def _is_whole(self) -> bool:
        return all(self._cluster.checkers.space.is_whole(rank) for rank in self._cluster.ranks)
