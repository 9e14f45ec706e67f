"""Making sockets: every one has limits, heartbeats, and no linger."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import zmq
from zmq.backend import Socket as BareSocket
from zmq.backend import zmq_poll

from mmc.descriptors import NONE_LEFT, require_descriptors, too_few_descriptors
from mmc.errors import CannotCreate, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.limits import BrokerLimits, WireLimits

Socket = zmq.Socket[bytes]
Context = zmq.Context[Socket]

DEALER, ROUTER = int(zmq.DEALER), int(zmq.ROUTER)
PUB, SUB, XPUB, XSUB = int(zmq.PUB), int(zmq.SUB), int(zmq.XPUB), int(zmq.XSUB)
"""The kinds of sockets, for those who may not import zmq."""

OPEN_TO_NETWORK = (
    "bound to an address that other hosts may reach, unauthenticated: anyone there can read and write"
)
"""What is logged of such an address."""

_DONTWAIT, _POLLIN = int(zmq.DONTWAIT), int(zmq.POLLIN)
_PART = _DONTWAIT | int(zmq.SNDMORE)
_send = BareSocket.send
_recv = BareSocket.recv
_RECONNECT_MS = 20
_RECONNECT_MAX_MS = 500
_CONTEXT_DESCRIPTORS = 24
"""What a context and the first sockets take, and some more."""
_CONNECT_MS = 2000


def new_context() -> Context:
    """A context of its own, with one I/O thread.

    Raises:
        CannotCreate: -3002, too few descriptors are left: ZeroMQ would end the process.
    """
    require_descriptors(_CONTEXT_DESCRIPTORS)
    return zmq.Context(io_threads=1)


def make_socket(context: Context, kind: int, wire: WireLimits, broker: BrokerLimits) -> zmq.Socket[bytes]:
    """A socket that queues, waits and receives within limits.

    Raises:
        CannotCreate: -3002, no descriptor is left.
    """
    try:
        socket = context.socket(kind)
    except zmq.ZMQError as reason:
        if reason.errno in NONE_LEFT:
            raise too_few_descriptors() from None
        raise
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, wire.queue_messages)
    socket.setsockopt(zmq.RCVHWM, wire.queue_messages)
    is_told_topics = kind in (zmq.PUB, zmq.XPUB)
    longest = wire.topic_max_bytes if is_told_topics else wire.message_max_bytes
    socket.setsockopt(zmq.MAXMSGSIZE, longest)
    socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, _RECONNECT_MAX_MS)
    socket.setsockopt(zmq.CONNECT_TIMEOUT, _CONNECT_MS)  # the kernel's own retries come ever more rarely
    socket.setsockopt(zmq.HEARTBEAT_IVL, broker.heartbeat_ms)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, broker.heartbeat_timeout_ms)
    if kind == zmq.ROUTER:
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
    return socket


def bind(socket: zmq.Socket[bytes], url: str, setting: str) -> str:
    """Bind, and return the URL that others are to connect to (port 0 resolved).

    Raises:
        CannotCreate: -3002, the address is in use or not ours; names URL and setting.
        InvalidArgument: the URL is not one.
    """
    _allow_ipv6(socket, url)
    try:
        socket.bind(url)
    except zmq.ZMQError as reason:
        if reason.errno in (zmq.EADDRINUSE, zmq.EADDRNOTAVAIL, errno.ENODEV):
            raise CannotCreate(f"{setting} {url}: {reason.strerror.lower()}") from None
        if reason.errno in NONE_LEFT:
            raise too_few_descriptors() from None
        if reason.errno in (zmq.EINVAL, zmq.EPROTONOSUPPORT):
            raise InvalidArgument(f"{setting} {url}: not a valid endpoint") from None
        raise CannotCreate(f"{setting} {url}: {reason.strerror.lower()}") from None
    return socket.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()  # type: ignore[union-attr] # bytes option


def connect(socket: zmq.Socket[bytes], url: str, setting: str) -> None:
    """Connect.

    Raises:
        InvalidArgument: the URL is not one.
    """
    _allow_ipv6(socket, url)
    try:
        socket.connect(url)
    except zmq.ZMQError as reason:
        raise InvalidArgument(f"{setting} {url}: {reason.strerror.lower()}") from None


def _allow_ipv6(socket: zmq.Socket[bytes], url: str) -> None:
    """Bracketed addresses are IPv6; for others the option would only change how they are spelled."""
    if "[" in url:
        socket.setsockopt(zmq.IPV6, 1)


def send_frames(socket: zmq.Socket[bytes], frames: Sequence[bytes]) -> None:
    """Send one message without waiting.

    ``send_multipart`` does the same and looks at the type of each frame first: a third of its time.  Half of
    the rest is spared by the ``send`` below pyzmq's own, which asks for options of draft sockets first.

    Raises:
        zmq.Again: it cannot be queued; no part of it was sent.
    """
    *first, last = frames
    for frame in first:
        _send(socket, frame, _PART)
    _send(socket, last, _DONTWAIT)


def receive_frames(socket: zmq.Socket[bytes]) -> tuple[bytes, ...]:
    """Receive one message without waiting.

    Whether there is more is known to each frame, without a question to the socket.

    Raises:
        zmq.Again: there is none.
    """
    frame = _recv(socket, _DONTWAIT, copy=False)
    frames = [frame.bytes]
    while frame.more:
        frame = _recv(socket, _DONTWAIT, copy=False)
        frames.append(frame.bytes)
    return tuple(frames)


def has_message(socket: zmq.Socket[bytes]) -> bool:
    """Whether a message can be received; also takes note of what happened to the socket meanwhile."""
    return bool(zmq_poll([(socket, _POLLIN)], 0))


class Watch:
    """Sockets and descriptors of files that are waited for together."""

    def __init__(self, watched: Sequence[zmq.Socket[bytes] | int]) -> None:
        """All of them are to become readable."""
        self._watched = [(each, _POLLIN) for each in watched]

    def wait(self, milliseconds: int) -> list[zmq.Socket[bytes] | int]:
        """Those that are readable, once there are any or the time is over."""
        return [each for each, _ in zmq_poll(self._watched, milliseconds)]
