"""The HTTP service of one cluster, as a process of its own.

Its address is a convenience: when it is in use, or the extra is not installed, that is one warning and no
failure.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mmc.client import Client
from mmc.errors import CannotCreate, InvalidArgument
from mmc.http.facts import Cluster
from mmc.log import get_log
from mmc.process import stop_on_signals, stop_with_parent, tell_ready

if TYPE_CHECKING:
    import uvicorn

    from mmc.services.launch import LaunchOptions

_BACKLOG = 128
_PORT = 8000


class HttpServer:
    """Serves HTTP until stopped."""

    def __init__(self, listening: socket.socket, client: Client) -> None:
        """The socket is this server's from here on.

        Raises:
            CannotCreate: -3002, the extra is missing.
        """
        try:
            import uvicorn  # noqa: PLC0415 - the extra may be missing

            from mmc.http.routes import make_app  # noqa: PLC0415 - the extra may be missing
        except ModuleNotFoundError:
            raise CannotCreate(
                "HTTP needs an extra: pip install -e '.[http]', where MemCache was cloned"
            ) from None
        self._socket = listening
        host, port = listening.getsockname()[:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        config = uvicorn.Config(
            make_app(Cluster(client)), log_config=None, access_log=False, lifespan="off", server_header=False
        )
        self._server: uvicorn.Server = uvicorn.Server(config)

    def run(self) -> None:
        """Serve until stopped."""
        with contextlib.closing(self._socket):
            thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
            thread.start()
            thread.join()

    def stop(self) -> None:
        """End :meth:`run`; from a signal handler or another thread."""
        self._server.should_exit = True


def listen_at(url: str) -> socket.socket:
    """A socket that listens there; port 0 is any.

    Raises:
        InvalidArgument: -3000, it is no http URL.
        CannotCreate: -3002, the address is in use or not ours; names URL and setting.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port if parts.port is not None else _PORT
    except ValueError as wrong:
        raise InvalidArgument(f"metrics_url {url}: {str(wrong).lower()}") from None
    if parts.scheme != "http" or not host:
        raise InvalidArgument(f"metrics_url {url}: not like http://127.0.0.1:{_PORT}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as reason:
        listening.close()
        raise CannotCreate(f"metrics_url {url}: {(reason.strerror or str(reason)).lower()}") from None
    return listening


def run_http(options: LaunchOptions) -> None:
    """Serve HTTP until stopped.

    Raises:
        CacheError: -3002, the address is in use; -3017, no answer from the meta service.
    """
    listening = listen_at(options.http_url)
    with listening, Client(options.meta_url, options.settings()) as client:
        server = HttpServer(listening, client)
        stop_on_signals(server)
        stop_with_parent(server, options.parent_fd)
        get_log("http").info("serving", url=server.url)
        tell_ready(options.ready_fd, {"http_url": server.url})
        server.run()
