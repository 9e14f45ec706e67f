"""Deals the requests of a trace out to engines, in turn, and collects what became of them.

Request ``n`` goes to engine ``n % engines``.  It is handed out only when the oldest unfinished
request is less than ``_AHEAD`` before it: engines stay together, as behind a router, so that the
order of the trace holds but for the few requests in flight.
"""

from __future__ import annotations

import json
import os
import selectors
from collections import deque
from dataclasses import asdict, replace
from time import perf_counter
from typing import TYPE_CHECKING, Self

from scripts.replay.engine import READY, EngineSettings, Outcome
from scripts.replay.process import Child, cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from scripts.replay.stopping import StopSignals
    from scripts.replay.trace import Request

_AHEAD = 32
_SILENCE_S = 120.0
_STOP_S = 5.0


class _Seat:
    """One engine process, and the requests that it holds."""

    def __init__(self, number: int, settings: EngineSettings) -> None:
        self.child = Child(f"engine {number}", "scripts.replay.engine", json.dumps(asdict(settings)))
        self.holds: deque[int] = deque()
        self._text = b""

    def lines(self) -> list[bytes]:
        """The lines that are there to be read, at least one byte of which is.

        Raises:
            ReplayError: the engine ended.
        """
        part = os.read(self.child.output, 1 << 16)
        if not part:
            raise self.child.failure("ended before its time")
        *lines, self._text = (self._text + part).split(b"\n")
        return lines

    def hand(self, number: int, request: Request) -> None:
        """Hand out a request.

        Raises:
            ReplayError: the engine ended.
        """
        self.holds.append(number)
        try:
            self.child.input.write(json.dumps(request).encode() + b"\n")
            self.child.input.flush()
        except BrokenPipeError:
            raise self.child.failure("ended before its time") from None


class Engines:
    """Engine processes as a context manager."""

    def __init__(self, count: int, settings: EngineSettings, stop: StopSignals) -> None:
        """Not started yet."""
        self._stop_signals = stop
        self._count = count
        self._settings = settings
        self._seats: list[_Seat] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(stop, selectors.EVENT_READ)
        self.wall_s = 0.0

    def __enter__(self) -> Self:
        """Start them, and wait until each is connected.

        Raises:
            ReplayError: one did not start; says why.
            Stopped: a signal arrived meanwhile.
        """
        try:
            for number in range(self._count):
                profile = f"{self._settings.profile}.{number}" if self._settings.profile else ""
                seat = _Seat(number, replace(self._settings, profile=profile))
                self._seats.append(seat)
                self._selector.register(seat.child.output, selectors.EVENT_READ, seat)
            waiting = set(self._seats)
            while waiting:
                for seat in self._await_words():
                    if READY.strip() in seat.lines():
                        waiting.discard(seat)
        except BaseException:
            self._end(hurry=True)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End them; each disconnects in order, unless something went wrong."""
        self._end(hurry=kind is not None)

    def replay(self, requests: Sequence[Request]) -> Iterator[tuple[int, Outcome]]:
        """Yield (engine, outcome) for every request, as they finish; sets ``wall_s`` at the end.

        Raises:
            ReplayError: an engine ended, or said nothing for too long.
            Stopped: a signal arrived meanwhile.
        """
        begun = perf_counter()
        dealt = done = 0
        while done < len(requests):
            oldest = min((seat.holds[0] for seat in self._seats if seat.holds), default=dealt)
            while dealt < min(len(requests), oldest + _AHEAD):
                self._seats[dealt % self._count].hand(dealt, requests[dealt])
                dealt += 1
            for seat in self._await_words():
                for line in seat.lines():
                    seat.holds.popleft()
                    done += 1
                    yield self._seats.index(seat), Outcome(**json.loads(line))
        self.wall_s = perf_counter() - begun

    def cpu_seconds(self) -> float:
        """CPU time that the engines have used so far."""
        return sum(cpu_seconds(seat.child.process.pid) for seat in self._seats)

    def _await_words(self) -> list[_Seat]:
        ready = [key.data for key, _ in self._selector.select(_SILENCE_S)]
        self._stop_signals.check()
        if not ready:
            silent = next((seat for seat in self._seats if seat.holds), self._seats[0])
            raise silent.child.failure(f"said nothing for {_SILENCE_S:.0f} s")
        return ready

    def _end(self, *, hurry: bool) -> None:
        self._selector.close()
        seats, self._seats = self._seats, []
        errors = [seat.child.end(_STOP_S, ask=hurry) for seat in seats]
        for error in filter(None, errors):
            if not hurry:
                raise error
