"""A local service: its segment, its actor, its sockets, and the memory it populates."""

from __future__ import annotations

import contextlib
import math
import threading
from typing import TYPE_CHECKING

from mmc.actors.local import JOIN_REFUSED, RANK_LIVE, LocalActor
from mmc.errors import SENTENCES, CacheError, CannotCreate, Code, error_for
from mmc.identifiers import ANY_RANK
from mmc.log import get_log
from mmc.segments.directory import SegmentDirectory, boot_id
from mmc.segments.layout import AT_CLOSING, AT_TERM, difference
from mmc.segments.lockfile import CLIENT_LOCKS, HolderWatch
from mmc.services.data_door import DataDoor
from mmc.services.mover import Mover
from mmc.services.pool import layout_for, pool_name
from mmc.wire.requests import Join
from mmc.zeromq.addresses import is_loopback, reachable
from mmc.zeromq.chance import random63
from mmc.zeromq.clock import now
from mmc.zeromq.service_reactor import Ports, ServiceReactor
from mmc.zeromq.sockets import DEALER, OPEN_TO_NETWORK, ROUTER, SUB, bind, connect, make_socket, new_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from mmc.config import Config
    from mmc.segments.directory import OwnedSegment
    from mmc.segments.layout import Layout
    from mmc.zeromq.sockets import Context, Socket

_SLOTS = 1024
_LEAVING_S = 0.5
_MARGIN_S = 3.0
_TOLD_S = 5.0
"""A service that is not admitted after so long says what it waits for."""
_SWEEP_S = 60.0
"""So often a service looks for lock files of the dead: a client that it has met it removes at once."""


def own_segment(
    directory: SegmentDirectory,
    layout: Layout,
    pool: str,
    rank: int,
    on_cold: Callable[[str, str], object],
    *,
    keep: bool,
) -> OwnedSegment:
    """The segment of a rank: its kept one of the same layout, or a new one.

    ``on_cold`` is told of one that was there and is not used, its path and why not.

    Raises:
        CacheError: -3001 no memory; -3002 not allowed; -3006 held by a living service.
    """
    slots = range(_SLOTS) if rank == ANY_RANK else (rank,)
    for slot in slots:
        name = f"mmc-{pool}-{slot}.dram"
        try:
            found = directory.reattach(name)
            if not isinstance(found, str):
                if found.segment.layout == layout:
                    return found
                directory.require(layout.total - found.segment.layout.total)
                found.release(keep=False)
                found = difference(found.segment.layout, layout)
            if found:
                on_cold(str(directory.path / name), found)
            return directory.create(name, layout, random63(), keep=keep)
        except CacheError as error:
            if error.code != Code.EXISTS or rank != ANY_RANK:
                raise
    raise error_for(Code.TOO_LARGE, f"{_SLOTS} local services of this pool on one host")


class LocalServer:
    """One rank, connected to its broker."""

    def __init__(
        self,
        config: Config,
        meta_url: str,
        *,
        control_url: str = "tcp://127.0.0.1:0",
        spare_url: str = "",
        rank: int = ANY_RANK,
        world: int = 0,
        create_id: int = 0,
        events_url: str = "",
        keep: bool = True,
        pool: str = "",
        context: Context | None = None,
    ) -> None:
        """``keep``: the segment outlives the service, for a warm restart.

        Where ``control_url`` is in use, ``spare_url`` is bound instead, unless it is empty.
        ``world`` and ``create_id`` are what its cluster must agree with, unless ``world`` is 0.
        ``events_url`` replaces where the meta service says that its events are heard.  ``pool`` is a part
        of the segment's file name.

        Raises:
            CacheError: -3001 no memory; -3002 address or directory; -3006 the rank's segment is held by
                a living service.
        """
        self._log = get_log("local")
        self._keep = keep
        self._step = config.local.populate_step_bytes
        layout = layout_for(config)
        pool = pool or pool_name(meta_url)
        self._directory = directory = SegmentDirectory(config.local.segment_dir, config.local.segment_mode)
        self._tell_removed(directory.sweep(spare=f"mmc-{pool}-", now_ms=int(now() * 1000)))
        self._sweep_at = now() + _SWEEP_S
        self._owned_context = new_context() if context is None else None
        self._context = used = context or self._owned_context
        assert used is not None
        ports = Ports(
            meta=make_socket(used, DEALER, config.wire, config.broker),
            events=make_socket(used, SUB, config.wire, config.broker),
            clients=make_socket(used, ROUTER, config.wire, config.broker),
            events_at=lambda told: events_url or reachable(told, meta_url),
        )
        self._door: DataDoor | None = None
        try:
            assert ports.meta is not None
            assert ports.clients is not None
            connect(ports.meta, reachable(meta_url), "meta_service_url")
            bound = self._bind(ports.clients, control_url, spare_url)
            self.control_url = reachable(bound)
            self._door = DataDoor(config, bound, meta_url)
            self._inner_url = bind(ports.clients, f"inproc://mmc-rank-{random63():x}", "control_url")
            self._owned = own_segment(directory, layout, pool, rank, self._tell_cold, keep=keep)
        except BaseException:  # boundary: clears away and raises again
            ports.close()
            if self._door is not None:
                self._door.close()
            raise
        self._watch = HolderWatch(directory.path)
        self._cluster = (rank, world, create_id)
        self.actor = self._make_actor(config, directory, layout, pool, rank)
        self._mover = self._make_mover(config, meta_url, context, events_url)
        self._started = now()
        self._told_s = _TOLD_S
        self._meta_url = meta_url
        self._patience = config.meta.suspect_ms / 1000 + _MARGIN_S
        self._on_live: Callable[[], None] | None = None
        self._was_live = False
        self.failure: CacheError | None = None
        self._reactor = ServiceReactor(self.actor, ports, self._log, on_note=self._hear, look=self._look)

    def _make_mover(self, config: Config, meta_url: str, context: Context | None, events_url: str) -> Mover:
        mover = Mover(config, meta_url, context, events_url, lambda: self.actor.desk.relief.filled_percent)
        self.actor.on_copies_wanted = lambda: mover.wake(self.actor.rank)
        return mover

    def _tell_cold(self, path: str, reason: str) -> None:
        """What a segment holds is not taken up: whoever expects it there is to know why it is gone."""
        self._log.warning("a segment is not taken up again: starting cold", path=path, reason=reason)

    def _bind(self, socket: Socket, control_url: str, spare_url: str) -> str:
        """The URL that is bound; one that other hosts may reach is a warning."""
        try:
            bound = bind(socket, control_url, "control_url")
        except CannotCreate as taken:
            if not spare_url:
                raise
            self._log.info("another address is taken instead", reason=taken.sentence, url=spare_url)
            bound = bind(socket, spare_url, "control_url")
        if not is_loopback(bound):
            self._log.warning(OPEN_TO_NETWORK, setting="control_url", url=bound)
        return bound

    def _make_actor(
        self, config: Config, directory: SegmentDirectory, layout: Layout, pool: str, rank: int
    ) -> LocalActor:
        """An actor on the segment; a segment found damaged is replaced by a fresh one."""
        try:
            return self._actor_on_segment(config)
        except ValueError as reason:
            self._tell_cold(str(self._owned.path), f"its tables are damaged: {reason}")
            self._owned.release(keep=False)
            self._owned = own_segment(directory, layout, pool, rank, self._tell_cold, keep=self._keep)
            return self._actor_on_segment(config)

    def _actor_on_segment(self, config: Config) -> LocalActor:
        assert self._door is not None
        segment = self._owned.segment
        rank, world, create_id = self._cluster
        wanted = Join(
            rank,
            0,
            segment.id,
            boot_id(),
            segment.layout.capacity,
            segment.layout.records,
            str(self._owned.path),
            self.control_url,
            world,
            create_id,
            self._door.url,
        )
        return LocalActor(segment, config.local, config.wire, config.client, random63, self._watch, wanted)

    def _hear(self, note: str) -> None:
        """Tell that the rank is live; give up joining when its predecessor would be suspect by now."""
        if note == RANK_LIVE and not self._was_live:
            self._was_live = True
            if self._on_live is not None:
                self._on_live()
            threading.Thread(target=self._populate, name="mmc-populate", daemon=True).start()
        elif note == JOIN_REFUSED and self.actor.term == 0:
            code = self.actor.refusal or Code.INTERNAL
            if code != Code.EXISTS or now() - self._started > self._patience:
                reason = self.actor.refusal_sentence or SENTENCES[code]
                self.failure = CacheError(f"joining the meta service: {reason}", code)
                self._reactor.stop()

    def _tell_removed(self, paths: Iterable[Path]) -> None:
        for path in paths:
            self._log.info("removed what a dead process left", path=str(path))

    def _look(self) -> None:
        """Look after the segment, and now and then for the lock files of clients that no rank has met."""
        self._look_at_segment()
        moment = now()
        if not self._was_live and moment - self._started >= self._told_s:
            self._told_s = math.inf
            self._log.warning("no answer from the meta service yet", meta_service_url=self._meta_url)
        if moment >= self._sweep_at:
            self._sweep_at = moment + _SWEEP_S
            self._tell_removed(self._directory.sweep(only=CLIENT_LOCKS))

    def _look_at_segment(self) -> None:
        """End when the segment's file is not there any more: nobody could map it, or its memory is gone."""
        flaw = self._owned.flaw()
        if flaw and (self.failure is None or self._owned.segment.is_lost):
            self._log.error("the segment is lost: this service ends", path=str(self._owned.path), reason=flaw)
            sentence = f"segment {self._owned.path} {flaw}: a service that is started again makes a new one"
            self.failure = CannotCreate(sentence)
            raise self.failure

    def run(self, on_live: Callable[[], None] | None = None) -> None:
        """Serve until stopped; memory is populated meanwhile, once the rank is live.

        ``on_live`` is called at that moment.  The segment of a service that is ended by a fault of its own
        stays, as if it had been killed: the next one takes it up.

        Raises:
            CacheError: the meta service does not admit this rank: -3006 it is taken, -3013 there are
                too many; -3002, the segment was removed or truncated.
        """
        self._on_live = on_live
        assert self._door is not None
        assert self._context is not None
        has_ended = False
        self.actor.beside = self._door.counters
        try:
            self._door.open(self._owned, self._context, self._inner_url)
            with contextlib.suppress(CannotCreate):  # the segment is lost, as the failure says
                self._reactor.run(self.actor.start(now()))
            self._mover.close()
            if self._is_to_leave():
                last = self.actor.leave(now())
                self._reactor.finish(last, lambda: self.actor.has_left, _LEAVING_S)
            has_ended = True
        finally:
            self._mover.close()
            self._door.close()
            self._owned.release(keep=(self._keep or not has_ended) and not self._was_never_a_member())
            self._watch.close()
            self._reactor.close()
            if self._owned_context is not None:
                self._owned_context.term()
        if self.failure is not None:
            raise self.failure

    def _was_never_a_member(self) -> bool:
        """Whether it was refused with a new segment: nobody will come back for that."""
        segment = self._owned.segment
        is_refused = self.failure is not None and self.actor.term == 0 and not segment.is_lost
        return is_refused and not segment.words[AT_TERM] and not segment.words[AT_CLOSING]

    def _is_to_leave(self) -> bool:
        """Whether nothing of this rank will be there any more: what it held is gone at once for everybody."""
        was_removed = bool(self._owned.flaw())
        if self._owned.segment.is_lost:
            return False  # leaving is said in the segment first, and that cannot be touched
        return was_removed or (not self._keep and self.failure is None)

    def _populate(self) -> None:
        memory = self._owned.memory
        for _ in memory.populate(0, len(memory), self._step):
            if self._reactor.is_stopping:
                return

    def bury(self) -> None:
        """Remove a segment that is not to be kept, when there is no time to stop in order."""
        if not self._keep:
            self._owned.release(keep=False)

    def stop(self) -> None:
        """End :meth:`run`; from a signal handler or another thread."""
        self._reactor.stop()
