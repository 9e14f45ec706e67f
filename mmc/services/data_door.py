"""Where other hosts reach a rank's bytes: the socket of its data server, and the address that is told."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mmc.errors import CannotCreate
from mmc.log import get_log
from mmc.services.data_agent import DataAgent
from mmc.transfer.addresses import advertised, endpoint_of, listen
from mmc.transfer.data_server import DataServer
from mmc.zeromq.addresses import is_loopback, with_port
from mmc.zeromq.clock import now
from mmc.zeromq.sockets import OPEN_TO_NETWORK

if TYPE_CHECKING:
    import socket

    from mmc.config import Config
    from mmc.segments.directory import OwnedSegment
    from mmc.zeromq.sockets import Context

_TCP = "tcp://"


class DataDoor:
    """A rank's data server and its address; ``url`` is "" where this process alone can ask the rank."""

    def __init__(self, config: Config, control_url: str, meta_url: str) -> None:
        """Listen on ``data.url``, or on any port of the control URL's host.

        Several ranks of a host are given the same URL: where it is in use, any port of its host is taken.

        Raises:
            CannotCreate: -3002, the address is not ours.
            InvalidArgument: ``data.url`` is no URL.
        """
        self._config = config
        self._log = get_log("local")
        self._listening: socket.socket | None = None
        self._server: DataServer | None = None
        self.url = ""
        wanted = config.data.url or (with_port(control_url, 0) if control_url.startswith(_TCP) else "")
        if wanted:
            self._listening = self._listen(wanted)
            self.url = advertised(self._listening, config.data.host, meta_url)
            if not is_loopback(self.url):
                self._log.warning(OPEN_TO_NETWORK, setting="data.url", url=self.url)

    def _listen(self, url: str) -> socket.socket:
        endpoint = endpoint_of(url, "data.url")
        try:
            return listen(endpoint, "data.url")
        except CannotCreate as taken:
            if not endpoint.port:
                raise
            self._log.info("another address is taken instead", reason=taken.sentence)
            return listen(endpoint._replace(port=0), "data.url")

    def open(self, owned: OwnedSegment, context: Context, rank_url: str) -> None:
        """Serve a segment, whose rank is asked at ``rank_url``."""
        if self._listening is None:
            return
        open_agent = partial(DataAgent, self._config, owned.segment, owned.path.parent, context, rank_url)
        self._server = DataServer(
            self._listening, owned.segment, owned.memory, self._config.data, open_agent, now, self._hear
        )
        self._server.start()

    def _hear(self, event: str, detail: str) -> None:
        self._log.warning(event, detail=detail)

    def counters(self) -> tuple[tuple[str, int], ...]:
        """What a heartbeat tells of other hosts."""
        return () if self._server is None else self._server.counters()

    def close(self) -> None:
        """Serve nobody any more."""
        if self._server is not None:
            self._server.stop()
        elif self._listening is not None:
            self._listening.close()
