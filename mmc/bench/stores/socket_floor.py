"""The floor of every transfer: the same bytes over a plain blocking TCP socket, with Python at both ends.

A request is three numbers.  What is read is one ``recv_into`` after the other into the caller's buffers; what
is put is one ``sendall`` for each object, and a word that all has arrived.  Nothing is hashed.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

from mmc.bench.dataset import Part
from mmc.bench.stores.contract import Store
from mmc.transfer.addresses import endpoint_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.bench.stores.contract import Call, Item

REQUEST = struct.Struct("!BBQ")
GET, PUT = 1, 2
PARTS = tuple(Part)
_PATIENCE_S = 60.0


class SocketStore(Store):
    """A connection to a holder."""

    keeps = False

    def __init__(self, url: str) -> None:
        """Connect."""
        self._socket = socket.create_connection(endpoint_of(url, "holder"), _PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def get(self, items: Sequence[Item]) -> Call:
        """Ask for all, then receive all."""
        asked = b"".join(_request(GET, item) for item in items)
        targets = [item.block.data for item in items]

        def receive() -> None:
            self._socket.sendall(asked)
            for target in targets:
                fill(self._socket, target)

        return receive

    def put(self, items: Sequence[Item]) -> Call:
        """Send all, then hear that they have arrived."""
        heard = memoryview(bytearray(len(items)))

        def send() -> None:
            for item in items:
                self._socket.sendall(_request(PUT, item))
                self._socket.sendall(item.block.data)
            fill(self._socket, heard)

        return send

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()


def _request(what: int, item: Item) -> bytes:
    return REQUEST.pack(what, PARTS.index(item.part), item.number)


def fill(connected: socket.socket, target: memoryview) -> None:
    """Receive into all of a buffer.

    Raises:
        ConnectionResetError: the other end has closed.
    """
    at = 0
    while at < len(target):
        count = connected.recv_into(target[at:])
        if not count:
            raise ConnectionResetError("the other end of the socket has closed it")
        at += count
