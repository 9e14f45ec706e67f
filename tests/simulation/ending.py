"""The end of a run: when nothing goes wrong any more, everything comes to rest, and all is accounted for.

L1 and the balance of S6 are judged here: what is listed is readable, what is stored is listed, puts
succeed again, and once every object is removed all space is free in one piece.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

from mmc.cache.names import NameState
from mmc.cache.records import RecordState
from mmc.errors import Code
from tests.simulation.chance import CALM
from tests.simulation.cluster import Cluster
from tests.simulation.history import SMALLEST, Act

REST: tuple[str, object] = ("", None)
_CALLS_S = 60.0
_REST_S = 40.0
_CALL_S = 5.0
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
        history = self._cluster.history
        self._await(lambda: not history.running, _CALLS_S, "calls end")
        if not self._cluster.living_clients():
            self._cluster.add_client()
        for client in self._cluster.clients:
            client.processor.armed = None
            client.processor.left = 10**9
        mix = self._cluster.mix
        self._world.run_for(mix.delay_s if mix.delayed else 0.0)
        self._await(lambda: self._unrest() == REST, _REST_S, "the cluster comes to rest")
        self._check_listed()
        self._look_at_everything()
        self._put_again()
        self._remove_everything()
        self._await(lambda: self._unrest() == REST, _REST_S, "the cluster comes to rest again")
        self._await(self._is_whole, _REST_S, "all space comes back in one piece (S6)")

    def _await(self, holds: Callable[[], bool], limit_s: float, what: str) -> None:
        if not self._world.run_until(holds, limit_s):
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
        for rank in cluster.ranks:
            number = rank.actor.rank
            if number is not None:
                for command in naming.outboxes.of(number).outstanding.values():
                    return f"command {command.id} to {rank.name} is outstanding", command.entry.key
            table = rank.actor.keeper.table
            for record in range(len(table)):
                if table[record].state in (RecordState.RESERVED, RecordState.RETIRED):
                    told = f"record {record} of {rank.name} is {table[record].state.value}"
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

    def _look_at_everything(self) -> None:
        """Every client gets a definite answer for every key."""
        operations, keys = self._cluster.operations, list(self._cluster.history.keys)
        for client in self._cluster.living_clients():
            got = self._finish(operations.get(client, keys, None, _CALL_S)).codes
            found = self._finish(operations.exist(client, keys, _CALL_S)).codes
            for key, code in zip([*keys, *keys], [*got, *found], strict=True):
                if code not in (Code.OK, Code.NOT_FOUND):
                    self._fail(f"{client.name} is told {code!r} of {key!r} at rest", key)

    def _put_again(self) -> None:
        """L1: a put of a new key succeeds."""
        operations, history = self._cluster.operations, self._cluster.history
        for position, client in enumerate(self._cluster.living_clients()):
            if not client.writable or not self._cluster.has_room():
                continue
            key = history.add_key(b"last %d" % position)
            act = self._finish(operations.put(client, [key], [SMALLEST * 4], 1, (), _CALL_S))
            if act.codes != [Code.OK]:
                self._fail(f"L1: a put at rest is answered {act.codes}", key)

    def _remove_everything(self) -> None:
        """Once leases have ended, every key can be removed, and is gone."""
        leases = self._cluster.meta.actor.naming.leases
        longest = self._cluster.settings.meta.lease_max_ms / 1000 + _LEASE_SLACK_S
        self._await(lambda: not len(leases), longest, "leases end")
        operations, keys = self._cluster.operations, list(self._cluster.history.keys)
        clients = self._cluster.living_clients()
        self._finish(operations.remove(clients[0], keys, _CALL_S))
        for client in clients:
            self._finish(operations.exist(client, keys, _CALL_S))
        left = [key for key in keys if self._cluster.places_of_key(key)]
        if left:
            self._fail(f"{left[0]!r} is removed and is stored", left[0])

    def _is_whole(self) -> bool:
        return all(self._cluster.checkers.space.is_whole(rank) for rank in self._cluster.ranks)
