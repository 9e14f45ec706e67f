"""A process's connection to a cluster: its client actor, its sockets, its lock files, its segments."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from mmc.actors.client import ClientActor
from mmc.descriptors import require_descriptors
from mmc.errors import CacheError, Code, error_for, shown
from mmc.log import get_log
from mmc.populating import Populating
from mmc.segments.directory import boot_id, obstacle_of, open_shared
from mmc.segments.lockfile import ClientLock
from mmc.segments.mapping import BufferMemory
from mmc.transfer.carrier import Carrier
from mmc.transfer.crew import Crew
from mmc.zeromq.chance import random63
from mmc.zeromq.client_reactor import ClientReactor
from mmc.zeromq.clock import now

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mmc.config import Config
    from mmc.identifiers import Member
    from mmc.segments.layout import Segment
    from mmc.zeromq.sockets import Context

_DESCRIPTORS = 32
"""What a connection takes that reaches a few ranks."""

_ABANDONED: list[Connection] = []
"""Connections of the parent in a forked child: never touched again, and so never closed."""


class Connection:
    """One client id and everything that belongs to it, in the process that made it."""

    def __init__(
        self,
        meta_url: str,
        config: Config,
        context: Context | None,
        events_url: str = "",
        home_rank: int | None = None,
    ) -> None:
        """Connects in the background.

        ``events_url`` replaces where the meta service says that its events are heard; ``home_rank`` is where
        puts go that name no rank.

        Raises:
            InvalidArgument: the URL is none.
            CannotCreate: -3002, too few descriptors are left.
        """
        require_descriptors(_DESCRIPTORS)
        self.config = config
        self.process = os.getpid()
        self.client = random63()
        self._boot = boot_id()
        self._locks: dict[Path, ClientLock] = {}
        self._obstacles: dict[str, str] = {}
        self._views: set[object] = set()
        self._views_lock = threading.RLock()
        self._closed = False
        self._populating = Populating(config.local.populate_step_bytes)
        self._calls_ended = False
        self.carrier = Carrier(config.data, config.client.copy_threads, self._may_reach, now)
        self.actor = ClientActor(
            self.client,
            config.client,
            config.local.reserve_ahead_bytes,
            random63,
            self._attach,
            self.carrier,
        )
        self.actor.home_rank = home_rank
        self.readers = Crew(config.client.copy_threads)
        self.writers = Crew(config.client.copy_threads, spared_cores=1)
        self.reactor = ClientReactor(
            self.actor,
            meta_url,
            config.wire,
            config.broker,
            self.writers,
            context,
            self._call_ended,
            events_url,
        )
        self.reactor.start()

    def _attach(self, member: Member) -> Segment | None:
        """Map a member's segment if it is on this host; without a lock file it cannot be written.

        Its path is another's word: nothing is made there before the segment was found.
        """
        if member.boot != self._boot or not self.config.client.map_segments:
            return None
        refusal = ""
        try:
            segment = open_shared(member.path, member.segment)
            if segment is not None:
                refusal = self._lock_beside(member.path)
                if refusal:
                    segment = open_shared(member.path, member.segment, writable=False)
        except CacheError as error:
            self._obstacles[member.path] = error.sentence
            raise
        self._look_for_obstacle(member, segment, refusal)
        if segment is not None and isinstance(segment.memory, BufferMemory):
            segment.memory.copy_from, segment.memory.copy_to = self.readers.copy, self.writers.copy
            if self.config.client.populate:
                self._populating.add(segment.memory)
        return segment

    def _lock_beside(self, path: str) -> str:
        """Hold a lock file beside a segment; else why there is none."""
        directory = Path(path).parent
        if directory not in self._locks:
            try:
                mode = self.config.local.segment_mode
                self._locks[directory] = ClientLock(directory, self.client, mode)
            except CacheError as error:
                return error.sentence
        return ""

    def _may_reach(self, member: Member) -> bool:
        """Whether a rank is asked over the network: not if its segment is here and may not be opened.

        Its rank has said who may read; a directory that this container does not share says nothing.
        """
        return member.path not in self._obstacles or not Path(member.path).exists()

    def populate(self) -> None:
        """Let memory that is mapped be populated from now on; whoever copies has its threads by then."""
        self.readers.start()
        self.writers.start()
        self._populating.begin()

    def _look_for_obstacle(self, member: Member, segment: Segment | None, refusal: str) -> None:
        """Remember what keeps this process from a segment of its own host."""
        path = member.path
        if segment is not None and segment.memory.writable:
            self._obstacles.pop(path, None)
            return
        sentence = obstacle_of(path, member.capacity)
        if not sentence and refusal:
            sentence = f"uid {os.getuid()} only reads segment {path}: {refusal}; mend that and connect again"
        if sentence:
            self._obstacles[path] = sentence

    def obstacle(self) -> str:
        """What keeps this process from a segment of its own host; "" if nothing does."""
        return next(iter(self._obstacles_among(list(self.actor.members.values()))), "")

    def _obstacles_among(self, members: Iterable[Member]) -> list[str]:
        """Those of the segments of these ranks."""
        paths = {member.path for member in members}
        return [sentence for path, sentence in list(self._obstacles.items()) if path in paths]

    def error(self, code: Code, about: str | bytes) -> CacheError:
        """The exception of a code, with what may be in the way on this host."""
        error = error_for(code, shown(about))
        if code in (Code.NO_SUCH_RANK, Code.UNREACHABLE) and (obstacle := self.obstacle()):
            return CacheError(f"{error.sentence}; {obstacle}", code)
        return error

    def warn(self) -> None:
        """Log what is in the way to a rank; under no lock, since a program's function may be called."""
        members = list(self.actor.members.values())
        apart = [member for member in members if not (member.data_url and self._may_reach(member))]
        for sentence in self._obstacles_among(apart):
            get_log("client").warning("a segment of this host cannot be used in full", reason=sentence)

    def abandon(self) -> None:
        """This process is a fork of the one that made the connection."""
        _ABANDONED.append(self)

    def opened_view(self) -> object:
        """A view keeps the lock files, by which ranks know that its pin is alive; returns what ends that.

        Without a lock: who opens stores and then looks whether this is closed; who closes, the other way.

        Raises:
            CacheError: -3019, the client is closed.
        """
        view = object()
        self._views.add(view)
        if self._closed:
            self.closed_view(view)
            raise error_for(Code.CLIENT_CLOSED, "view")
        return view

    def closed_view(self, view: object) -> None:
        """The last view of a closed connection lets go of the lock files.

        Called whenever the garbage collector finds the last use of a view, under any lock or none.
        """
        self._views.discard(view)
        if self._calls_ended:
            with self._views_lock:
                self._release_if_unused()

    def close(self, patience_s: float) -> None:
        """Give everything back; views stay valid until they are closed."""
        self._closed = True
        self._populating.end()
        self.carrier.close()
        self.reactor.close(patience_s)

    def _call_ended(self) -> None:
        """The connection is closed and none of its calls writes to shared memory any more."""
        self.readers.close()
        self.writers.close()
        self.actor.let_go()
        with self._views_lock:
            self._calls_ended = True
            self._release_if_unused()

    def _release_if_unused(self) -> None:
        if self._calls_ended and not self._views:
            for lock in self._locks.values():
                lock.release()
            self._locks.clear()
