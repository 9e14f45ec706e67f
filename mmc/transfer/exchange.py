"""Errands run all at once in the calling thread: a rank that stalls delays only what is asked of it.

Each has a connection and a deadline.  One over a connection that was kept, and that turns out to have ended
before it said anything, is begun again over a new one; so is one that says nothing for as long as connecting
may take, since a link that was cut leaves connections that are silent for minutes after it is whole again.

Several exchanges may be made for several threads.  One that has nothing to do but wait begins what others
have not begun: they may never get a thread, or get the very one that waits.
"""

from __future__ import annotations

import select
from collections import deque
from typing import TYPE_CHECKING

from mmc.errors import CacheError, Code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mmc.limits import DataLimits
    from mmc.transfer.connections import Connections
    from mmc.transfer.errands import Errand
    from mmc.transfer.stream import Stream, Waits

_WAIT_S = 0.02


class _Going:
    """An errand that has begun."""

    __slots__ = ("begun", "errand", "is_kept", "is_new", "received", "stream", "talk", "wanted", "watched")

    def __init__(self, errand: Errand, stream: Stream, *, is_new: bool, now: Callable[[], float]) -> None:
        self.errand = errand
        self.stream = stream
        self.is_new = is_new
        self.talk: Waits[None] = errand.talk(stream, now)
        self.received = stream.received
        self.begun = now()
        self.wanted = 0
        self.watched = 0


class Exchange:
    """A work: errands that are done together."""

    def __init__(
        self,
        errands: Sequence[Errand],
        connections: Connections,
        limits: DataLimits,
        now: Callable[[], float],
    ) -> None:
        """None has begun."""
        self._errands = deque(errands)
        self._connections = connections
        self._limits = limits
        self._now = now
        self._poll = select.poll()
        self._going: dict[int, _Going] = {}
        self._others: Sequence[Exchange] = ()
        self._count = len(errands)

    def help(self, others: Sequence[Exchange]) -> None:
        """Begin what these have not begun when there is nothing to do but wait."""
        self._others = [other for other in others if other is not self]

    @property
    def size(self) -> int:
        """Bytes of objects that are to travel."""
        return sum([errand.size for errand in self._errands])

    def parts(self, least: int, total: int) -> Sequence[Callable[[], object]]:
        """All of it, if there is enough for a thread of its own."""
        return (self.perform,) if self.size >= least // 2 * self._count else ()

    def finish(self) -> None:
        """Nothing is left to do."""

    def perform(self) -> None:
        """Do them all."""
        try:
            while self._errands or self._going:
                self._begin_what_can()
                self._wait()
        finally:
            for going in list(self._going.values()):
                self._fail(going, Code.INTERNAL)

    def _begin_what_can(self) -> None:
        for _ in range(len(self._errands)):
            errand = self.take_unbegun()
            if errand is None:
                return
            if errand.until <= self._now():
                errand.fail(Code.TIMED_OUT)
            elif not self._begin(errand, fresh=False):
                self._errands.append(errand)

    def _begin(self, errand: Errand, *, fresh: bool) -> bool:
        """Whether it has begun, or ended."""
        stream, is_new = errand.stream, True
        if stream is None:
            try:
                taken = self._connections.take(
                    errand.member.data_url, fresh=fresh, beyond=errand.keeps_connection
                )
            except CacheError as error:
                errand.fail(error.code if error.code == Code.CLIENT_CLOSED else Code.UNREACHABLE)
                return True
            except OSError:
                errand.fail(Code.UNREACHABLE)
                return True
            if taken is None:
                return False
            stream, is_new = taken
        going = _Going(errand, stream, is_new=is_new, now=self._now)
        self._going[stream.fileno()] = going
        self._go_on(going)
        return True

    def _go_on(self, going: _Going) -> None:
        try:
            going.wanted = next(going.talk)
        except StopIteration:
            self._leave(going)
            if not going.errand.done(going.stream):
                self._connections.give_back(going.stream, keep=True)
            return
        except CacheError:  # what the peer says is no answer
            self._fail(going, Code.UNREACHABLE)
        except OSError:
            self._lose(going)

    def _wait(self) -> None:
        """Wait for sockets; for a free connection only where nothing else is going on."""
        if not self._going:
            if self._errands:
                self._connections.wait(_WAIT_S)
            return
        every = list(self._going.values())
        due = min([self._due(going) for going in every])
        seconds = max(0.0, due - self._now())
        if self._errands or self._others:
            seconds = min(seconds, _WAIT_S)
        for going in every:
            if going.wanted != going.watched:
                self._poll.register(going.stream, going.wanted)
                going.watched = going.wanted
        ready = self._poll.poll(seconds * 1000)
        for descriptor, _ in ready:
            self._go_on(self._going[descriptor])
        if not ready:
            self._take_over()
        if self._now() >= due:
            self._end_the_late()

    def take_unbegun(self) -> Errand | None:
        """An errand that has not begun, for whichever thread does it; from any thread."""
        try:
            return self._errands.popleft()
        except IndexError:  # there is none, or another thread was faster
            return None

    def _take_over(self) -> None:
        for other in self._others:
            while (errand := other.take_unbegun()) is not None:
                self._errands.append(errand)
        self._others = ()

    def _due(self, going: _Going) -> float:
        """When it has to be done; before that, when it has to be connected, and to be answered at all."""
        if going.stream.received > going.received:
            return going.errand.until
        seconds = going.errand.silent_s
        if not going.stream.moved if going.is_new else going.errand.may_repeat:
            seconds = min(seconds, self._limits.connect_ms / 1000)
        return min(going.errand.until, going.begun + seconds)

    def _end_the_late(self) -> None:
        moment = self._now()
        for going in list(self._going.values()):
            if self._due(going) > moment:
                continue
            if moment < min(going.errand.until, going.begun + going.errand.silent_s):
                self._lose(going)
            else:
                is_connected = bool(going.stream.moved)
                self._fail(going, Code.TIMED_OUT if is_connected else Code.UNREACHABLE)

    def _lose(self, going: _Going) -> None:
        """The connection has ended."""
        has_answered = going.stream.received > going.received
        if going.is_new or has_answered or not going.errand.may_repeat:
            self._fail(going, Code.UNREACHABLE)
            return
        self._leave(going)
        going.talk.close()
        self._connections.give_back(going.stream, keep=False)
        if not self._begin(going.errand, fresh=True):
            self._errands.append(going.errand)

    def _fail(self, going: _Going, code: Code) -> None:
        self._leave(going)
        going.talk.close()
        going.errand.fail(code)
        if going.errand.stream is None:
            self._connections.give_back(going.stream, keep=False)

    def _leave(self, going: _Going) -> None:
        del self._going[going.stream.fileno()]
        if going.watched:
            self._poll.unregister(going.stream)
