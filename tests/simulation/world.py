"""Simulated time: an ordered queue of events, threads that can stall, and one seeded source of chance.

1. Nothing happens but through the queue; events of one moment happen in the order of their making.
2. A *strand* is a thread of a simulated process.  It runs until it pauses (for a while) or parks (until
   woken), and every strand that is neither is the one that runs: there is no other concurrency.
3. Everything that could have gone otherwise was drawn from :class:`~tests.simulation.chance.Chance`.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from greenlet import GreenletExit, getcurrent, greenlet

from tests.simulation.chance import Chance
from tests.simulation.stories import Story

BOOT = 1000.0
"""The time at which every run begins, in seconds since the host's boot."""

T = TypeVar("T")


class World:
    """Time, and what is going to happen."""

    def __init__(self, chance: Chance) -> None:
        """Nothing is going to happen yet."""
        self.now = BOOT
        self.chance = chance
        self.story = Story()
        self.counts: Counter[str] = Counter()
        self.steps = 0
        self.current: Strand | None = None
        self.hub = getcurrent()
        self.strands: dict[Strand, None] = {}
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        """Let something happen later."""
        self._order += 1
        heapq.heappush(self._queue, (self.now + max(0.0, seconds), self._order, act))

    def step(self) -> bool:
        """Let the next thing happen; False when nothing is going to."""
        if not self._queue:
            return False
        when, _, act = heapq.heappop(self._queue)
        self.now = max(self.now, when)
        self.steps += 1
        act()
        return True

    def run_until(self, is_over: Callable[[], bool], limit_s: float, every: int = 1) -> bool:
        """Let things happen until this holds; False when it does not within a time.

        Looked at after ``every`` steps.
        """
        end = self.now + limit_s
        while not is_over():
            for _ in range(every):
                if not self._queue or self._queue[0][0] > end:
                    self.now = end
                    return is_over()
                self.step()
        return True

    def run_for(self, seconds: float) -> None:
        """Let time pass."""
        self.run_until(lambda: False, seconds)

    def log(self, kind: str, *facts: object) -> None:
        """Add a line to the story of this run."""
        self.story.add(self.now, kind, facts)

    def count(self, name: str) -> None:
        """Count something, for the driver's summary."""
        self.counts[name] += 1

    def close(self) -> None:
        """End every strand that has not ended; its process must be dead."""
        for strand in list(self.strands):
            strand.end()
        self._queue.clear()


class Strand:
    """A thread of a simulated process."""

    def __init__(self, world: World, work: Callable[[], None], stopped_until: Callable[[], float]) -> None:
        """Will run ``work``; its process may be stopped until some time."""
        self._world = world
        self._stopped_until = stopped_until
        self._work = work
        self._greenlet = greenlet(self._run, world.hub)
        self._killed = False
        world.strands[self] = None

    def begin(self) -> None:
        """Run, at once if nothing else does."""
        if self._world.current is None:
            self._go_on()
        else:
            self.wake()

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._world.strands.pop(self, None)

    def _go_on(self) -> None:
        if self._killed or self._greenlet.dead:
            return
        stopped = self._stopped_until() - self._world.now
        if stopped > 0:
            self._world.after(stopped, self._go_on)
            return
        self._world.current = self
        try:
            self._greenlet.switch()
        finally:
            self._world.current = None

    def pause(self, seconds: float) -> None:
        """Stand still for a while (to be called by this strand)."""
        self._world.after(seconds, self._go_on)
        self._world.hub.switch()

    def park(self) -> None:
        """Stand still until :meth:`wake` (to be called by this strand)."""
        self._world.hub.switch()

    def wake(self) -> None:
        """Let a parked strand go on."""
        self._world.after(0.0, self._go_on)

    def kill(self) -> None:
        """Never let it go on."""
        self._killed = True

    def end(self) -> None:
        """Unwind its stack, now that nothing it does matters any more."""
        self._killed = True
        if not self._greenlet.dead:
            self._greenlet.throw(GreenletExit)
        self._world.strands.pop(self, None)
