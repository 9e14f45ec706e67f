"""Runs a client's actor for many threads: whoever waits drives the sockets.

1. Actor and sockets are used under one lock.  A caller that has to wait drives: it polls the sockets'
   descriptors without the lock, then takes the lock and handles what came, for everybody.  Other callers
   wait until theirs is done or the driver hands over.
2. Whoever has touched a socket under the lock also empties it before letting go: ZeroMQ's descriptors
   signal changes, not states, and a signal must not be lost in another thread's hands.
3. A background thread drives when nobody waits: it renews, returns, confirms and hears events.  While
   callers are active it stays out of their way, looking up once per tick.
4. Asynchronous callers are told by a callback from whichever thread found their call ready.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import zmq

from mmc.actors.contract import EVENTS, META, Note, Persist, Publish, Send, Subscribe
from mmc.errors import Code, error_for
from mmc.zeromq.addresses import reachable
from mmc.zeromq.clock import now
from mmc.zeromq.sockets import connect, make_socket, new_context

if TYPE_CHECKING:
    from mmc.actors.client import ClientActor
    from mmc.actors.client.calls import Call, Operation
    from mmc.actors.contract import Effect
    from mmc.limits import BrokerLimits, WireLimits
    from mmc.zeromq.sockets import Context

_LONGEST_WAIT_S = 0.5
_CLOSING_POLL_S = 0.001
_BURST = 256
_LINGER_MS = 20
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
        context: Context | None = None,
        on_unused: Callable[[], None] = lambda: None,
        events_url: str = "",
    ) -> None:
        """``context`` is shared with services in this process (inproc); else the client has its own.

        ``events_url`` replaces where the meta service says that its events are heard.

        ``on_unused`` is called after :meth:`close`, once no call is running any more.
        """
        self._actor = actor
        self._wire = wire
        self._broker = broker
        self._owns_context = context is None
        self._context = context or new_context()
        self._lock = threading.Lock()
        self._sockets: dict[int, zmq.Socket[bytes]] = {}
        self._urls: dict[int, str] = {}
        self._descriptors: dict[int, int] = {}
        self._poll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._wake, select.EPOLLIN)
        self._wakers: dict[Call[Any], Waker] = {}
        self._waiting: dict[_Waiter, None] = {}
        self._driving = False
        self._activity = 0
        self._closing = False
        self._closed = False
        self._finished = False
        self._running = 0
        self._on_unused = on_unused
        self._parked = threading.Event()
        self._meta_url = meta_url
        self._events_url = events_url
        meta = self._open(META, zmq.DEALER)
        connect(meta, reachable(meta_url), "meta_service_url")
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
            self._check_open()
            self._running += 1
        try:
            yield
        finally:
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
        with self.entered():
            with self._lock:
                call, effects = self._actor.begin(operation, now())
                self._follow(effects)
            try:
                while not call.done:
                    if call.work:
                        for work in call.work:
                            work.perform()
                    elif not call.can_advance:
                        self._wait_for(call)
                    with self._lock:
                        self._check_open()
                        self._follow(self._actor.advance(call, now()))
            except BaseException:  # boundary: clears away and raises again
                with self._lock:
                    self._perform(self._actor.cancel(call, now()))
                raise
            return call.result()

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
        waiter = _Waiter()
        try:
            with self._lock:
                if call.can_advance or self._closed:
                    return
                if self._driving:
                    self._wakers[call] = waiter.event.set
                    self._waiting[waiter] = None
                    os.eventfd_write(self._wake, 1)  # the driver may be asleep for longer than we may
                else:
                    self._driving = waiter.drives = True
            if not waiter.drives:
                waiter.event.wait()
            while waiter.drives and not call.can_advance and not self._closed:
                self._poll.poll(self._timeout())
                with self._lock:
                    self._settle()
        finally:
            with self._lock:
                self._waiting.pop(waiter, None)
                self._wakers.pop(call, None)
                if waiter.drives:
                    self._driving = False
                    self._hand_over()

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
        wait = _LONGEST_WAIT_S if deadline is None else deadline - now()
        return max(0.0, min(wait, _LONGEST_WAIT_S))

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
        os.eventfd_write(self._wake, 1)

    def cancel(self, call: Call[T]) -> None:
        """The asynchronous caller is gone."""
        with self._lock:
            self._wakers.pop(call, None)
            self._perform(self._actor.cancel(call, now()))

    # Sockets; all under the lock

    def _open(self, address: int, kind: int) -> zmq.Socket[bytes]:
        socket = make_socket(self._context, kind, self._wire, self._broker)
        self._sockets[address] = socket
        descriptor = socket.getsockopt(zmq.FD)
        assert isinstance(descriptor, int)
        self._descriptors[address] = descriptor
        self._poll.register(descriptor, select.EPOLLIN)
        return socket

    def _close(self, address: int) -> None:
        self._poll.unregister(self._descriptors.pop(address))
        self._sockets.pop(address).close(_LINGER_MS)
        self._urls.pop(address, None)

    def _perform(self, effects: list[Effect]) -> None:
        if self._closed:
            return
        for effect in effects:
            match effect:
                case Send(to, frames):
                    assert isinstance(to, int)
                    socket = self._sockets.get(to) if to == META else self._to_rank(to)
                    if socket is not None:
                        with contextlib.suppress(zmq.Again):
                            socket.send_multipart(frames, zmq.DONTWAIT)
                case Subscribe(url, topics):
                    self._hear(url, topics)
                case Publish() | Persist() | Note():
                    raise AssertionError("clients neither publish nor write down")

    def _to_rank(self, rank: int) -> zmq.Socket[bytes] | None:
        member = self._actor.members.get(rank)
        if member is None:
            return None
        if self._urls.get(rank) != member.control_url:
            if rank in self._sockets:
                self._close(rank)
            connect(self._open(rank, zmq.DEALER), member.control_url, "control_url")
            self._urls[rank] = member.control_url
        return self._sockets[rank]

    def _hear(self, told: str, topics: tuple[bytes, ...]) -> None:
        url = self._events_url or reachable(told, self._meta_url)
        if self._urls.get(EVENTS) == url:
            return
        if EVENTS in self._sockets:
            self._close(EVENTS)
        socket = self._open(EVENTS, zmq.SUB)
        for topic in topics:
            socket.setsockopt(zmq.SUBSCRIBE, topic)
        connect(socket, url, "events_url")
        self._urls[EVENTS] = url

    def _settle(self) -> None:
        """Empty every socket, do what is due, and wake whose call can go on."""
        if self._closed:
            return
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        while self._empty_sockets():
            pass
        deadline = self._actor.next_deadline()
        moment = now()
        if deadline is not None and deadline <= moment:
            self._perform(self._actor.expire(moment))
            self._empty_sockets()
        for call in self._actor.take_ready():
            waker = self._wakers.pop(call, None)
            if waker is not None:
                waker()

    def _empty_sockets(self) -> bool:
        """Take what has arrived; True when anything had."""
        took = False
        for address, socket in list(self._sockets.items()):
            for _ in range(_BURST):
                if socket.closed or not _has_message(socket):
                    break
                frames = tuple(socket.recv_multipart(zmq.DONTWAIT))
                took = True
                if address == EVENTS:
                    frames = frames[1:]
                self._perform(self._actor.receive(address, frames, now()))
        return took

    # The background

    def _run_background(self) -> None:
        tick = self._actor.limits.background_tick_ms / 1000
        seen = -1
        while not self._closed:
            if self._driving or self._activity != seen:
                seen = self._activity
                self._parked.wait(tick)
                with self._lock:
                    if not self._driving and not self._closed:
                        self._settle()
                continue
            self._poll.poll(self._timeout())
            with self._lock:
                if not self._driving and not self._closed:
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
            self._poll.poll(_CLOSING_POLL_S)
        with self._lock:
            self._perform(self._actor.say_goodbye(now()))
            self._closed = True
            self._parked.set()
            os.eventfd_write(self._wake, 1)
            for waiter in self._waiting:
                waiter.event.set()
            for waker in self._wakers.values():
                waker()
        if self._background is not threading.current_thread():
            self._background.join(1.0)
        with self._lock:
            for address in list(self._sockets):
                self._close(address)
            self._finished = True
            is_unused = not self._running
        if self._owns_context:
            self._context.term()
        if is_unused:
            self._end_use()

    def _is_quiet(self) -> bool:
        with self._lock:
            self._settle()
            return self._actor.is_quiet()

    def _end_use(self) -> None:
        """The last user of a closed client has left."""
        os.close(self._wake)
        self._on_unused()


def _has_message(socket: zmq.Socket[bytes]) -> bool:
    events = socket.getsockopt(zmq.EVENTS)
    assert isinstance(events, int)
    return bool(events & zmq.POLLIN)
