"""One meta service behind a broker: a second one on the host is refused.

The broker hands its requests to whoever is behind it, by turns: of two meta services each would hear half of
what ranks and clients say, and begin epoch after epoch against the other.  The name of an abstract socket is
the system's to give, to one process of a network namespace, as loopback addresses are, and it is free at once
when that process is gone.  A backend that is reached from several hosts is its operator's to keep for one.
"""

from __future__ import annotations

import contextlib
import socket

from xxhash import xxh3_64_hexdigest

from mmc.errors import AlreadyExists
from mmc.segments.lockfile import close_at_fork


class SolePlace:
    """The only place behind a broker, held until :meth:`leave` or death."""

    def __init__(self, backend_url: str) -> None:
        """Take it.

        Raises:
            AlreadyExists: -3006, another meta service has it.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.bind(f"\0mmc-meta-{xxh3_64_hexdigest(backend_url.encode())}")
        except OSError:
            self._socket.close()
            raise AlreadyExists(f"another meta service serves behind the broker at {backend_url}") from None
        close_at_fork(self)

    def close_in_child(self) -> None:
        """Close this process's copy and nothing else."""
        self._socket.close()

    def leave(self) -> None:
        """Let another have it."""
        with contextlib.suppress(OSError):
            self._socket.close()
