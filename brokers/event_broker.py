"""The event broker: XSUB for the meta service that publishes, XPUB for everybody who listens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.zeromq.proxy import Proxy
from mmc.zeromq.sockets import XPUB, XSUB

if TYPE_CHECKING:
    from mmc.limits import BrokerLimits, WireLimits
    from mmc.zeromq.sockets import Context


def event_broker(
    context: Context, publish_url: str, events_url: str, wire: WireLimits, broker: BrokerLimits
) -> Proxy:
    """A proxy from the meta service at ``publish_url`` to the subscribers at ``events_url``.

    Raises:
        CacheError: -3002 an address cannot be bound, -3000 it is none.
    """
    urls, settings = (publish_url, events_url), ("publish_url", "events_url")
    return Proxy(context, (XSUB, XPUB), urls, settings, wire, broker)
