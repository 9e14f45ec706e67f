"""The floor of every transfer: the same bytes over a plain blocking TCP socket, with Python at both ends.

A request is three numbers.  What is read is one ``recv_into`` after the other into the caller's buffers; what
is put is one ``sendall`` for each object, and a word that all has arrived.  Nothing is hashed.
"""

from __future__ import annotations

import signal
import socket
import struct
import threading
from typing import TYPE_CHECKING

import numpy as np

from mmc.bench.dataset import Content, Part
from mmc.bench.processes import die_with_parent
from mmc.bench.stores.contract import Store
from mmc.transfer.addresses import endpoint_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

    from mmc.bench.dataset import Dataset
    from mmc.bench.stores.contract import Call, Item

_REQUEST = struct.Struct("!BBQ")
_GET, _PUT = 1, 2
_DONE = b"d"
_PARTS = tuple(Part)
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
        asked = b"".join(_request(_GET, item) for item in items)
        targets = [item.block.data for item in items]

        def receive() -> None:
            self._socket.sendall(asked)
            for target in targets:
                _fill(self._socket, target)

        return receive

    def put(self, items: Sequence[Item]) -> Call:
        """Send all, then hear that they have arrived."""
        heard = memoryview(bytearray(len(items)))

        def send() -> None:
            for item in items:
                self._socket.sendall(_request(_PUT, item))
                self._socket.sendall(item.block.data)
            _fill(self._socket, heard)

        return send

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()


def _request(what: int, item: Item) -> bytes:
    return _REQUEST.pack(what, _PARTS.index(item.part), item.number)


def _fill(connected: socket.socket, target: memoryview) -> None:
    at = 0
    while at < len(target):
        count = connected.recv_into(target[at:])
        if not count:
            raise ConnectionResetError("the other end of the socket has closed it")
        at += count


def hold(dataset: Dataset, ready: Connection) -> None:
    """Hold the objects, and say at which URL."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    content = Content.drawn(dataset.seed)
    listening = socket.create_server(("127.0.0.1", 0))
    ready.send(f"tcp://127.0.0.1:{listening.getsockname()[1]}")
    while True:
        connected, _ = listening.accept()
        threading.Thread(target=_serve, args=(connected, dataset, content), daemon=True).start()


def _serve(connected: socket.socket, dataset: Dataset, content: Content) -> None:
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    held = {part: _held(dataset, content, part) for part in (Part.MIDDLE, Part.LARGE)}
    asked = memoryview(bytearray(_REQUEST.size))
    arriving = np.ones(max(part.size for part in Part), np.uint8).data
    try:
        while True:
            _fill(connected, asked)
            what, index, number = _REQUEST.unpack(asked)
            part = _PARTS[index]
            if what == _GET:
                connected.sendall(held[part][number])
            else:
                _fill(connected, arriving[: part.size])
                connected.sendall(_DONE)
    except OSError:
        connected.close()


def _held(dataset: Dataset, content: Content, part: Part) -> list[memoryview]:
    """The objects of a size, each in memory of its own, as stores have them."""
    return [content.of(part, number).copy().data for number in range(dataset.count(part))]
