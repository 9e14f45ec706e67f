"""A line to a rank of this process: frames there, frames back, and a descriptor to wait for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zmq

from mmc.zeromq.sockets import connect, has_message, make_socket, receive_frames, send_frames

if TYPE_CHECKING:
    from mmc.limits import BrokerLimits, WireLimits
    from mmc.wire.sequence import Frames
    from mmc.zeromq.sockets import Context


class Line:
    """Used by one thread, which asks :meth:`receive` after each :meth:`send`: that takes the signal away."""

    def __init__(self, context: Context, url: str, wire: WireLimits, broker: BrokerLimits) -> None:
        """Connect."""
        self._socket = make_socket(context, zmq.DEALER, wire, broker)
        connect(self._socket, url, "control_url")

    def fileno(self) -> int:
        """What becomes readable when something may have arrived."""
        descriptor = self._socket.getsockopt(zmq.FD)
        assert isinstance(descriptor, int)
        return descriptor

    def send(self, frames: Frames) -> None:
        """Send without waiting; what cannot be sent is lost, and asked for again."""
        try:
            send_frames(self._socket, frames)
        except zmq.Again:
            return

    def receive(self) -> list[Frames]:
        """All messages that have arrived."""
        messages = []
        while has_message(self._socket):
            messages.append(receive_frames(self._socket))
        return messages

    def close(self) -> None:
        """Close."""
        self._socket.close()
