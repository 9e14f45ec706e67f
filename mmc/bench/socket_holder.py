"""The process behind :mod:`mmc.bench.stores.socket_floor`: it holds the objects, and takes what is put."""

from __future__ import annotations

import signal
import socket
import threading
from typing import TYPE_CHECKING

import numpy as np

from mmc.bench.dataset import Content, Part
from mmc.bench.processes import die_with_parent
from mmc.bench.stores.socket_floor import GET, PARTS, REQUEST, fill

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from mmc.bench.dataset import Dataset

_DONE = b"d"
_WRITTEN_BYTES = 256 << 20
"""What is put goes by turns to so much memory, as others put into space that nobody has just used."""


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
    asked = memoryview(bytearray(REQUEST.size))
    memory = np.ones(_WRITTEN_BYTES, np.uint8).data
    at = 0
    try:
        while True:
            fill(connected, asked)
            what, index, number = REQUEST.unpack(asked)
            part = PARTS[index]
            if what == GET:
                connected.sendall(held[part][number])
            else:
                at = at if at + part.size <= _WRITTEN_BYTES else 0
                fill(connected, memory[at : at + part.size])
                at += part.size
                connected.sendall(_DONE)
    except OSError:
        connected.close()


def _held(dataset: Dataset, content: Content, part: Part) -> list[memoryview]:
    """The objects of a size, each in memory of its own, as stores have them."""
    return [content.of(part, number).copy().data for number in range(dataset.count(part))]
