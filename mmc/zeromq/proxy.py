"""Proxies: what a broker is made of.  They pass frames on and look into none of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import zmq

from mmc.zeromq.sockets import bind, make_socket

if TYPE_CHECKING:
    from mmc.limits import BrokerLimits, WireLimits
    from mmc.zeromq.sockets import Context


class Proxy:
    """Two bound sockets and a thread that carries frames between them in both directions."""

    def __init__(  # the two ends and their settings
        self,
        context: Context,
        kinds: tuple[int, int],
        urls: tuple[str, str],
        settings: tuple[str, str],
        wire: WireLimits,
        broker: BrokerLimits,
    ) -> None:
        """Bind both ends; nothing is carried until :meth:`start`.

        Raises:
            CacheError: -3002 an address cannot be bound, -3000 it is none.
        """
        self._sockets = [make_socket(context, kind, wire, broker) for kind in kinds]
        try:
            self.urls = tuple(
                bind(socket, url, setting)
                for socket, url, setting in zip(self._sockets, urls, settings, strict=True)
            )
        except BaseException:  # boundary: clears away and raises again
            self.close()
            raise
        self._thread = threading.Thread(target=self._carry, name="mmc-proxy", daemon=True)

    def start(self) -> None:
        """Begin to carry frames; ends when the context is terminated."""
        self._thread.start()

    def _carry(self) -> None:
        try:
            zmq.proxy(*self._sockets)
        except zmq.ContextTerminated:
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Close both ends."""
        for socket in self._sockets:
            socket.close()

    def join(self) -> None:
        """Wait for the end, after the context was terminated."""
        if self._thread.is_alive():
            self._thread.join()
