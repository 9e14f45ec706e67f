"""One thread of a data server: its connections, and the client of its own rank that it writes as.

A conversation goes on when its socket is ready, or when the call of the proxy that it waits for is done.  It
ends, and its connection with it, at whatever it raises, beyond its time, and when it stalls: nothing of that
concerns any other.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import threading
import traceback
from collections import Counter, deque
from typing import TYPE_CHECKING, Protocol

from mmc.actors.client.calls import Call
from mmc.errors import CacheError
from mmc.transfer.serving import Serving
from mmc.transfer.stream import Stream

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from mmc.actors.client.draft import Draft
    from mmc.actors.client.proxy import Proxy
    from mmc.limits import DataLimits
    from mmc.segments.layout import Segment
    from mmc.segments.mapping import BufferMemory
    from mmc.transfer.serving import Talk
    from mmc.wire.sequence import Frames

COUNTED = (
    "remote_read_bytes",
    "remote_written_bytes",
    "remote_damaged",
    "remote_refused",
    "remote_timed_out",
)
"""Bytes of objects sent and received; blocks that arrived damaged; connections ended for what they said, and
for their slowness."""

_ALWAYS = select.EPOLLRDHUP
_LOOK_SHARE = 4


class Agent(Protocol):
    """A proxy, its lock file, and its line to the rank."""

    @property
    def proxy(self) -> Proxy:
        """Who reserves and publishes."""
        ...

    def fileno(self) -> int:
        """What becomes readable when the rank has spoken."""
        ...

    def send(self, frames: Frames) -> None:
        """Send to the rank."""
        ...

    def receive(self) -> list[Frames]:
        """All that the rank has said."""
        ...

    def close(self) -> None:
        """The rank may take back what the proxy held."""
        ...


class _Peer:
    """A connection in the care of a thread; ``parked_on`` is the call that it waits for."""

    __slots__ = ("descriptor", "looked_at", "moved", "parked_on", "serving", "talk", "watched")

    def __init__(self, serving: Serving, now: float) -> None:
        self.serving = serving
        self.talk: Talk = serving.talk()
        self.descriptor = serving.stream.fileno()
        self.watched = 0
        self.parked_on: Call[list[Draft]] | None = None
        self.moved = 0
        self.looked_at = now


class ServingThread:
    """Serves the connections that are handed to it."""

    def __init__(
        self,
        segment: Segment,
        memory: BufferMemory,
        limits: DataLimits,
        open_agent: Callable[[], Agent],
        now: Callable[[], float],
        note: Callable[[str, str], None],
        name: str,
        digests: dict[int, tuple[int, int]] | None = None,
    ) -> None:
        """``open_agent`` is called when the thread first writes; ``note`` hears what is worth a line.

        ``digests`` are shared by the threads of a rank; see :class:`mmc.transfer.serving.Host`.
        """
        self.segment = segment
        self.memory = memory
        self.limits = limits
        self.now = now
        self.digests = {} if digests is None else digests
        self.counters = Counter(dict.fromkeys(COUNTED, 0))
        self._open_agent = open_agent
        self._note = note
        self._agent: Agent | None = None
        self._peers: dict[int, _Peer] = {}
        self._new: deque[socket.socket] = deque()
        self._poll, self._wake = self._open_poll()
        self._stopping = False
        self._look_at = math.inf
        self._has_used_proxy = False
        self._proxy_due = math.inf
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _open_poll(self) -> tuple[select.epoll, int]:
        """What the thread waits with, and the descriptor that rouses it."""
        wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        poll = select.epoll()
        poll.register(wake, select.EPOLLIN)
        return poll, wake

    def __len__(self) -> int:
        """How many connections it has."""
        return len(self._peers) + len(self._new)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def take(self, connected: socket.socket) -> None:
        """Serve a connection; from any thread."""
        self._new.append(connected)
        self._rouse()

    def stop(self) -> None:
        """End all connections."""
        self._stopping = True
        self._rouse()

    def join(self, seconds: float) -> None:
        """Wait for the end."""
        self._thread.join(seconds)

    def _rouse(self) -> None:
        with contextlib.suppress(OSError):
            os.eventfd_write(self._wake, 1)

    def proxy(self) -> Proxy:
        """Who writes here for other hosts; it comes into being with the first write."""
        if self._agent is None:
            self._agent = self._open_agent()
            self._poll.register(self._agent.fileno(), select.EPOLLIN)
        self._has_used_proxy = True
        return self._agent.proxy

    # The loop

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._turn()
        finally:
            self._close()

    def _turn(self) -> None:
        due = min(self._look_at, self._proxy_due)
        for descriptor, _ in self._poll.poll(None if due == math.inf else max(0.0, due - self.now())):
            if descriptor == self._wake:
                os.eventfd_read(self._wake)
                self._take_new()
            elif (peer := self._peers.get(descriptor)) is not None:
                if peer.parked_on is None:
                    self._go_on(peer)
                else:  # nothing but its end is watched for
                    self._end(peer)
            else:  # the rank has spoken
                self._has_used_proxy = self._agent is not None
        if self._look_at <= self.now():
            self._end_the_late()
        if self._has_used_proxy or self._proxy_due <= self.now():
            self._serve_proxy()

    def _take_new(self) -> None:
        while self._new:
            serving = Serving(Stream(self._new.popleft(), self.limits.step_bytes), self)
            peer = _Peer(serving, self.now())
            self._peers[peer.descriptor] = peer
            self._poll.register(peer.descriptor, 0)
            self._go_on(peer)

    def _go_on(self, peer: _Peer) -> None:
        try:
            wanted = next(peer.talk)
        except (StopIteration, OSError, CacheError) as reason:
            if isinstance(reason, CacheError):
                self.counters["remote_refused"] += 1
                self._note("a data connection was ended", reason.sentence)
            self._end(peer)
            return
        except Exception:  # boundary: a fault of our own ends one connection, with its stack in the log
            self._note("a fault of our own", traceback.format_exc())
            self._end(peer)
            return
        peer.parked_on = wanted if isinstance(wanted, Call) else None
        events = _ALWAYS if isinstance(wanted, Call) else wanted
        if events != peer.watched:
            self._poll.modify(peer.descriptor, events)
            peer.watched = events
        self._look_at = min(self._look_at, self._ends_at(peer))

    def _serve_proxy(self) -> None:
        """See to the line to the rank, and go on with whom it has answered."""
        agent = self._agent
        assert agent is not None
        proxy = agent.proxy
        if self._proxy_due <= self.now():
            proxy.expire(self.now())
        while True:
            for call in proxy.take_done(self.now()):
                for peer in [peer for peer in self._peers.values() if peer.parked_on is call]:
                    self._go_on(peer)
            unsent = proxy.take_frames()
            for frames in unsent:
                agent.send(frames)
            heard = agent.receive()
            for frames in heard:
                proxy.receive(frames, self.now())
            if not heard and not unsent:
                break
        deadline = proxy.next_deadline()
        self._proxy_due = math.inf if deadline is None else deadline
        self._has_used_proxy = False

    # Time

    def _ends_at(self, peer: _Peer) -> float:
        """When to look at a connection again: at its end, or when it should have moved."""
        if not peer.serving.is_moving:
            return peer.serving.ends_at
        return min(peer.serving.ends_at, self.now() + self.limits.stalled_ms / 1000 / _LOOK_SHARE)

    def _end_the_late(self) -> None:
        moment = self.now()
        for peer in list(self._peers.values()):
            serving = peer.serving
            if not serving.is_moving or serving.stream.moved != peer.moved:
                peer.moved, peer.looked_at = serving.stream.moved, moment
            is_stalled = moment - peer.looked_at >= self.limits.stalled_ms / 1000
            if is_stalled or serving.ends_at <= moment:
                self.counters["remote_timed_out"] += serving.is_moving
                self._end(peer)
        self._look_at = min(map(self._ends_at, self._peers.values()), default=math.inf)

    def _end(self, peer: _Peer) -> None:
        """End a connection: nothing is received any more when what it wrote is abandoned."""
        del self._peers[peer.descriptor]
        self._poll.unregister(peer.descriptor)
        peer.serving.stream.close()
        with contextlib.suppress(OSError):
            peer.talk.close()

    def _close(self) -> None:
        for peer in list(self._peers.values()):
            self._end(peer)
        while self._new:
            self._new.popleft().close()
        if self._agent is not None:
            self._agent.close()
        self._poll.close()
        os.close(self._wake)
