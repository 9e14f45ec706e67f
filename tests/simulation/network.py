"""The network: links that delay, lose, repeat and reorder, cuts, two brokers, and messages of the past.

1. Addresses are names of processes.  What passes the broker of requests is known to the meta service by a
   route that names the broker's life as well, since a new one gives new routes to whoever comes again.
2. A broker that is restarted loses what is in it.  What is sent while it is away waits, as in the queue of
   a socket that is not connected.
3. In an *ordered* run a link is what ZeroMQ makes of it: it loses nothing and overtakes nothing, unless it
   is cut or its broker dies; events may be lost, never repeated.  In any other run everything may happen, a
   message of an earlier epoch included.
4. A cut is a pair (from, to), either of which may be everybody: so links fail in one direction or in both.
   A partition is such a pair of hosts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol

from mmc.wire.codec import Header, decode_header
from mmc.wire.operations import Operation
from mmc.wire.sequence import Frames
from tests.simulation.world import World

_HOPS_THROUGH_BROKER = 2
_NAMES = {int(operation): operation.name for operation in Operation}
_REMEMBERED = 500
_LIFE = b"@"
META_ROUTE = b"meta"
EVERYBODY = b""
NOWHERE = -1
"""The host of the meta service, where it has none in common with others."""


class Endpoint(Protocol):
    """Something that messages arrive at."""

    route: bytes
    topics: tuple[bytes, ...]

    def arrive(self, source: bytes, frames: Frames) -> None:
        """A message of a process with this route."""
        ...

    def hear(self, frames: Frames) -> None:
        """An event of a topic that was subscribed to."""
        ...


@dataclass(slots=True)
class Broker:
    """What passes it is lost with the life in which it entered."""

    life: int = 1
    away_until: float = 0.0


@dataclass(slots=True)
class _Link:
    """One direction between two processes: how much slower and worse than others, and its last arrival."""

    slowness: float
    badness: float
    last: float = 0.0


class _Sent(NamedTuple):
    """A message on its way, or one that was."""

    source: bytes
    target: bytes
    header: Header
    frames: Frames
    brokered: bool


@dataclass(slots=True)
class Network:
    """Carries frames between processes."""

    world: World
    on_send: Callable[[bytes, Header, Frames], None] | None = None
    requests: Broker = field(default_factory=Broker)
    events: Broker = field(default_factory=Broker)
    _endpoints: dict[bytes, Endpoint] = field(default_factory=dict)
    _cuts: dict[tuple[bytes, bytes], float] = field(default_factory=dict)
    _hosts: dict[bytes, int] = field(default_factory=dict)
    _partitions: dict[tuple[int, int], float] = field(default_factory=dict)
    _links: dict[tuple[bytes, bytes, bool], _Link] = field(default_factory=dict)
    _past: deque[_Sent] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))

    def connect(self, endpoint: Endpoint) -> None:
        """From here on its route leads to it, also what was sent to an earlier owner of the route."""
        self._endpoints[endpoint.route] = endpoint

    def disconnect(self, endpoint: Endpoint) -> None:
        """It is gone."""
        if self._endpoints.get(endpoint.route) is endpoint:
            del self._endpoints[endpoint.route]

    def forget_links(self) -> None:
        """From here on links are what the mix of the run makes of them."""
        self._links.clear()

    # Mishaps

    def cut(self, source: bytes, target: bytes, seconds: float) -> None:
        """Nothing that one sends to the other arrives for a while; either may be ``EVERYBODY``."""
        self.world.log("cut", source, target, seconds)
        self._cuts[source, target] = self.world.now + seconds

    def isolate(self, route: bytes, seconds: float) -> None:
        """Nothing sent to or by this process arrives for a while."""
        self.cut(route, EVERYBODY, seconds)
        self.cut(EVERYBODY, route, seconds)

    def restart(self, broker: Broker, away_s: float) -> None:
        """A broker dies with all that is in it, and comes back later."""
        self.world.log("broker restarts", "events" if broker is self.events else "requests", away_s)
        broker.life += 1
        broker.away_until = self.world.now + away_s

    def bring_back(self, epoch: int) -> None:
        """A message that was sent at some time arrives once more; ``epoch`` is that of today."""
        if not self._past:
            return
        sent = self.world.chance.random.choice(self._past)
        self.world.count("late messages")
        if sent.header.epoch < epoch:
            self.world.count("messages of an old epoch")
        self._travel(sent)

    def settle(self, route: bytes, host: int) -> None:
        """A process with this route lives on a host; it is ``NOWHERE`` before."""
        self._hosts[route] = host

    def part(self, sources: Iterable[int], targets: Iterable[int], seconds: float) -> None:
        """Nothing that processes of some hosts send to those of others arrives for a while."""
        sources, targets = sorted(sources), sorted(targets)
        self.world.log("partition", sources, targets, seconds)
        for source in sources:
            for target in targets:
                self._partitions[source, target] = self.world.now + seconds

    def heal(self) -> None:
        """Every link works."""
        self._cuts.clear()
        self._partitions.clear()
        self.requests.away_until = self.events.away_until = self.world.now

    def is_cut(self, source: bytes, target: bytes) -> bool:
        """Whether nothing that one sends to the other arrives now."""
        now = self.world.now
        if self._partitions:
            hosts = self._hosts.get(source, NOWHERE), self._hosts.get(target, NOWHERE)
            if self._partitions.get(hosts, 0.0) > now:
                return True
        if not self._cuts:
            return False
        pairs = ((source, EVERYBODY), (EVERYBODY, target), (source, target))
        return any(self._cuts.get(pair, 0.0) > now for pair in pairs)

    def _link(self, source: bytes, target: bytes, *, event: bool) -> _Link:
        link = self._links.get((source, target, event))
        if link is None:
            link = self._links[source, target, event] = _Link(*self.world.chance.link())
        return link

    # Messages

    def send(self, source: bytes, target: bytes, frames: Frames, *, brokered: bool) -> None:
        """Send a message, over the broker or not; to a route that a broker gave, if it still knows it."""
        header = decode_header(frames)
        if self.on_send is not None:
            self.on_send(source, header, frames)
        target, _, life = target.partition(_LIFE)
        if life and int(life) != self.requests.life:
            self.world.count("messages to an old route")
            return
        sent = _Sent(source, target, header, frames, brokered)
        self._past.append(sent)
        copies = self.world.chance.copies(self._link(source, target, event=False).badness, event=False)
        if self.is_cut(source, target):
            copies = 0
        _count_copies(self.world, copies, "messages")
        for _ in range(copies):
            self._travel(sent)

    def _travel(self, sent: _Sent) -> None:
        hops = _HOPS_THROUGH_BROKER if sent.brokered else 1
        broker = self.requests if sent.brokered else None
        link = self._link(sent.source, sent.target, event=False)
        self._later(link, hops, broker, partial(self._arrive, sent, self.requests.life))

    def _later(self, link: _Link, hops: int, broker: Broker | None, arrive: Callable[[], None]) -> None:
        chance, now = self.world.chance, self.world.now
        at = now + link.slowness * sum(chance.delay() for _ in range(hops))
        if broker is not None and broker.away_until > now:
            at += broker.away_until - now
        if chance.mix.ordered:
            at = max(at, link.last)
            link.last = at
        self.world.after(at - now, arrive)

    def _arrive(self, sent: _Sent, life: int) -> None:
        endpoint = self._endpoints.get(sent.target)
        if endpoint is None or self.is_cut(sent.source, sent.target):
            return
        source = sent.source
        if sent.brokered and life != self.requests.life:
            self.world.count("messages lost with a broker")
            return
        if sent.target == META_ROUTE:
            source += _LIFE + str(life).encode()
        what = _NAMES[sent.header.operation]
        self.world.log("message", sent.source, sent.target, what, sent.header.sequence, sent.header.flags)
        endpoint.arrive(source, sent.frames)

    # Events

    def publish(self, source: bytes, topic: bytes, frames: Frames) -> None:
        """Tell everybody who subscribed."""
        for route, endpoint in list(self._endpoints.items()):
            if topic not in endpoint.topics:
                continue
            link = self._link(source, route, event=True)
            copies = self.world.chance.copies(link.badness, event=True)
            if self.is_cut(source, route) or self.events.away_until > self.world.now:
                copies = 0
            _count_copies(self.world, copies, "events")
            for _ in range(copies):
                tell = partial(self._tell, source, route, topic, frames, self.events.life)
                self._later(link, _HOPS_THROUGH_BROKER, None, tell)

    def _tell(self, source: bytes, route: bytes, topic: bytes, frames: Frames, life: int) -> None:
        endpoint = self._endpoints.get(route)
        if endpoint is None or topic not in endpoint.topics or self.is_cut(source, route):
            return
        if life == self.events.life:
            self.world.log("event", route, topic)
            endpoint.hear(frames)


def _count_copies(world: World, copies: int, what: str) -> None:
    world.count(what)
    if copies != 1:
        world.count(f"{what} {'repeated' if copies else 'lost'}")
