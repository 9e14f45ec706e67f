"""What copies a rank's objects to other ranks: a client, which begins when there is something to copy."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from mmc.errors import CacheError, Code
from mmc.log import get_log
from mmc.zeromq.clock import now

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmc.config import Config
    from mmc.connection import Connection
    from mmc.zeromq.sockets import Context

_IDLE_S = 30.0
_JOIN_S = 2.0
_CLOSING_S = 0.1
_NONE_AHEAD = 1


class Mover:
    """A thread and a connection, from the first copy until there was none for a while."""

    def __init__(
        self,
        config: Config,
        meta_url: str,
        context: Context | None,
        events_url: str,
        fills: Callable[[], int],
    ) -> None:
        """``fills`` says up to which per cent of their capacity other ranks are filled."""
        client = replace(config.client, populate=False, copy_threads=1, map_segments=True)
        local = replace(config.local, reserve_ahead_bytes=_NONE_AHEAD)
        self._config = replace(config, client=client, local=local)
        self._meta_url = meta_url
        self._context = context
        self._events_url = events_url
        self._fills = fills
        self._log = get_log("local")
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._rank = 0
        self._stopping = False
        self._connection: Connection | None = None

    def wake(self, rank: int | None) -> None:
        """Objects of this rank are to be copied; returns at once."""
        if rank is None or self._stopping:
            return
        self._rank = rank
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mmc-mover", daemon=True)
            self._thread.start()
        self._wake.set()

    def close(self) -> None:
        """Copy nothing any more."""
        self._stopping = True
        self._wake.set()
        self._disconnect()
        if self._thread is not None:
            self._thread.join(_JOIN_S)

    def _run(self) -> None:
        while not self._stopping:
            if not self._wake.wait(_IDLE_S):
                self._disconnect()
                continue
            self._wake.clear()
            try:
                self._copy()
            except CacheError as error:
                if not self._stopping:
                    self._log.warning("objects could not be copied", reason=error.sentence)
                self._disconnect()
        self._disconnect()

    def _copy(self) -> None:
        """Make copies until there are none to make."""
        from mmc.actors.client.copying import move  # noqa: PLC0415 - most ranks never copy

        connection = self._connected()
        refused: dict[bytes, Code] = {}
        while connection is not None and not self._stopping:
            deadline = now() + self._config.client.timeout_ms / 1000
            done = connection.reactor.run(
                move(connection.actor, self._rank, self._fills(), refused, deadline)
            )
            refused = done.refused
            if not done.handed:
                return

    def _connected(self) -> Connection | None:
        """The connection, once it knows the rank; None when that does not come about in time."""
        from mmc.actors.client.reading import await_rank  # noqa: PLC0415 - as above
        from mmc.connection import Connection  # noqa: PLC0415 - as above

        connection = self._connection
        if connection is not None:
            return connection
        connection = Connection(self._meta_url, self._config, self._context, self._events_url)
        self._connection = connection
        if self._stopping:  # whoever stops has perhaps not seen it
            self._disconnect()
            return None
        deadline = now() + self._config.client.connect_timeout_ms / 1000
        code = connection.reactor.run(await_rank(connection.actor, deadline, rank=self._rank))
        if code != Code.OK:
            self._disconnect()
            return None
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close(_CLOSING_S)
