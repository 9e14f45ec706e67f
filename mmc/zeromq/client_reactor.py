"""Runs a client's actor for many threads: whoever waits drives the sockets.

1. Actor and sockets are used under one lock.  A caller that has to wait drives: it polls the sockets'
   descriptors without the lock, then takes the lock and handles what came, for everybody.  Other callers
   wait until theirs is done or the driver hands over.
2. Whoever has touched a socket under the lock also empties it before letting go: a signal must not be lost
   in another thread's hands.
3. A background thread drives when nobody waits: it renews, returns, confirms and hears events.  While
   callers are active it stays out of their way, looking up once per tick; the first of them after a while
   wakes it when it leaves, so that what it has put is confirmed in time.  It looks whether somebody has
   truncated a segment, twice a second at least: an engine that is idle meanwhile does not die of it.
   Whoever is about to poll for longer than an answer takes finds out when something is due; until then
   nobody looks again.
4. Asynchronous callers are told by a callback from whichever thread found their call ready.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from mmc.actors.contract import Note, Persist, Publish, Send, Subscribe
from mmc.errors import Code, error_for
from mmc.zeromq.client_sockets import ClientSockets
from mmc.zeromq.clock import now
from mmc.zeromq.sockets import new_context

if TYPE_CHECKING:
    from mmc.actors.client import ClientActor
    from mmc.actors.client.calls import Call, Operation
    from mmc.actors.contract import Effect
    from mmc.limits import BrokerLimits, WireLimits
    from mmc.transfer.crew import Crew
    from mmc.zeromq.sockets import Context

_LONGEST_WAIT_S = 0.5
_SOON_S = 0.002
_CLOSING_POLL_S = 0.001
T = TypeVar("T")
Waker = Callable[[], None]


class _Waiter:
    """A caller that waits for another to drive; ``drives`` once that is its own turn."""

    __slots__ = ("drives", "event")

    def __init__(self) -> None:
        """Waiting."""
        self.event = threading.Event()
        self.drives = False


class ClientReactor:
    """The sockets of one client, and the threads that use them."""

    def __init__(
        self,
        actor: ClientActor,
        meta_url: str,
        wire: WireLimits,
        broker: BrokerLimits,
        crew: Crew,
        context: Context | None = None,
        on_unused: Callable[[], None] = lambda: None,
        events_url: str = "",
    ) -> None:
        """``crew`` makes the copies of calls.

        ``context`` is shared with services in this process (inproc); else the client has its own.

        ``events_url`` replaces where the meta service says that its events are heard.

        ``on_unused`` is called after :meth:`close`, once no call is running any more.
        """
        self._actor = actor
        self._crew = crew
        self._owns_context = context is None
        self._context = context or new_context()
        self._lock = threading.Lock()
        self._sockets = ClientSockets(self._context, meta_url, wire, broker, events_url)
        self._wakers: dict[Call[Any], Waker] = {}
        self._waiting: dict[_Waiter, None] = {}
        self._driving = False
        self._activity = 0
        self._is_asleep = False
        self._due = 0.0
        self._closing = False
        self._closed = False
        self._finished = False
        self._running = 0
        self._on_unused = on_unused
        self._parked = threading.Event()
        self._background = threading.Thread(target=self._run_background, name="mmc-client", daemon=True)

    def start(self) -> None:
        """Say hello, and let the background thread begin."""
        with self._lock:
            self._perform(self._actor.start(now()))
            self._settle()
        self._background.start()

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """A call runs meanwhile: what it writes to stays the client's, also if that is closed.

        Raises:
            CacheError: -3019, the client is closed.
        """
        with self._lock:
            self._enter()
        try:
            yield
        finally:
            self._leave()

    def _enter(self) -> None:
        """Under the lock."""
        self._check_open()
        self._running += 1

    def _leave(self) -> None:
        if self._is_asleep:
            self._sockets.wake()
        with self._lock:
            self._running -= 1
            is_last = self._finished and not self._running
        if is_last:
            self._end_use()

    # Blocking callers

    def run(self, operation: Operation[T]) -> T:
        """Carry an operation through in the calling thread.

        Raises:
            CacheError: -3019, the client was closed before or meanwhile.
        """
        self._activity += 1
        with self._lock:
            self._enter()
        try:
            with self._lock:
                call, effects = self._actor.begin(operation, now())
                self._follow(effects)
            try:
                while not call.done:
                    if call.work:
                        self._crew.perform(call.work)
                    elif not call.can_advance:
                        self._wait_for(call)
                    with self._lock:
                        self._check_open()
                        self._follow(self._actor.advance(call, now()))
            except BaseException:  # boundary: clears away and raises again
                with self._lock:
                    self._follow(self._actor.cancel(call, now()))
                raise
            return call.result()
        finally:
            self._leave()

    def _follow(self, effects: list[Effect]) -> None:
        """Carry out effects and leave no socket with something in it."""
        if effects:
            self._perform(effects)
            self._settle()

    def _check_open(self) -> None:
        if self._closed:
            raise error_for(Code.CLIENT_CLOSED, "the client")

    def _wait_for(self, call: Call[T]) -> None:
        """Drive, or wait for the driver, until the call can go on; whatever happens, somebody drives on."""
        waiter: _Waiter | None = None
        drives = False
        try:
            with self._lock:
                if call.can_advance or self._closed:
                    return
                if self._driving:
                    waiter = _Waiter()
                    self._wakers[call] = waiter.event.set
                    self._waiting[waiter] = None
                    self._sockets.wake()  # the driver may be asleep for longer than we may
                else:
                    drives = self._driving = True
            if waiter is not None:
                waiter.event.wait()
                drives = waiter.drives
            if drives:
                self._poll_once(_SOON_S)
            while drives and not call.can_advance and not self._closed:
                self._poll_once(self._timeout())
        finally:
            with self._lock:
                if waiter is not None:
                    drives = waiter.drives
                    self._waiting.pop(waiter, None)
                    self._wakers.pop(call, None)
                if drives:
                    self._driving = False
                    self._hand_over()

    def _poll_once(self, seconds: float) -> None:
        """Wait until something has arrived, and settle it and what is due."""
        ready = self._sockets.poll(seconds)
        with self._lock:
            if not self._closed:
                self._sockets.note(ready)
                self._settle()

    def _hand_over(self) -> None:
        """Let another waiting caller drive, if there is one."""
        for waiter in self._waiting:
            if not waiter.event.is_set():
                self._driving = waiter.drives = True
                waiter.event.set()
                return

    def _timeout(self) -> float:
        """Seconds until something is due."""
        with self._lock:
            deadline = self._actor.next_deadline()
            self._due = math.inf if deadline is None else deadline
        return max(0.0, min(self._due - now(), _LONGEST_WAIT_S))

    # Asynchronous callers

    def submit(self, operation: Operation[T], waker: Waker) -> Call[T]:
        """Begin an operation, within :meth:`entered`.

        ``waker`` is called, from any thread, whenever it can go on.
        """
        with self._lock:
            call, effects = self._actor.begin(operation, now())
            self._after_step(call, effects, waker)
        return call

    def advance(self, call: Call[T], waker: Waker) -> None:
        """Go on with a submitted operation."""
        with self._lock:
            self._check_open()
            self._after_step(call, self._actor.advance(call, now()), waker)

    def _after_step(self, call: Call[T], effects: list[Effect], waker: Waker) -> None:
        self._perform(effects)
        if not call.done and not call.work:
            self._wakers[call] = waker
        self._settle()
        self._sockets.wake()

    def cancel(self, call: Call[T]) -> None:
        """The asynchronous caller is gone."""
        with self._lock:
            self._wakers.pop(call, None)
            self._follow(self._actor.cancel(call, now()))

    # All under the lock

    def _perform(self, effects: list[Effect]) -> None:
        if self._closed:
            return
        for effect in effects:
            match effect:
                case Send(to, frames):
                    assert isinstance(to, int)
                    self._sockets.send(to, frames, self._actor.members)
                case Subscribe(url, topics):
                    self._sockets.hear(url, topics)
                case Publish() | Persist() | Note():
                    raise AssertionError("clients neither publish nor write down")

    def _settle(self) -> None:
        """Empty the sockets that were touched, do what is due, and wake whose call can go on."""
        if self._closed:
            return
        self._empty_sockets()
        moment = now()
        if moment >= self._due:
            self._perform(self._actor.expire(moment))
            self._empty_sockets()
        if self._wakers:
            for call in self._actor.take_ready():
                waker = self._wakers.pop(call, None)
                if waker is not None:
                    waker()

    def _empty_sockets(self) -> None:
        """Take what has arrived; what that brings about may touch other sockets."""
        while (message := self._sockets.take()) is not None:
            self._perform(self._actor.receive(*message, now()))

    # The background

    def _run_background(self) -> None:
        tick = self._actor.limits.background_tick_ms / 1000
        seen = -1
        while not self._closed:
            wait = self._timeout()
            if self._driving or self._activity != seen:
                seen = self._activity
                self._parked.wait(tick)
                wait = 0.0
            self._is_asleep = wait > tick
            ready = self._sockets.poll(wait)
            self._is_asleep = False
            with self._lock:
                if not self._closed:
                    self._actor.drop_lost()
                if not self._driving and not self._closed:
                    self._sockets.note(ready)
                    self._settle()

    # The end

    def close(self, patience_s: float) -> None:
        """Give back what is held, end all waits, close the sockets.

        Calls that are copying end when they have copied.
        """
        with self._lock:
            if self._closing:
                return
            self._closing = True
            self._perform(self._actor.give_back_all(now()))
            self._settle()
        until = now() + patience_s
        while not self._is_quiet() and now() < until:
            ready = self._sockets.poll(_CLOSING_POLL_S)
            with self._lock:
                self._sockets.note(ready)
        with self._lock:
            self._perform(self._actor.say_goodbye(now()))
            self._closed = True
            self._parked.set()
            self._sockets.wake()
            for waiter in self._waiting:
                waiter.event.set()
            for waker in self._wakers.values():
                waker()
        if self._background is not threading.current_thread():
            self._background.join(1.0)
        with self._lock:
            self._sockets.close()
            self._finished = True
            is_unused = not self._running
        if self._owns_context:
            self._context.term()
        if is_unused:
            self._end_use()

    def _is_quiet(self) -> bool:
        with self._lock:
            self._perform(self._actor.expire(now()))
            self._settle()
            return self._actor.is_quiet()

    def _end_use(self) -> None:
        """The last user of a closed client has left."""
        self._sockets.end()
        self._on_unused()
