"""What clients do: each operation in a strand of its own, noted in the history, judged when it ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mmc.actors.client import asking, draining
from mmc.actors.client.asking import ObjectInfo
from mmc.actors.client.copying import move
from mmc.actors.client.listing import Listing, list_keys
from mmc.errors import CacheError, Code
from mmc.plans import CodesPlan, ExistPlan, LeasePlan, PutPlan, QueryPlan, ReadPlan, unlease_plan
from mmc.wire.operations import DrainAct
from mmc.wire.replies import KeyPage
from tests.simulation.checkers import OpenView
from tests.simulation.clients import ClientProcess
from tests.simulation.history import Act, Put
from tests.simulation.split_puts import SplitPutPlan

if TYPE_CHECKING:
    from tests.simulation.cluster import Cluster

_SPLIT_SHARE = 4
"""Every so many puts of one replica anywhere are made in two calls."""


class Operations:
    """The operations of a cluster's clients."""

    def __init__(self, cluster: Cluster) -> None:
        """None has begun."""
        self._cluster = cluster
        self._world = cluster.world
        self._history = cluster.history

    def _begin(
        self, client: ClientProcess, kind: str, keys: Sequence[bytes], timeout: float,
        work: Callable[[Act], None], puts: tuple[Put, ...] = (),
    ) -> Act:  # fmt: skip
        now = self._world.now
        act = Act(kind, client.name, tuple(keys), now, now + timeout, client.stood_still, puts)
        self._history.running[act] = None
        self._world.count(kind)
        self._world.log("begin", client.name, kind, act.keys, tuple(p.number for p in puts))

        def run() -> None:
            work(act)
            self._end(client, act)

        act.strand = client.spawn(run)
        return act

    def _end(self, client: ClientProcess, act: Act) -> None:
        act.finished = self._world.now
        self._history.running.pop(act, None)
        self._world.log("end", client.name, act.kind, act.keys, tuple(map(int, act.codes)))
        for code in act.codes:
            self._world.count(f"{act.kind}: {code.name.lower()}")
        self._cluster.checkers.bounded.finished(act, client.stood_still)

    def cancel(self, act: Act) -> None:
        """The caller goes away, if it is waiting, as an asynchronous caller may."""
        client = self._cluster.client_named(act.client)
        assert client is not None
        assert act.strand is not None
        if client.cancel(act.strand):
            self._world.count("cancels")
            self._world.log("cancel", act.client, act.kind, act.keys)
            if act.kind == "lease":  # an unlease may still come into its own: its keys are left alone
                client.leasing.difference_update(act.keys)
            self._history.give_up(act, self._world.now)

    def put(
        self, client: ClientProcess, keys: Sequence[bytes], sizes: Sequence[int], replicas: int,
        preferred: tuple[int, ...], timeout: float,
    ) -> Act:  # fmt: skip
        """Store objects."""
        now = self._world.now
        puts = tuple(
            self._history.begin_put(key, size, client.name, client.id, replicas, preferred, now)
            for key, size in zip(keys, sizes, strict=True)
        )

        def work(act: Act) -> None:
            values = [put.content for put in puts]
            plan: PutPlan | SplitPutPlan = PutPlan(keys, values, replicas, preferred)
            has_rank = bool(client.actor.ranks) or not self._cluster.settings.spread.is_wide
            if has_rank and replicas == 1 and not preferred and puts[0].number % _SPLIT_SHARE == 0:
                plan = SplitPutPlan(keys, values, puts[0].number)
            act.codes = client.do(plan, act.deadline)
            first: dict[bytes, Put] = {}
            for put, code in zip(puts, act.codes, strict=True):
                put.finished = self._world.now
                put.code = code if first.setdefault(put.key, put) is put else Code.EXISTS
                self._cluster.checkers.integrity.finished_put(put)
                self._cluster.checkers.visibility.finished_put(put)

        return self._begin(client, "put", keys, timeout, work, puts)

    def get(
        self, client: ClientProcess, keys: Sequence[bytes], sizes: Sequence[int] | None,
        timeout: float,
    ) -> Act:  # fmt: skip
        """Read objects: as bytes, or into buffers of these sizes."""

        def work(act: Act) -> None:
            targets = None if sizes is None else [bytearray(size) for size in sizes]
            plan = ReadPlan(keys, targets)
            act.codes = client.do(plan, act.deadline)
            contents = plan.contents() if targets is None else map(bytes, targets)
            for key, code, content in zip(keys, act.codes, contents, strict=True):
                if code == Code.OK:
                    assert content is not None
                    self._read(act, key, content)
                elif code == Code.NOT_FOUND:
                    self._cluster.checkers.visibility.missed(key, act.started)

        return self._begin(client, "get", keys, timeout, work)

    def _read(self, act: Act, key: bytes, content: bytes) -> Put:
        put = self._cluster.checkers.integrity.read(key, content)
        self._world.log("read", act.client, key, put.number)
        self._cluster.checkers.removal.read(act.started, put)
        return put

    def exist(self, client: ClientProcess, keys: Sequence[bytes], timeout: float) -> Act:
        """Ask whether objects are there."""

        def work(act: Act) -> None:
            act.codes = client.do(ExistPlan(keys), act.deadline)
            for key, code in zip(keys, act.codes, strict=True):
                if code == Code.OK:
                    self._cluster.checkers.removal.found(act.started, key)
                elif code == Code.NOT_FOUND:
                    self._cluster.checkers.visibility.missed(key, act.started)

        return self._begin(client, "exist", keys, timeout, work)

    def query(self, client: ClientProcess, keys: Sequence[bytes], timeout: float) -> Act:
        """Ask what is known of objects."""

        def work(act: Act) -> None:
            for key, info in zip(keys, client.do(QueryPlan(keys), act.deadline), strict=True):
                if isinstance(info, ObjectInfo):
                    act.codes.append(Code.OK)
                    self._cluster.checkers.integrity.sized(key, info)
                    self._cluster.checkers.removal.found(act.started, key)
                else:
                    act.codes.append(info)
                    if info == Code.NOT_FOUND:
                        self._cluster.checkers.visibility.missed(key, act.started)

        return self._begin(client, "query", keys, timeout, work)

    def remove(self, client: ClientProcess, keys: Sequence[bytes], timeout: float) -> Act:
        """Remove objects."""

        def work(act: Act) -> None:
            act.codes = client.do(CodesPlan(keys, asking.remove), act.deadline)
            for key, code in zip(keys, act.codes, strict=True):
                if code == Code.OK:
                    self._cluster.checkers.removal.removed(act, key)

        return self._begin(client, "remove", keys, timeout, work)

    def lease(self, client: ClientProcess, keys: Sequence[bytes], ttl_ms: int, timeout: float) -> Act:
        """Lease objects."""

        def work(act: Act) -> None:
            plan = LeasePlan(keys, ttl_ms)
            act.codes = client.do(plan, act.deadline)
            until = client.clock.when(plan.until)
            for key, code in zip(keys, act.codes, strict=True):
                if code == Code.OK:
                    self._cluster.checkers.leases.granted(key, client.name, act.started, until)
            client.leasing.difference_update(keys)

        client.leasing.update(keys)
        return self._begin(client, "lease", keys, timeout, work)

    def unlease(
        self, client: ClientProcess, keys: Sequence[bytes], timeout: float, *, abandoned: bool = False
    ) -> Act:
        """End leases; ``abandoned``: those of clients that left as well."""

        def work(act: Act) -> None:
            act.codes = client.do(unlease_plan(keys, abandoned=abandoned), act.deadline)
            client.leasing.difference_update(keys)

        for key in keys:
            self._cluster.checkers.leases.ended(key, client.name)
        client.leasing.update(keys)
        return self._begin(client, "unlease", keys, timeout, work)

    def list(self, client: ClientProcess, timeout: float) -> Act:
        """List all keys, page by page."""

        def work(act: Act) -> None:
            listing = Listing(b"")
            deadline = client.clock.at(act.deadline)
            while not listing.is_complete:
                page = client.run(list_keys(client.actor, deadline, cursor=listing.cursor))
                if not isinstance(page, KeyPage):
                    act.codes.append(page)
                    return
                for key in listing.take(page):
                    self._cluster.checkers.removal.found(act.started, key.encode())
            act.codes.append(Code.OK)

        return self._begin(client, "list", [], timeout, work)

    def status(self, client: ClientProcess, timeout: float) -> Act:
        """Ask for the counters of the cluster."""

        def work(act: Act) -> None:
            told = client.run(asking.status(client.actor, client.clock.at(act.deadline)))
            act.codes.append(told if isinstance(told, Code) else Code.OK)

        return self._begin(client, "status", [], timeout, work)

    def move(self, client: ClientProcess, rank: int, timeout: float) -> Act:
        """Copy what is to be copied of a rank to others, as the mover of that rank does."""
        self._cluster.checkers.fencing.movers.add(client.id)

        def work(act: Act) -> None:
            percent = self._cluster.settings.meta.evict_threshold_high_percent
            refused: dict[bytes, Code] = {}
            deadline = client.clock.at(act.deadline)
            while client.now < deadline:
                done = client.run(move(client.actor, rank, percent, refused, deadline))
                act.codes += done.refused.values()
                refused = done.refused
                if not done.handed:
                    return

        return self._begin(client, "move", [], timeout, work)

    def drain(self, client: ClientProcess, rank: int, wanted: DrainAct, timeout: float) -> Act:
        """Begin or cancel the drain of a rank."""

        def work(act: Act) -> None:
            deadline = client.clock.at(act.deadline)
            try:
                status = client.run(draining.ask(client.actor, deadline, rank=rank, act=wanted))
                self._world.count(f"drain {status.state}")
                act.codes.append(Code.OK)
            except CacheError as error:
                act.codes.append(Code(error.code))

        return self._begin(client, "drain", [], timeout, work)

    def view(self, client: ClientProcess, key: bytes, hold_s: float, timeout: float) -> Act:
        """Look at an object in place for a while."""

        def work(act: Act) -> None:
            pinned = client.view(key, act.deadline)
            if isinstance(pinned, Code):
                act.codes.append(pinned)
                if pinned == Code.NOT_FOUND:
                    self._cluster.checkers.visibility.missed(key, act.started)
                return
            act.codes.append(Code.OK)
            if isinstance(pinned, bytes):
                self._read(act, key, pinned)
                return
            memory = pinned.hit.segment.memory.view(pinned.hit.at, pinned.hit.size)
            put = self._read(act, key, bytes(memory))
            rank = self._cluster.rank_of(pinned.hit.segment)
            view = OpenView(client.name, rank, put, pinned.hit.record, pinned.hit.at, memory)
            self._cluster.checkers.pins.opened(view)
            self._cluster.checkers.bounded.finished(act, client.stood_still)
            act.deadline = math.inf
            strand = self._world.current
            assert strand is not None
            strand.pause(hold_s)
            self._cluster.checkers.pins.closing(view)
            client.close_view(pinned)

        return self._begin(client, "view", [key], timeout, work)
