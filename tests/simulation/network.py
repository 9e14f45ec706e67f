"""The network: every message may be lost, repeated, delayed and overtaken; every event too.

Addresses are names of processes, as routes: the broker of requests hands the meta service the route of
whoever asks, the hub of events hands everybody what they subscribed to.  Both hold no truth, and so are
nothing here but two hops' delay.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from mmc.wire.codec import Header, decode_header
from mmc.wire.operations import Operation
from mmc.wire.sequence import Frames
from tests.simulation.world import World

_HOPS_THROUGH_BROKER = 2
_NAMES = {int(operation): operation.name for operation in Operation}


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


class Network:
    """Carries frames between processes."""

    def __init__(self, world: World) -> None:
        """Nobody is connected."""
        self._world = world
        self._endpoints: dict[bytes, Endpoint] = {}
        self._cut: dict[bytes, float] = {}
        self.on_send: Callable[[bytes, Header, Frames], None] | None = None

    def connect(self, endpoint: Endpoint) -> None:
        """From here on its route leads to it, also what was sent to an earlier owner of the route."""
        self._endpoints[endpoint.route] = endpoint

    def disconnect(self, endpoint: Endpoint) -> None:
        """It is gone."""
        if self._endpoints.get(endpoint.route) is endpoint:
            del self._endpoints[endpoint.route]

    def cut(self, route: bytes, seconds: float) -> None:
        """Nothing sent to or by this process arrives for a while."""
        self._world.count("cuts")
        self._world.log("cut", route, seconds)
        self._cut[route] = self._world.now + seconds

    def heal(self) -> None:
        """Every link works."""
        self._cut.clear()

    def _is_cut(self, *routes: bytes) -> bool:
        return any(self._cut.get(route, 0.0) > self._world.now for route in routes)

    def send(self, source: bytes, target: bytes, frames: Frames, *, brokered: bool) -> None:
        """Send a message, over the broker or not."""
        world = self._world
        header = decode_header(frames)
        if self.on_send is not None:
            self.on_send(source, header, frames)
        copies = world.chance.copies(event=False)
        if self._is_cut(source, target):
            copies = 0
        _count_copies(world, copies, "messages")
        for _ in range(copies):
            hops = _HOPS_THROUGH_BROKER if brokered else 1
            delay = sum(world.chance.delay() for _ in range(hops))
            world.after(delay, partial(self._arrive, source, target, header, frames))

    def _arrive(self, source: bytes, target: bytes, header: Header, frames: Frames) -> None:
        endpoint = self._endpoints.get(target)
        if endpoint is None or self._is_cut(source, target):
            return
        what = _NAMES[header.operation]
        self._world.log("message", source, target, what, header.sequence, header.flags)
        endpoint.arrive(source, frames)

    def publish(self, source: bytes, topic: bytes, frames: Frames) -> None:
        """Tell everybody who subscribed."""
        for route, endpoint in list(self._endpoints.items()):
            if topic not in endpoint.topics:
                continue
            copies = self._world.chance.copies(event=True)
            if self._is_cut(source, route):
                copies = 0
            _count_copies(self._world, copies, "events")
            for _ in range(copies):
                delay = self._world.chance.delay() + self._world.chance.delay()
                self._world.after(delay, partial(self._tell, route, topic, frames))

    def _tell(self, route: bytes, topic: bytes, frames: Frames) -> None:
        endpoint = self._endpoints.get(route)
        if endpoint is not None and topic in endpoint.topics and not self._is_cut(route):
            self._world.log("event", route, topic)
            endpoint.hear(frames)


def _count_copies(world: World, copies: int, what: str) -> None:
    world.count(what)
    if copies != 1:
        world.count(f"{what} {'repeated' if copies else 'lost'}")
