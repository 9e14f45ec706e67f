"""The two ends of a bare request and reply, behind a broker: what no request can be faster than."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zmq

from mmc.zeromq.sockets import connect, make_socket, new_context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.limits import BrokerLimits, WireLimits

_PATIENCE_MS = 10_000


class Asker:
    """The asking end."""

    def __init__(self, url: str, wire: WireLimits, broker: BrokerLimits) -> None:
        """Connect to the broker's end for clients."""
        self._context = new_context()
        self._socket = make_socket(self._context, zmq.DEALER, wire, broker)
        self._socket.setsockopt(zmq.RCVTIMEO, _PATIENCE_MS)
        connect(self._socket, url, "meta_url")

    def ask(self, frames: Sequence[bytes]) -> list[bytes]:
        """Send frames and wait until they come back.

        Raises:
            zmq.Again: they do not, within ten seconds.
        """
        self._socket.send_multipart(frames)
        return self._socket.recv_multipart()

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()
        self._context.term()


def serve_echo(url: str, wire: WireLimits, broker: BrokerLimits) -> None:
    """Send back whatever comes from a broker's end for services; never returns."""
    context = new_context()
    socket = make_socket(context, zmq.DEALER, wire, broker)
    connect(socket, url, "backend_url")
    while True:
        socket.send_multipart(socket.recv_multipart())
