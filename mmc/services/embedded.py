"""Everything in the caller's process: broker, meta service and local services over inproc.

The same actors, frames and codec as between processes.  The services are threads; they end with
:meth:`Client.close` of the client that is handed out, and leave nothing behind.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from brokers.server import BrokerServer, BrokerUrls
from mmc.errors import CacheError
from mmc.segments.directory import SegmentDirectory
from mmc.services.local_service import LocalServer
from mmc.services.meta_service import MetaServer
from mmc.services.pool import layout_for
from mmc.zeromq.chance import random63
from mmc.zeromq.sockets import new_context

if TYPE_CHECKING:
    from mmc.config import Config

_JOIN_S = 5.0


class EmbeddedCluster:
    """A broker, a meta service and some ranks, as threads of this process."""

    def __init__(self, config: Config, ranks: int) -> None:
        """Start everything.

        Raises:
            CacheError: -3001 not enough memory, -3002 the segment directory cannot be used.
        """
        layout = layout_for(config)
        directory = SegmentDirectory(config.local.segment_dir, config.local.segment_mode)
        directory.require(ranks * layout.total)
        self.context = new_context()
        pool = f"embedded-{random63():x}"
        urls = BrokerUrls(*(f"inproc://{pool}-{end}" for end in BrokerUrls._fields))
        self.meta_url = urls.meta_url
        self._broker = BrokerServer(urls, config.wire, config.broker, self.context)
        self._broker.start()
        self._servers: list[MetaServer | LocalServer] = [
            MetaServer(config, urls.backend_url, urls.publish_url, urls.events_url, context=self.context)
        ]
        self._threads: list[threading.Thread] = []
        try:
            for number in range(ranks):
                control = f"inproc://{pool}-rank-{number}"
                self._servers.append(
                    LocalServer(
                        config,
                        self.meta_url,
                        control_url=control,
                        keep=False,
                        pool=pool,
                        context=self.context,
                    )
                )
        finally:
            for server in self._servers:
                thread = threading.Thread(target=_serve, args=(server,), name="mmc-service", daemon=True)
                self._threads.append(thread)
                thread.start()
            if len(self._servers) <= ranks:
                self.stop()

    def stop(self) -> None:
        """Stop the ranks, then the meta service, then the broker."""
        ordered = list(zip(self._servers, self._threads, strict=True))
        for server, _ in ordered[1:]:
            server.stop()
        for _, thread in ordered[1:]:
            thread.join(_JOIN_S)
        ordered[0][0].stop()
        ordered[0][1].join(_JOIN_S)
        self.context.term()
        self._broker.join()


def _serve(server: MetaServer | LocalServer) -> None:
    """Serve until stopped; a rank whose segment is lost ends, and the log says why."""
    with contextlib.suppress(CacheError):
        server.run()
