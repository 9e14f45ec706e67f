"""Everything that could go otherwise: each choice is a method, drawn from one seeded source.

The rates are the *mix* of a run.  The swarm draws a mix with each configuration; the state machine of
hypothesis chooses the mix by rules, and the seed of the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

_MOST = 10_000
_MICROSECOND = 1e-6


@dataclass(slots=True)
class Mix:
    """How often what goes wrong; probabilities per message, event or stall.

    ``ordered``: links neither overtake nor repeat nor lose, as long as they hold; ``uneven``: some links are
    worse than others; ``drift``: by how much clocks run too fast or too slow, at most.
    """

    lost: float = 0.0
    repeated: float = 0.0
    delayed: float = 0.0
    event_lost: float = 0.0
    event_repeated: float = 0.0
    latency_s: float = 0.0002
    delay_s: float = 0.5
    run_length: float = 40.0
    long_stall: float = 0.02
    longest_stall_s: float = 0.3
    buffers_stores: bool = True
    crash_at_stall: float = 0.0
    ordered: bool = False
    uneven: bool = False
    drift: float = 0.0


CALM = Mix(run_length=1e9, long_stall=0.0)
"""Nothing goes wrong."""


class Chance:
    """One run's choices."""

    def __init__(self, seed: int, mix: Mix) -> None:
        """``seed`` decides all of them."""
        self.random = Random(seed)
        self.mix = mix

    def word(self) -> int:
        """A random 63-bit number, as services and clients draw."""
        return self.random.getrandbits(63)

    def link(self) -> tuple[float, float]:
        """How much slower than others a link is, and how much worse."""
        if not self.mix.uneven:
            return 1.0, 1.0
        return self.random.choice((0.3, 1.0, 5.0)), self.random.choice((0.0, 1.0, 2.0))

    def copies(self, badness: float, *, event: bool) -> int:
        """How often a message arrives: not at all, once, or twice."""
        mix = self.mix
        lost, repeated = (mix.event_lost, mix.event_repeated) if event else (mix.lost, mix.repeated)
        if mix.ordered:
            lost, repeated = (lost, 0.0) if event else (0.0, 0.0)
        drawn = self.random.random()
        lost *= badness
        if drawn < lost:
            return 0
        return 2 if drawn < lost + repeated else 1

    def delay(self) -> float:
        """How long a message travels, in seconds; independent draws reorder."""
        mix = self.mix
        if self.random.random() < mix.delayed:
            return self.random.uniform(0.0, mix.delay_s)
        return self.random.expovariate(1 / mix.latency_s)

    def run_length(self) -> int:
        """How many memory operations a thread does before its next stall."""
        return min(_MOST, 1 + int(self.random.expovariate(1 / self.mix.run_length)))

    def stall(self) -> float:
        """How long a thread stands still between two memory operations, in seconds."""
        if self.random.random() < self.mix.long_stall:
            return self.random.uniform(0.0, self.mix.longest_stall_s)
        return self.random.expovariate(1.0) * 20 * _MICROSECOND

    def crashes(self) -> bool:
        """Whether a client dies at this stall."""
        return self.mix.crash_at_stall > 0 and self.random.random() < self.mix.crash_at_stall

    def visible(self, stores: int) -> int:
        """How many of the stores in a buffer have become visible when a thread stalls."""
        return self.random.randint(0, stores)

    def retention(self) -> float:
        """How long a store may stay in a buffer, in seconds: in theory, as long as it likes."""
        if self.random.random() < self.mix.long_stall:
            return self.random.uniform(0.0, self.mix.longest_stall_s)
        return self.random.expovariate(1.0) * 20 * _MICROSECOND

    def clock_rate(self) -> float:
        """How fast a clock runs against the true time."""
        return self.random.uniform(1 - self.mix.drift, 1 + self.mix.drift)

    def split(self, size: int) -> int:
        """Where a copy of several words is interrupted."""
        return self.random.randint(0, size)
