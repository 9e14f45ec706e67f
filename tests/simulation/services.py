"""The simulated services: the meta service, and ranks on their segments."""

from __future__ import annotations

from collections.abc import Callable

from mmc.actors.contract import Address
from mmc.actors.local import LocalActor
from mmc.actors.meta import MetaActor
from mmc.segments.layout import Segment, format_segment, plan_layout
from mmc.wire.requests import Join
from mmc.wire.sequence import Frames
from tests.simulation.clocks import Clock
from tests.simulation.data_servers import Line, ServingStrand, SimulatedDataServer
from tests.simulation.hosts import Host
from tests.simulation.inspection import Inspection
from tests.simulation.memory import ProcessMemory, SharedBytes
from tests.simulation.network import META_ROUTE, Network
from tests.simulation.processes import Process
from tests.simulation.settings import Settings
from tests.simulation.wires import Wires
from tests.simulation.world import World


class MetaProcess(Process):
    """One life of the meta service."""

    actor: MetaActor

    def __init__(
        self, world: World, network: Network, clock: Clock, settings: Settings, written: bytes,
        persist: Callable[[bytes], None],
    ) -> None:  # fmt: skip
        """``written`` is what an earlier life persisted."""
        super().__init__(world, network, META_ROUTE.decode(), clock)
        self._persist = persist
        self.actor = MetaActor(
            settings.meta, settings.wire, world.chance.word, self.now, events_url="sim:",
            written=written,
        )  # fmt: skip

    def start(self) -> None:
        """Begin to serve."""
        self.perform(self.actor.start())
        self.set_timer()

    def persist(self, data: bytes) -> None:
        """Write down, at once."""
        self._persist(data)


class Watch:
    """A rank's view of lock files: those of living processes cannot be taken."""

    def __init__(self, lives: Callable[[int], bool]) -> None:
        """``lives``: whether the process with this client id is alive."""
        self._lives = lives
        self._adopted: set[int] = set()

    def adopt(self, client: int) -> bool:
        """Begin to watch a client; False when it is not alive."""
        if not self._lives(client):
            return False
        self._adopted.add(client)
        return True

    def is_dead(self, client: int) -> bool:
        """Whether the client is known dead."""
        return client not in self._adopted or not self._lives(client)

    def forget(self, client: int) -> None:
        """Stop watching."""
        self._adopted.discard(client)


class RankProcess(Process):
    """One life of a local service."""

    actor: LocalActor

    def __init__(
        self, world: World, wires: Wires, host: Host, settings: Settings, name: str, wanted: int,
        shared: SharedBytes | None, lives: Callable[[int], bool],
    ) -> None:  # fmt: skip
        """``shared``: the segment that an earlier life left, or None to begin with a fresh one."""
        super().__init__(world, wires.network, name, host.clock)
        self.wanted = wanted
        self.host = host
        self.lines: dict[bytes, Line] = {}
        self.on_thread: Callable[[ServingStrand], None] = _ignore
        self._wires = wires
        self._url = f"tcp://{host.address}:{name}" if settings.spread.is_wide else ""
        self.server: SimulatedDataServer | None = None
        layout = plan_layout(
            settings.capacity, settings.records, settings.local.clients_max,
            settings.local.pins_per_client,
        )  # fmt: skip
        if shared is None:
            self.shared = SharedBytes(layout.total)
            memory = ProcessMemory(self.shared, self.processor)
            identity = world.chance.word()
            self.segment = format_segment(memory, layout, identity, host.boot, keep=True)
        else:
            self.shared = shared
            self.segment = Segment(ProcessMemory(shared, self.processor), layout)
        self.inspection = Inspection(self.shared, layout)
        join = Join(
            wanted, 0, self.segment.id, host.boot, layout.capacity, layout.records,
            f"/{name}", f"sim:{name}", 0, 0, self._url,
        )  # fmt: skip
        self.actor = LocalActor(
            self.segment, settings.local, settings.wire, settings.client, world.chance.word,
            Watch(lives), join,
        )  # fmt: skip
        self.processor.drain()
        if self._url:
            self.server = SimulatedDataServer(self, wires, settings, self._url, host.number)

    def send(self, to: Address, frames: Frames) -> None:
        """Send a message; what this process's data server hears passes no network."""
        line = self.lines.get(to) if isinstance(to, bytes) else None
        if line is None:
            super().send(to, frames)
        else:
            line.answer(frames)

    def crash(self) -> None:
        """Die here and now, with the data server."""
        self._wires.close_listener(self._url)
        super().crash()
        if self.server is not None:
            self.server.die()
        self._wires.end_of_process(self.route, silently=self._wires.is_down(self.host.number))

    def start(self) -> None:
        """Begin to join."""
        self.perform(self.actor.start(self.now))
        self.set_timer()


def _ignore(_thread: ServingStrand) -> None:
    """Nobody is told."""
