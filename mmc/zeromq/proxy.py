"""Proxies: what a broker is made of.  They pass frames on and look into none of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import zmq

from mmc.zeromq.sockets import bind, make_socket

if TYPE_CHECKING:
    from mmc.limits import BrokerLimits, WireLimits


class Proxy:
    """Two bound sockets and a thread that carries frames between them in both directions."""

    def __init__(  # the two ends and their settings
        self,
        context: zmq.Context[zmq.Socket[bytes]],
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
        except BaseException:
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


def request_proxy(  # the two ends of the requests' way
    context: zmq.Context[zmq.Socket[bytes]],
    frontend: str,
    backend: str,
    wire: WireLimits,
    broker: BrokerLimits,
) -> Proxy:
    """ROUTER for whoever asks, DEALER for the meta service."""
    kinds, settings = (zmq.ROUTER, zmq.DEALER), ("meta_url", "backend_url")
    return Proxy(context, kinds, (frontend, backend), settings, wire, broker)


def event_proxy(  # the two ends of the events' way
    context: zmq.Context[zmq.Socket[bytes]],
    publishers: str,
    subscribers: str,
    wire: WireLimits,
    broker: BrokerLimits,
) -> Proxy:
    """XSUB for the meta service, XPUB for subscribers."""
    kinds, settings = (zmq.XSUB, zmq.XPUB), ("publish_url", "events_url")
    return Proxy(context, kinds, (publishers, subscribers), settings, wire, broker)
