"""A simulated rank's data server: the product's serving threads, each a strand of the rank's process.

Its connections are wires; its line to the rank is as that within a process: nothing is lost, and in order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from mmc.actors.client.draft import Draft
from mmc.actors.client.proxy import Proxy
from mmc.errors import Code
from mmc.segments.layout import Segment
from mmc.transfer.serving_thread import ServingThread
from mmc.wire.codec import decode_header
from mmc.wire.sequence import Frames
from tests.simulation.memory import ProcessMemory, Processor
from tests.simulation.observing import observe
from tests.simulation.polls import Poll
from tests.simulation.wires import End, Endpoint, Place, Wire, Wires
from tests.simulation.world import World

if TYPE_CHECKING:
    import select
    import socket

    from mmc.segments.mapping import BufferMemory
    from tests.simulation.services import RankProcess
    from tests.simulation.settings import Settings

_EPOLL_UNITS_PER_S = 1.0
_LINE_S = 0.00002
_NO_WAKE = -2


class Line(End):
    """What a rank and a thread of its data server say to one another."""

    def __init__(self, wires: Wires, rank: RankProcess, route: bytes) -> None:
        """``route`` is the thread's."""
        super().__init__(wires)
        self._world = wires.world
        self._network = wires.network
        self._rank = rank
        self._route = route
        self._heard: list[Frames] = []
        self._last = 0.0

    def _later(self, act: Callable[[], None]) -> None:
        delay = self._world.chance.random.expovariate(1 / _LINE_S)
        self._last = max(self._last, self._world.now + delay)
        self._world.after(self._last - self._world.now, act)

    def _noted(self, source: bytes, frames: Frames) -> None:
        if self._network.on_send is not None:
            self._network.on_send(source, decode_header(frames), frames)

    def send(self, frames: Frames) -> None:
        """To the rank."""
        self._noted(self._route, frames)
        self._later(partial(self._rank.arrive, self._route, frames))

    def answer(self, frames: Frames) -> None:
        """From the rank."""
        self._noted(self._rank.route, frames)
        self._later(partial(self._arrive, frames))

    def _arrive(self, frames: Frames) -> None:
        self._heard.append(frames)
        self.changed()

    def receive(self) -> list[Frames]:
        """All that the rank has said."""
        heard, self._heard = self._heard, []
        return heard

    def events(self) -> int:
        """Readable when the rank has spoken."""
        return 1 if self._heard else 0


class Agent:
    """What a serving thread writes with; its lock is held as long as the rank's process lives."""

    def __init__(self, thread: ServingStrand, wires: Wires, settings: Settings) -> None:
        """The rank knows it as one of its clients."""
        chance = wires.world.chance
        self.id = chance.word()
        self.name = thread.processor.name
        self._line = Line(wires, thread.rank, self.name.encode())
        thread.rank.lines[self.name.encode()] = self._line
        self.proxy = Proxy(
            thread.segment, self.id, settings.client, settings.local.reserve_ahead_bytes, chance.word
        )
        self.fileno = self._line.fileno
        self.receive = self._line.receive
        self._world = wires.world
        self._processor = thread.processor
        observe(self.proxy, "publish", after=self._published)
        observe(self.proxy, "abandon", before=self._abandoning)

    def send(self, frames: Frames) -> None:
        """To the rank, which sees what was stored before."""
        self._processor.drain()
        self._line.send(frames)

    def _published(self, codes: list[Code], drafts: list[Draft], _term: int, _now: float) -> None:
        self._world.log("publish", self.name, tuple(draft.key for draft in drafts), tuple(map(int, codes)))
        self._world.counts["blocks published"] += codes.count(Code.OK)

    def _abandoning(self, drafts: list[Draft], _now: float) -> None:
        open_ones = [draft for draft in drafts if draft.code is None]
        self._world.log("abandon", self.name, tuple(draft.key for draft in open_ones))
        self._world.counts["blocks abandoned"] += len(open_ones)

    def close(self) -> None:
        """It ends with its process."""


class ServingStrand(ServingThread):
    """One serving thread, as a strand."""

    def __init__(self, rank: RankProcess, wires: Wires, settings: Settings, number: int) -> None:
        """With its own way to memory: it runs on a core of its own."""
        self._wires = wires
        self.rank = rank
        self.processor = Processor(rank.world, f"{rank.name}.data-{number}")
        memory = ProcessMemory(rank.shared, self.processor)
        self._endpoint = Endpoint(memory, self.processor)
        self.agent: Agent | None = None
        super().__init__(
            Segment(memory, rank.segment.layout),
            cast("BufferMemory", memory),
            settings.spread.data,
            partial(self._make_agent, settings),
            lambda: rank.now,
            self._heard,
            self.processor.name,
        )

    def _open_poll(self) -> tuple[select.epoll, int]:
        return cast("select.epoll", Poll(self._wires, _EPOLL_UNITS_PER_S)), _NO_WAKE

    def _make_agent(self, settings: Settings) -> Agent:
        self.agent = Agent(self, self._wires, settings)
        return self.agent

    def _heard(self, event: str, detail: str) -> None:
        assert "Traceback" not in detail, f"{self.processor.name}: {event}\n{detail}"
        self.rank.world.log("note", self.processor.name, event, detail)

    def start(self) -> None:
        """Begin."""
        self.rank.spawn(self._run)

    def accept(self, wire: Wire) -> Endpoint:
        """Serve a connection."""
        self.take(cast("socket.socket", wire))
        return self._endpoint

    def _rouse(self) -> None:
        cast("Poll", self._poll).interrupt()

    def _turn(self) -> None:
        self._take_new()
        super()._turn()

    def _close(self) -> None:
        """It ends with its process."""


class SimulatedDataServer:
    """The threads of one rank; hands over as :class:`mmc.transfer.data_server.DataServer` does."""

    def __init__(self, rank: RankProcess, wires: Wires, settings: Settings, url: str, host: int) -> None:
        """Listens."""
        self._rank = rank
        self._wires = wires
        self._settings = settings
        self.threads: list[ServingStrand] = []
        self.place = Place(rank.route, host)
        wires.listen(url, self.place, self._accept)

    @property
    def _world(self) -> World:
        return self._rank.world

    def _accept(self, wire: Wire) -> Endpoint | None:
        limits = self._settings.spread.data
        if sum(map(len, self.threads)) >= limits.connections_max:
            self._world.count("connections refused")
            return None
        if len(self.threads) < limits.threads and all(map(len, self.threads)):
            thread = ServingStrand(self._rank, self._wires, self._settings, len(self.threads))
            self.threads.append(thread)
            self._rank.on_thread(thread)
            thread.start()
        return min(self.threads, key=len).accept(wire)

    @property
    def agents(self) -> list[Agent]:
        """Those that have begun to write."""
        return [thread.agent for thread in self.threads if thread.agent is not None]

    def die(self) -> None:
        """Its process has ended: what its threads stored becomes visible."""
        for thread in self.threads:
            thread.processor.die()
