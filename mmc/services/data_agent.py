"""What a thread of a data server writes with: a client id, a lock file, a line to this process's rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.actors.client.proxy import Proxy
from mmc.segments.lockfile import ClientLock
from mmc.zeromq.chance import random63
from mmc.zeromq.line import Line

if TYPE_CHECKING:
    from pathlib import Path

    from mmc.config import Config
    from mmc.segments.layout import Segment
    from mmc.wire.sequence import Frames
    from mmc.zeromq.sockets import Context


class DataAgent:
    """A proxy that the rank knows as one of its clients."""

    def __init__(
        self, config: Config, segment: Segment, directory: Path, context: Context, rank_url: str
    ) -> None:
        """``rank_url`` is where this process's rank is asked.

        Raises:
            CacheError: -3002, no lock file can be made.
        """
        client = random63()
        self._lock = ClientLock(directory, client, config.local.segment_mode)
        self._line = Line(context, rank_url, config.wire, config.broker)
        ahead = config.local.reserve_ahead_bytes
        self.proxy = Proxy(segment, client, config.client, ahead, random63)

    def fileno(self) -> int:
        """What becomes readable when the rank has spoken."""
        return self._line.fileno()

    def send(self, frames: Frames) -> None:
        """Send to the rank."""
        self._line.send(frames)

    def receive(self) -> list[Frames]:
        """All that the rank has said."""
        return self._line.receive()

    def close(self) -> None:
        """Its lock is free: what it held comes back."""
        self._line.close()
        self._lock.release()
