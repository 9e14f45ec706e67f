"""The request broker: ROUTER for whoever asks, DEALER for the meta service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.zeromq.proxy import Proxy
from mmc.zeromq.sockets import DEALER, ROUTER

if TYPE_CHECKING:
    from mmc.limits import BrokerLimits, WireLimits
    from mmc.zeromq.sockets import Context


def request_broker(
    context: Context, meta_url: str, backend_url: str, wire: WireLimits, broker: BrokerLimits
) -> Proxy:
    """A proxy between the clients at ``meta_url`` and the meta service at ``backend_url``.

    Raises:
        CacheError: -3002 an address cannot be bound, -3000 it is none.
    """
    urls, settings = (meta_url, backend_url), ("meta_url", "backend_url")
    return Proxy(context, (ROUTER, DEALER), urls, settings, wire, broker)
