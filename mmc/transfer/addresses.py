"""Where data servers listen, and how others are told of it: ``tcp://HOST:PORT``."""

from __future__ import annotations

import errno
import socket
from typing import NamedTuple

from mmc.errors import CannotCreate, InvalidArgument

_TCP = "tcp://"
_WILDCARDS = ("", "*", "0.0.0.0", "::")  # noqa: S104 - compared with, not bound to
_BACKLOG = 128
_PORTS = 1 << 16


class Endpoint(NamedTuple):
    """A host, as names and numbers are written without brackets, and a port."""

    host: str
    port: int

    @property
    def is_wildcard(self) -> bool:
        """Whether every address of the host is meant."""
        return self.host in _WILDCARDS

    def url(self) -> str:
        """The endpoint as a URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{_TCP}{host}:{self.port}"


def endpoint_of(url: str, setting: str) -> Endpoint:
    """The endpoint that a URL means.

    Raises:
        InvalidArgument: it is none; names the setting.
    """
    host, colon, port = url.removeprefix(_TCP).rpartition(":")
    if not url.startswith(_TCP) or not colon or not port.isdecimal() or int(port) >= _PORTS:
        raise InvalidArgument(f"{setting} {url}: tcp://HOST:PORT is wanted")
    return Endpoint(host.removeprefix("[").removesuffix("]"), int(port))


def listen(endpoint: Endpoint, setting: str) -> socket.socket:
    """A listening socket; port 0 takes any.

    Raises:
        CannotCreate: -3002, the address is in use or not ours; names URL and setting.
    """
    host = "" if endpoint.host == "*" else endpoint.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, endpoint.port), family=family, backlog=_BACKLOG)
    except OSError as reason:
        why = "address already in use" if reason.errno == errno.EADDRINUSE else str(reason.strerror or reason)
        raise CannotCreate(f"{setting} {endpoint.url()}: {why.lower()}") from None


def advertised(listening: socket.socket, host: str, towards: str) -> str:
    """The URL that others are told: of ``host`` if that is given, and never a wildcard.

    Whoever listens everywhere tells the address by which it reaches the meta service at ``towards``.
    """
    bound = Endpoint(*listening.getsockname()[:2])
    if host:
        return bound._replace(host=host).url()
    if not bound.is_wildcard:
        return bound.url()
    return bound._replace(host=_own_address(towards, listening.family)).url()


def _own_address(towards: str, family: int) -> str:
    """This host's address on its way to another; its loopback where there is no way."""
    try:
        there = endpoint_of(towards, "")
        found = socket.getaddrinfo(there.host, there.port or 1, family, socket.SOCK_DGRAM)
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect(found[0][4])
            address: str = asking.getsockname()[0]
            return address
    except (OSError, InvalidArgument):
        return "::1" if family == socket.AF_INET6 else "127.0.0.1"


def resolve(url: str) -> tuple[int, tuple[object, ...]]:
    """The family and the address to connect to.

    Raises:
        OSError: the host is not known.
        InvalidArgument: another told what is no URL.
    """
    there = endpoint_of(url, "data_url")
    family, _, _, _, address = socket.getaddrinfo(there.host, there.port, 0, socket.SOCK_STREAM)[0]
    return int(family), address
