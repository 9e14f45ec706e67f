"""The client processes of a run: started, told, killed, stopped, and started again with what they left."""

from __future__ import annotations

import json
import os
import select
import signal
from dataclasses import asdict, replace
from time import monotonic
from typing import TYPE_CHECKING

from scripts.crashing.load import READY, Settings
from scripts.replay.process import Child

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_ENDING_S = 20.0
_ANSWER_S = 60.0
_BYTES = 4096

Stops = dict[str, list[tuple[float, float]]]
"""By the name of a client's life, when it was stopped and when it went on, as time.monotonic()."""


class Life:
    """One client process."""

    def __init__(self, settings: Settings, prefix: Sequence[str]) -> None:
        """Start it, by a command that runs its command; it loads as soon as it is connected."""
        self.settings = settings
        self.prefix = prefix
        self.name = f"{settings.hand}-{settings.life}"
        told = json.dumps(asdict(settings))
        self.child = Child(f"client {self.name}", "scripts.crashing.load", told, prefix=prefix)
        self._heard = b""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.child.process.pid

    def tell(self, word: str) -> None:
        """Say a word to it.

        Raises:
            ReplayError: it has ended.
        """
        try:
            self.child.input.write(f"{word}\n".encode())
            self.child.input.flush()
        except BrokenPipeError:
            raise self.child.failure("ended before its time") from None

    def hear(self) -> str:
        """Its next answer.

        Raises:
            ReplayError: it has ended, or hangs.
        """
        deadline = monotonic() + _ANSWER_S
        while b"\n" not in self._heard:
            left_s = max(0.0, deadline - monotonic())
            if not select.select([self.child.output], [], [], left_s)[0]:
                raise self.child.failure("hangs")
            part = os.read(self.child.output, _BYTES)
            if not part:
                raise self.child.failure("ended before its time")
            self._heard += part
        line, _, self._heard = self._heard.partition(b"\n")
        word = line.decode()
        return self.hear() if word == READY else word


class Fleet:
    """All clients of a run."""

    def __init__(
        self, first: Settings, hands: Iterable[int], prefixes: Sequence[Sequence[str]] = ((),)
    ) -> None:
        """Start one like the first for each of these numbers, on the hosts of the prefixes in turn."""
        self.stops: Stops = {}
        self.lives = [Life(replace(first, hand=hand), prefixes[hand % len(prefixes)]) for hand in hands]

    def check(self) -> None:
        """Every client lives.

        Raises:
            ReplayError: one has ended by itself; says which, and its last words.
        """
        for life in self.lives:
            status = life.child.process.poll()
            if status is not None:
                raise life.child.failure(f"ended by itself with status {status}")

    def kill(self, hand: int) -> None:
        """SIGKILL, and another life with what is left behind."""
        life = self.lives[hand]
        life.child.process.kill()
        life.child.end(_ENDING_S, ask=False)
        self._begin_again(hand)

    def restart(self, hand: int) -> None:
        """Let it close its client and end, and begin another life.

        Raises:
            ReplayError: it did not end in order.
        """
        self._end(self.lives[hand])
        self._begin_again(hand)

    def _begin_again(self, hand: int) -> None:
        settings = self.lives[hand].settings
        self.lives[hand] = Life(replace(settings, life=settings.life + 1), self.lives[hand].prefix)

    def halt(self, hand: int) -> None:
        """SIGSTOP."""
        life = self.lives[hand]
        self.stops.setdefault(life.name, []).append((monotonic(), float("inf")))
        life.child.process.send_signal(signal.SIGSTOP)

    def go_on(self, hand: int) -> None:
        """SIGCONT."""
        life = self.lives[hand]
        life.child.process.send_signal(signal.SIGCONT)
        began, _ = self.stops[life.name].pop()
        self.stops[life.name].append((began, monotonic()))

    def tell_all(self, word: str) -> list[str]:
        """Say a word to every client and hear each answer.

        Raises:
            ReplayError: one has ended, or hangs.
        """
        for life in self.lives:
            life.tell(word)
        return [life.hear() for life in self.lives]

    def _end(self, life: Life) -> None:
        error = life.child.end(_ENDING_S, ask=False)
        if error is not None:
            raise error

    def end(self) -> None:
        """Let every client close and end.

        Raises:
            ReplayError: one did not end in order.
        """
        lives, self.lives = self.lives, []
        errors = [life.child.end(_ENDING_S, ask=False) for life in lives]
        for error in errors:
            if error is not None:
                raise error

    def end_by_force(self) -> None:
        """Whatever has happened, no client is left."""
        lives, self.lives = self.lives, []
        for life in lives:
            life.child.process.kill()
            life.child.end(_ENDING_S, ask=False)


def clear_all(fleet: Fleet) -> int:
    """Have every client remove what it has put; returns how many keys may be left.

    Raises:
        ReplayError: a client has ended, or hangs.
    """
    fleet.tell_all("stop")
    return sum(map(int, fleet.tell_all("clear")))


def remove_journals(directory: Path, spared: str) -> None:
    """Remove the journals of lives that are over."""
    for path in directory.glob("*.journal"):
        if path.stem != spared:
            path.unlink()
