"""Both brokers as one service."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from brokers.event_broker import event_broker
from brokers.request_broker import request_broker
from mmc.zeromq.sockets import new_context

if TYPE_CHECKING:
    from mmc.limits import BrokerLimits, WireLimits
    from mmc.zeromq.sockets import Context


class BrokerUrls(NamedTuple):
    """Where the four ends are: for clients, the meta service, its events, and who hears them."""

    meta_url: str
    backend_url: str
    publish_url: str
    events_url: str


class BrokerServer:
    """The request broker and the event broker of one meta service."""

    def __init__(
        self,
        urls: BrokerUrls,
        wire: WireLimits,
        broker: BrokerLimits,
        context: Context | None = None,
    ) -> None:
        """Bind all four ends.

        Raises:
            CacheError: -3002 an address cannot be bound, -3000 it is none.
        """
        self._context = context or new_context()
        self._owns_context = context is None
        self._stopped = threading.Event()
        requests = request_broker(self._context, urls.meta_url, urls.backend_url, wire, broker)
        try:
            events = event_broker(self._context, urls.publish_url, urls.events_url, wire, broker)
        except BaseException:  # boundary: clears away and raises again
            requests.close()
            raise
        self._proxies = (requests, events)
        self.urls = BrokerUrls(*requests.urls, *events.urls)

    def run(self) -> None:
        """Carry messages until stopped."""
        self.start()
        self._stopped.wait()
        if self._owns_context:
            self._context.term()
        self.join()

    def start(self) -> None:
        """Begin to carry messages, in threads that end with the context."""
        for proxy in self._proxies:
            proxy.start()

    def join(self) -> None:
        """Wait for the end, after the context was terminated."""
        for proxy in self._proxies:
            proxy.join()

    def stop(self) -> None:
        """End :meth:`run`; from a signal handler or another thread."""
        self._stopped.set()
