"""Endpoints: ``tcp://HOST:PORT``, ``ipc://PATH`` and ``inproc://NAME``; what to bind, tell and connect to.

A service may bind to a wildcard (``tcp://0.0.0.0:5000``, ``tcp://*:5000``, ``tcp://[::]:5000``), but nobody
can connect to one: whoever is told of a wildcard puts in its place the host by which it reached the teller.
"""

from __future__ import annotations

import ipaddress

_WILDCARDS = ("*", "0.0.0.0", "[::]", "")  # noqa: S104 - compared with, not bound to
_TCP = "tcp://"
_LOOPBACK = "127.0.0.1"


def host_of(url: str) -> str:
    """The host of a tcp URL as it is written; "" of any other."""
    return url.removeprefix(_TCP).rpartition(":")[0] if url.startswith(_TCP) else ""


def with_port(url: str, port: int) -> str:
    """The same host with another port; port 0 is whichever is free.  Not tcp: an address of its own."""
    return f"{_TCP}{host_of(url) if url.startswith(_TCP) else _LOOPBACK}:{port}"


def reachable(url: str, via: str = "") -> str:
    """The URL to connect to: a wildcard becomes the host of ``via``, by which the teller was reached."""
    if not url.startswith(_TCP) or host_of(url) not in _WILDCARDS:
        return url
    host = host_of(via)
    port = url.rpartition(":")[2]
    return f"{_TCP}{_LOOPBACK if host in _WILDCARDS else host}:{port}"


def is_loopback(url: str) -> bool:
    """Whether only this host can reach what is bound there."""
    if not url.startswith(_TCP):
        return True
    host = host_of(url).strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in ("localhost", "lo")
