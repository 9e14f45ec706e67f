"""The clock of a host: it runs a little too fast or too slow, from an origin of its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """What the processes of a host take for the time, in seconds, when it truly is some other time."""

    origin: float
    rate: float
    ahead: float

    def at(self, true: float) -> float:
        """What this clock shows."""
        return self.origin + self.ahead + (true - self.origin) * self.rate

    def when(self, shown: float) -> float:
        """At what true time it shows this."""
        return self.origin + (shown - self.origin - self.ahead) / self.rate
