"""Ranks and clients that are sessions and nothing more: they say to a meta service what real ones say.

One process plays them all, so that a meta service and its broker are measured as they are with that many,
on a machine that could not run that many.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from time import monotonic, sleep
from typing import TYPE_CHECKING

import zmq

from mmc.bench.raw_session import RawSession
from mmc.config import load_config
from mmc.identifiers import ANY_RANK
from mmc.wire import replies, requests
from mmc.wire.codec import decode_body, decode_header
from mmc.wire.operations import PeerKind
from mmc.wire.shapes import Raw
from mmc.wire.topics import MEMBER, evict_topic, lease_topic
from mmc.zeromq.chance import random63
from mmc.zeromq.sockets import SUB, connect, make_socket, receive_frames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mmc.wire.operations import Message

OBJECT_BYTES = 4096
BATCH = 256
_RECORDS = 1 << 20
_GENERATION = 2
_SOCKETS = 1 << 15
_HEARTBEAT_S = 0.5
_SLICES = 10
_CLIENT_SLICES = 100
_PATIENCE_MS = 10_000
_COUNTED = (
    "capacity_bytes", "used_bytes", "reserved_bytes", "quarantined_bytes", "records", "free_records",
    "objects", "clients", "waiting_reserves", "pressures", "evictions", "event_gaps",
)  # fmt: skip


class Ears:
    """A subscription to events."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], url: str, topics: Sequence[bytes]) -> None:
        """Hear these topics."""
        config = load_config()
        self._socket = make_socket(context, SUB, config.wire, config.broker)
        connect(self._socket, url, "events_url")
        for topic in topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic)

    def hear(self) -> Message:
        """The next event.

        Raises:
            TimeoutError: there is none for ten seconds.
        """
        if not self._socket.poll(_PATIENCE_MS):
            raise TimeoutError("no event is heard")
        frames = receive_frames(self._socket)[1:]
        return decode_body(decode_header(frames), frames)

    def close(self) -> None:
        """Hear nothing any more."""
        self._socket.close()


class Rank:
    """A rank by its sessions alone."""

    def __init__(
        self, context: zmq.Context[zmq.Socket[bytes]], url: str, events_url: str, stack: ExitStack
    ) -> None:
        """Join, report nothing, and hear its commands."""
        self.session = stack.enter_context(closing(RawSession(url, PeerKind.RANK, context)))
        join = requests.Join(
            ANY_RANK, 0, random63(), random63(), _RECORDS * OBJECT_BYTES, _RECORDS,
            f"/dev/shm/mmc-{random63():016x}", "tcp://192.0.2.1:7000", 0, 0,  # noqa: S108 - as long as a real one
        )  # fmt: skip
        admitted = self.session.ask(join)
        assert isinstance(admitted, replies.Admitted)
        self.number = admitted.rank
        self.session.ask(requests.Report((), (), (), (), (), (), term=admitted.term, last=True))
        topics = (evict_topic(self.number), lease_topic(self.number))
        self.ears = stack.enter_context(closing(Ears(context, events_url, topics)))
        self._stored = 0

    def beat(self) -> None:
        """Say that it lives, and what a rank tells beside."""
        self.session.send(requests.Heartbeat(tuple((name, 1 << 30) for name in _COUNTED)))

    def fill(self, client: RawSession, counter: int, epoch: int) -> None:
        """Let a client store a batch of objects here."""
        records = range(self._stored, self._stored + BATCH)
        self._stored += BATCH
        positions = tuple(range(BATCH))
        keys = tuple(b"model@rank:%d@block:%064x" % (self.number, record) for record in records)
        places = tuple(((self.number, record, _GENERATION),) for record in records)
        versions = tuple((epoch, client.client, counter, position) for position in positions)
        sizes = (OBJECT_BYTES,) * BATCH
        client.ask(requests.Claim(epoch, counter, positions, keys, sizes, places))
        self.session.ask(requests.Confirmed(tuple(records), (_GENERATION,) * BATCH, versions))

    def evict(self) -> int:
        """Be short of a batch's bytes, and do what is commanded; returns how many objects went."""
        self.session.ask(requests.Pressure(BATCH * OBJECT_BYTES, 0, (), Raw(b""), Raw(b"")))
        gone = 0
        while gone < BATCH:
            commands = self.ears.hear()
            assert isinstance(commands, replies.Commands)
            self.session.ask(requests.Acknowledge(commands.ids, (0,) * len(commands.ids)))
            gone += len(commands.ids)
        return gone


class Fleet:
    """Many ranks and clients of one meta service."""

    def __init__(self, url: str, events_url: str, stack: ExitStack) -> None:
        """Nobody yet; all of them end with the stack."""
        self._url = url
        self._events_url = events_url
        self._stack = stack
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, _SOCKETS)
        stack.callback(self._context.term)
        self.ranks: list[Rank] = []
        self.clients: list[RawSession] = []
        self.ears: list[Ears] = []

    def grow(self, ranks: int, clients: int) -> None:
        """Let more come, until there are so many."""
        beaten = monotonic()
        while len(self.ranks) < ranks or len(self.clients) < clients:
            if monotonic() - beaten > _HEARTBEAT_S:
                self._beat(self.ranks)
                beaten = monotonic()  # afterwards: or a thousand do nothing else any more
            if len(self.ranks) < ranks:
                self.ranks.append(Rank(self._context, self._url, self._events_url, self._stack))
                continue
            self.clients.append(self.greet())
            self.ears.append(
                self._stack.enter_context(closing(Ears(self._context, self._events_url, (MEMBER,))))
            )

    def greet(self) -> RawSession:
        """One more client says hello."""
        session = RawSession(self._url, PeerKind.CLIENT, self._context)
        return self._stack.enter_context(closing(session))

    def live(self, seconds: float) -> None:
        """Do for a while what idle ranks and clients do: heartbeats, and each client a count of its hits."""
        ends = monotonic() + seconds
        for number in self._ticks(ends):
            self._beat(self.ranks[number % _SLICES :: _SLICES])
            telling = self.clients[number % _CLIENT_SLICES :: _CLIENT_SLICES]
            for client in telling:
                client.send(requests.KeepAlive((("gets", number), ("hits", number))))
            for client in telling:
                client.receive()

    @staticmethod
    def _ticks(ends: float) -> Iterator[int]:
        number, due = 0, monotonic()
        while due < ends:
            yield number
            number, due = number + 1, due + _HEARTBEAT_S / _SLICES
            sleep(max(0.0, due - monotonic()))

    @staticmethod
    def _beat(ranks: Sequence[Rank]) -> None:
        for rank in ranks:
            rank.beat()
        for rank in ranks:
            rank.session.receive()
