"""A simulated process: one actor behind one lock, its inbox, its timer, and the strands inside it.

An actor's step runs under the process's lock, as in the real runtime, and may stall within a memory
operation while everything else goes on.  Whatever arrives meanwhile waits in the inbox.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from mmc.actors.contract import (
    EVENTS,
    META,
    Actor,
    Address,
    Effect,
    Note,
    Persist,
    Publish,
    Send,
    Subscribe,
)
from mmc.wire.sequence import Frames
from tests.simulation.clocks import Clock
from tests.simulation.memory import Processor
from tests.simulation.network import META_ROUTE, Network
from tests.simulation.world import Strand, World

_TICK_S = 0.001
_SPINS_MAX = 30


class Process:
    """What all processes have."""

    actor: Actor

    def __init__(self, world: World, network: Network, name: str, clock: Clock) -> None:
        """Connected; its subclass gives it an actor and starts it."""
        self.world = world
        self.network = network
        self.clock = clock
        self.name = name
        self.route = name.encode()
        self.topics: tuple[bytes, ...] = ()
        self.processor = Processor(world, name)
        self.dead = False
        self.life = 0
        self.stopped_until = 0.0
        self.after_step: Callable[[], None] | None = None
        self._inbox: deque[tuple[Address, Frames] | None] = deque()
        self._locked = False
        self._lock_queue: deque[Strand] = deque()
        self._pumping = False
        self._timer_at: float | None = None
        self._spins = 0
        self._strands: dict[Strand, None] = {}
        network.connect(self)

    @property
    def now(self) -> float:
        """The time, as far as this process knows."""
        return self.clock.at(self.world.now)

    # What arrives

    def address_of(self, source: bytes) -> Address | None:
        """The address under which the actor knows a sender; None: its socket was closed."""
        return META if source == META_ROUTE else source

    def arrive(self, source: bytes, frames: Frames) -> None:
        """Take a message into the inbox."""
        address = self.address_of(source)
        if address is not None:
            self._take((address, frames))

    def hear(self, frames: Frames) -> None:
        """Take an event into the inbox."""
        self._take((EVENTS, frames))

    def _take(self, item: tuple[Address, Frames] | None) -> None:
        if self.dead:
            return
        self._inbox.append(item)
        if not self._pumping:
            self._pumping = True
            self.spawn(self._pump)

    def _pump(self) -> None:
        while self._inbox:
            item = self._inbox.popleft()
            self.locked(partial(self._step, item))
        self._pumping = False

    def _step(self, item: tuple[Address, Frames] | None) -> list[Effect]:
        if item is not None:
            self._spins = 0
            return self.actor.receive(*item, self.now)
        deadline = self.actor.next_deadline()
        if deadline is None or deadline > self.now:
            return []
        effects = self.actor.expire(self.now)
        deadline = self.actor.next_deadline()
        idle = not effects and deadline is not None and deadline <= self.now
        self._spins = self._spins + 1 if idle else 0
        assert self._spins < _SPINS_MAX, f"{self.name} spins: it is due again and does nothing"
        return effects

    # The lock, and time

    def spawn(self, work: Callable[[], None]) -> Strand:
        """A new thread of this process."""
        strand = Strand(self.world, lambda: self._run(strand, work), lambda: self.stopped_until)
        self._strands[strand] = None
        strand.begin()
        return strand

    def _run(self, strand: Strand, work: Callable[[], None]) -> None:
        work()
        self._strands.pop(strand, None)

    def locked(self, work: Callable[[], list[Effect]]) -> None:
        """Run a step of the actor under the lock, by the current strand, and carry out its effects."""
        strand = self.world.current
        assert strand is not None
        while self._locked:
            self._lock_queue.append(strand)
            strand.park()
        self._locked = True
        self.perform(work())
        self._locked = False
        self._after_locked()

    def _after_locked(self) -> None:
        if self.after_step is not None:
            self.after_step()
        self.set_timer()
        if self._lock_queue:
            self._lock_queue.popleft().wake()

    def set_timer(self) -> None:
        """See to it that what is due is done in time."""
        deadline = self.actor.next_deadline()
        if deadline is None:
            return
        at = max(self.clock.when(deadline), self.world.now + _TICK_S)
        if self._timer_at is None or at < self._timer_at:
            self._timer_at = at
            self.world.after(at - self.world.now, lambda: self._ring(at))

    def _ring(self, at: float) -> None:
        if self._timer_at == at:
            self._timer_at = None
            self._take(None)

    # Effects

    def perform(self, effects: list[Effect]) -> None:
        """Carry out effects in their order; whoever sees a message sees what was stored before it."""
        if effects:
            self.processor.drain()
        for effect in effects:
            if self.dead:
                return
            match effect:
                case Send(to, frames):
                    self.send(to, frames)
                case Publish(topic, frames):
                    self.network.publish(self.route, topic, frames)
                case Subscribe(_, topics):
                    self.topics = topics
                case Persist(data):
                    self.persist(data)
                case Note(event, detail):
                    self.world.log("note", self.name, event, detail)

    def send(self, to: Address, frames: Frames) -> None:
        """Send a message to where the actor says."""
        assert isinstance(to, bytes) or to == META
        target = to if isinstance(to, bytes) else META_ROUTE
        brokered = META_ROUTE in (self.route, target)
        self.network.send(self.route, target, frames, brokered=brokered)

    def persist(self, data: bytes) -> None:
        """Write down."""
        raise AssertionError(f"{self.name} has nothing to write down")

    # The end

    def crash(self) -> None:
        """Die here and now; what was sent is on its way, what was stored becomes visible."""
        self.world.log("crash", self.name)
        self.dead = True
        self.processor.die()
        self.network.disconnect(self)
        for strand in self._strands:
            strand.kill()
        self._inbox.clear()

    def stop(self, seconds: float) -> None:
        """Let none of its threads run for a while."""
        self.world.log("stop", self.name, seconds)
        self.processor.note_stall(seconds)
        self.stopped_until = max(self.stopped_until, self.world.now + seconds)

    @property
    def stood_still(self) -> float:
        """For how long its threads together have stood still, in seconds."""
        return self.processor.stood_still

    @property
    def is_between_steps(self) -> bool:
        """Whether the actor is not in the midst of anything."""
        return not self._locked
