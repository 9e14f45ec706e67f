"""A client's sockets: to the meta service, to its events, and to each rank of this host that it talks to.

All under the client's lock but :meth:`ClientSockets.poll` and :meth:`ClientSockets.wake`.  ZeroMQ's
descriptors signal changes, not states, and each use of a socket takes its signal: so a socket that was used
is *touched*, and looked at until it is empty.  No other socket is looked at, since each look costs time.
"""

from __future__ import annotations

import contextlib
import os
import select
from typing import TYPE_CHECKING

import zmq

from mmc.actors.contract import EVENTS, META
from mmc.errors import CannotCreate, InvalidArgument
from mmc.zeromq.addresses import reachable
from mmc.zeromq.sockets import connect, has_message, make_socket, receive_frames, send_frames

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmc.identifiers import Member
    from mmc.limits import BrokerLimits, WireLimits
    from mmc.wire.sequence import Frames
    from mmc.zeromq.sockets import Context

_LINGER_MS = 20
Ready = list[tuple[int, int]]
"""What a poll found: descriptors, and what is the matter with them."""


class ClientSockets:
    """The sockets of one client, by the address under which its actor knows the other end."""

    def __init__(
        self, context: Context, meta_url: str, wire: WireLimits, broker: BrokerLimits, events_url: str
    ) -> None:
        """Connects to the meta service.

        ``events_url`` replaces where the meta service says that its events are heard.

        Raises:
            InvalidArgument: the URL is none.
        """
        self._context = context
        self._wire = wire
        self._broker = broker
        self._meta_url = meta_url
        self._events_url = events_url
        self._sockets: dict[int, zmq.Socket[bytes]] = {}
        self._urls: dict[int, str] = {}
        self._descriptors: dict[int, int] = {}
        self._addresses: dict[int, int] = {}
        self._touched: set[int] = set()
        self._unheard: tuple[()] | tuple[str, tuple[bytes, ...]] = ()
        self._poll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._wake, select.EPOLLIN)
        connect(self._open(META, zmq.DEALER), reachable(meta_url), "meta_service_url")

    def poll(self, seconds: float) -> Ready:
        """Wait until something may have arrived, at most so long; for :meth:`note`."""
        return self._poll.poll(seconds)

    def wake(self) -> None:
        """End the wait of whoever polls."""
        os.eventfd_write(self._wake, 1)

    def note(self, ready: Ready) -> None:
        """Take up what a poll found."""
        for descriptor, _ in ready:
            address = self._addresses.get(descriptor)
            if address is not None:
                self._touched.add(address)
            elif descriptor == self._wake:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self._wake)

    def take(self) -> tuple[int, Frames] | None:
        """The next message that has arrived at a socket that was touched, and its sender's address."""
        while self._touched:
            address = next(iter(self._touched))
            socket = self._sockets[address]
            if has_message(socket):
                frames = receive_frames(socket)
                return address, frames[1:] if address == EVENTS else frames
            self._touched.discard(address)
        return None

    def send(self, to: int, frames: Frames, members: Mapping[int, Member]) -> None:
        """Send without waiting; what cannot be sent is lost, and asked for again."""
        if self._unheard:
            self.hear(*self._unheard)
        socket = self._sockets.get(to) if to == META else self._to_rank(to, members.get(to))
        if socket is not None:
            self._touched.add(to)
            try:
                send_frames(socket, frames)
            except zmq.Again:
                return

    def _to_rank(self, rank: int, member: Member | None) -> zmq.Socket[bytes] | None:
        if member is None:
            return None
        if self._urls.get(rank) != member.control_url:
            self._connect(rank, zmq.DEALER, member.control_url, "control_url")
        return self._sockets.get(rank)

    def hear(self, told: str, topics: tuple[bytes, ...]) -> None:
        """Hear these topics, from where the meta service says."""
        url = self._events_url or reachable(told, self._meta_url)
        if self._urls.get(EVENTS) == url:
            return
        self._connect(EVENTS, zmq.SUB, url, "events_url")
        socket = self._sockets.get(EVENTS)
        self._unheard = () if socket is not None else (told, topics)
        if socket is not None:
            for topic in topics:
                socket.setsockopt(zmq.SUBSCRIBE, topic)

    def _connect(self, address: int, kind: int, url: str, setting: str) -> None:
        """Make a new socket to where another says; there is none where that is no URL."""
        if address in self._sockets:
            self._close(address)
        try:
            socket = self._open(address, kind)
        except CannotCreate:  # no descriptor is left: whoever sends next tries again
            return
        try:
            connect(socket, url, setting)
        except InvalidArgument:
            self._close(address)
        self._urls[address] = url

    def _open(self, address: int, kind: int) -> zmq.Socket[bytes]:
        socket = make_socket(self._context, kind, self._wire, self._broker)
        self._sockets[address] = socket
        descriptor = socket.getsockopt(zmq.FD)
        assert isinstance(descriptor, int)
        self._descriptors[address] = descriptor
        self._addresses[descriptor] = address
        self._touched.add(address)
        self._poll.register(descriptor, select.EPOLLIN)
        return socket

    def _close(self, address: int) -> None:
        descriptor = self._descriptors.pop(address)
        del self._addresses[descriptor]
        self._touched.discard(address)
        self._poll.unregister(descriptor)
        self._sockets.pop(address).close(_LINGER_MS)
        self._urls.pop(address, None)

    def close(self) -> None:
        """Close all sockets; the descriptor that wakes stays until :meth:`end`."""
        for address in list(self._sockets):
            self._close(address)

    def end(self) -> None:
        """Nobody wakes anybody any more."""
        os.close(self._wake)
