"""Calls: operations that wait, written as generators, and driven by whoever waits for them.

An operation yields what it needs before it can go on:

- :class:`Replies`: until these requests are done (they all are, by their deadlines);
- :class:`Until`: until a time;
- :class:`Outside`: until this work is done, which its driver does outside any lock: copying bytes.

The same operations serve blocking callers, asyncio, and the simulator.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from mmc.actors.link import Ticket
    from mmc.segments.memory import Memory


@dataclass(slots=True)
class Replies:
    """Wait until these requests are done."""

    tickets: Sequence[Ticket]


@dataclass(slots=True)
class Until:
    """Wait until a time."""

    when: float


@dataclass(slots=True)
class Copy:
    """Copy buffers, in their order, to one place of a segment."""

    memory: Memory
    at: int
    size: int
    buffers: Sequence[memoryview]

    def perform(self) -> None:
        """Do it."""
        at = self.at
        for piece in self.buffers:
            self.memory.copy_in(at, piece)
            at += piece.nbytes

    def parts(self, least: int, total: int) -> Sequence[Callable[[], object]]:
        """All of it, if its buffers are large enough to be copied while another thread copies."""
        return (self.perform,) if self.size >= least // 2 * len(self.buffers) else ()

    def finish(self) -> None:
        """Nothing is left to do."""


class Work(Protocol):
    """A copy to be made without a lock."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def perform(self) -> None:
        """Do it; must not raise."""
        ...

    def parts(self, least: int, total: int) -> Sequence[Callable[[], object]]:
        """The same in parts of some ``least`` bytes, for several threads; none where they are of no use.

        ``total`` bytes are copied together.  When all parts are done, :meth:`finish` is called.
        """
        ...

    def finish(self) -> None:
        """All parts are done."""
        ...


def perform_each(works: Sequence[Work]) -> None:
    """Do one after the other."""
    for work in works:
        work.perform()


@dataclass(slots=True)
class Outside:
    """Have this work done."""

    work: Sequence[Work]


Step = Replies | Until | Outside
T = TypeVar("T")
Operation = Generator[Step, float, T]
"""An operation: it is sent the time whenever it goes on."""


class Call(Generic[T]):
    """One operation in progress."""

    __slots__ = ("_operation", "_result", "done", "failure", "missing", "wake_at", "work")

    def __init__(self, operation: Operation[T]) -> None:
        """Not begun yet."""
        self._operation = operation
        self._result: T | None = None
        self.work: Sequence[Work] = ()
        self.missing: Sequence[Ticket] = ()
        self.wake_at: float | None = None
        self.done = False
        self.failure: BaseException | None = None

    @property
    def can_advance(self) -> bool:
        """Whether nothing is waited for but the driver."""
        if self.wake_at is not None:
            return False
        for ticket in self.missing:  # noqa: SIM110 - looked at often, and mostly for one ticket
            if not ticket.done:
                return False
        return True

    def advance(self, now: float, *, begin: bool = False) -> None:
        """Go on to the next step that is not fulfilled yet, or to the end."""
        self.work, self.missing, self.wake_at = (), (), None
        try:
            step = next(self._operation) if begin else self._operation.send(now)
            while type(step) is Replies:
                self.missing = step.tickets
                if not self.can_advance:
                    return
                step = self._operation.send(now)
        except StopIteration as end:
            self._result = end.value
            self.done = True
            return
        except Exception as error:  # boundary: handed to the caller by result()
            self.failure = error
            self.done = True
            return
        self.missing = ()
        match step:
            case Until(when):
                self.wake_at = when
            case Outside(work):
                self.work = work

    def cancel(self) -> None:
        """The caller is gone: let the operation clean up behind itself."""
        self._operation.close()
        self.done = True

    def result(self) -> T:
        """What the operation returned, or raises what it raised."""
        assert self.done
        if self.failure is not None:
            raise self.failure
        return self._result  # type: ignore[return-value] # set whenever there is no failure
