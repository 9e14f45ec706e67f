"""A simulated client process: it carries out the plans of the public client, in strands of their own.

What the real runtime adds to actor and plans is repeated here in few lines: hints before messages, one
lock, work outside the lock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from mmc.actors.client import ClientActor, reading
from mmc.actors.client.calls import Call, Operation, perform_each
from mmc.actors.client.reading import Pinned
from mmc.actors.contract import META, Address, Effect
from mmc.errors import Code
from mmc.identifiers import Member
from mmc.plans import Plan
from mmc.segments.layout import Segment, open_segment
from tests.simulation.carriers import SimulatedCarrier
from tests.simulation.hosts import Host
from tests.simulation.memory import ProcessMemory, SharedBytes
from tests.simulation.network import META_ROUTE
from tests.simulation.processes import Process
from tests.simulation.settings import Settings
from tests.simulation.wires import Place, Wires
from tests.simulation.world import Strand, World

_CLOCK_PER_S = 16
_PARTING_S = 0.02
T = TypeVar("T")


class ClientProcess(Process):
    """One life of a client."""

    actor: ClientActor

    def __init__(
        self, world: World, wires: Wires, host: Host, settings: Settings, name: str,
        segment_at: Callable[[int, str], SharedBytes | None], *, writable: bool,
    ) -> None:  # fmt: skip
        """``segment_at`` gives the memory behind a path of a host."""
        super().__init__(world, wires.network, name, host.clock)
        self.host = host
        self._wires = wires
        self.limits = settings.client
        self.id = world.chance.word()
        self.writable = writable
        self.leasing: set[bytes] = set()
        self.is_leaving = False
        self._segment_at = segment_at
        self._urls: dict[int, str] = {}
        self._waiting: dict[Call[Any], Strand] = {}
        self.actor = ClientActor(
            self.id, settings.client, settings.local.reserve_ahead_bytes, world.chance.word,
            self._attach, self._make_carrier(settings),
        )  # fmt: skip

    def _make_carrier(self, settings: Settings) -> SimulatedCarrier | None:
        spread = settings.spread
        if not spread.is_wide:
            return None
        place = Place(self.route, self.host.number, self.id)
        return SimulatedCarrier(
            spread.data, spread.threads, self._may_reach, lambda: self.now, self._wires, place
        )

    def _may_reach(self, member: Member) -> bool:
        """Whether a rank's segment is not here."""
        return self._segment_at(self.host.number, member.path) is None

    def crash(self) -> None:
        """Die here and now, with all connections."""
        super().crash()
        self._wires.end_of_process(self.route, silently=self._wires.is_down(self.host.number))

    def start(self) -> None:
        """Say hello."""
        self.perform(self.actor.start(self.now))
        self.set_timer()

    def _attach(self, member: Member) -> Segment | None:
        shared = self._segment_at(self.host.number, member.path)
        if shared is None or member.boot != self.host.boot:
            return None
        memory = ProcessMemory(shared, self.processor, writable=self.writable)
        segment = open_segment(memory, len(shared))
        return segment if segment is not None and segment.id == member.segment else None

    # Sockets

    def send(self, to: Address, frames: tuple[bytes, ...]) -> None:
        """Send to the meta service, or to the rank that the membership names."""
        if to == META:
            super().send(to, frames)
            return
        assert isinstance(to, int)
        member = self.actor.members.get(to)
        if member is not None:
            self._urls = {rank: url for rank, url in self._urls.items() if url != member.control_url}
            self._urls[to] = member.control_url
            target = member.control_url.removeprefix("sim:").encode()
            self.network.send(self.route, target, frames, brokered=False)

    def address_of(self, source: bytes) -> Address | None:
        """The number of the rank that was last asked at this address."""
        if source == META_ROUTE:
            return META
        url = f"sim:{source.decode()}"
        return next((rank for rank, used in self._urls.items() if used == url), None)

    # Calls

    def run(self, operation: Operation[T]) -> T:
        """Carry an operation through in the current strand."""
        calls: list[Call[T]] = []

        def begin() -> list[Effect]:
            call, effects = self.actor.begin(operation, self.now)
            calls.append(call)
            return effects

        self.locked(begin)
        call = calls[0]
        while not call.done:
            if call.work:
                perform_each(call.work)
            elif not call.can_advance:
                strand = self.world.current
                assert strand is not None
                self._waiting[call] = strand
                strand.park()
            self.locked(lambda: self.actor.advance(call, self.now))
        return call.result()

    def _after_locked(self) -> None:
        for call in self.actor.take_ready():
            strand = self._waiting.pop(call, None)
            if strand is not None:
                strand.wake()
        super()._after_locked()

    def cancel(self, strand: Strand) -> bool:
        """The caller in this strand goes away while it waits (as an asynchronous caller may)."""
        call = next((call for call, waiter in self._waiting.items() if waiter is strand), None)
        if call is None:
            return False
        del self._waiting[call]
        strand.kill()
        self.spawn(lambda: self.locked(lambda: self.actor.cancel(call, self.now)))
        return True

    # What users call

    def do(self, plan: Plan[T], deadline: float) -> T:
        """Carry out a call as the public client does, by a deadline in true time."""
        deadline = self.clock.at(deadline)
        if not plan.try_hints(self.actor, int(self.now * _CLOCK_PER_S), perform_each):
            self.run(plan.operation(self.actor, deadline))
        return plan.result()

    def view(self, key: bytes, deadline: float) -> Pinned | bytes | Code:
        """Pin an object, by a deadline in true time; a copy if it is on another host."""
        return self.run(reading.pin(self.actor, key, self.clock.at(deadline)))

    def leave(self) -> None:
        """Say goodbye, as a client that is closed does, and be no more."""
        self.locked(lambda: self.actor.give_back_all(self.now))
        strand = self.world.current
        assert strand is not None
        strand.pause(_PARTING_S)
        self.locked(lambda: self.actor.say_goodbye(self.now))
        strand.pause(_PARTING_S)

    def close_view(self, pinned: Pinned) -> None:
        """Let go of a pinned object."""
        reading.release(pinned)
        self.set_timer()
