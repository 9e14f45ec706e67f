"""URLs that others tell may be none: whoever was told goes on without what they stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mmc.actors.contract import META, Send, Subscribe
from mmc.config import load_config
from mmc.identifiers import Member
from mmc.zeromq.client_sockets import ClientSockets
from mmc.zeromq.service_reactor import Ports, ServiceReactor
from mmc.zeromq.sockets import SUB, make_socket, new_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmc.actors.contract import Effect
    from mmc.zeromq.sockets import Context

_CONFIG = load_config()
_NO_URLS = ("", "u", "tcp://", "udp://127.0.0.1:1", "a\0b", "tcp://\u20ac:1")
_NOWHERE = "tcp://127.0.0.1:1"


@pytest.fixture
def context() -> Iterator[Context]:
    """A context that ends with everything closed."""
    context = new_context()
    yield context
    context.destroy(0)


class Lines:
    """A log that is kept."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def info(self, event: str, **_fields: object) -> None:
        """One line."""
        self.events.append(event)

    warning = error = info


class Idle:
    """An actor that nobody speaks to."""

    def receive(self, _source: object, _frames: object, _now: float) -> list[Effect]:
        """Nothing comes of it."""
        return []

    def expire(self, _now: float) -> list[Effect]:
        """Nothing is due."""
        return []

    def next_deadline(self) -> float | None:
        """Never."""
        return None


@pytest.mark.parametrize("url", _NO_URLS)
def test_a_client_goes_on_without_a_rank_or_events_whose_url_is_none(context: Context, url: str) -> None:
    """What is sent there is lost; others, and the same rank under a good URL, are reached as before."""
    sockets = ClientSockets(context, _NOWHERE, _CONFIG.wire, _CONFIG.broker, "")
    bad = Member(3, 1, 1, 1, 1, 1, "/p", url)
    for _ in range(2):
        sockets.hear(url, (b"topic",))
        sockets.send(3, (b"lost",), {3: bad})
    sockets.send(3, (b"kept",), {3: bad._replace(control_url=_NOWHERE)})
    sockets.send(META, (b"kept",), {})
    sockets.hear(_NOWHERE, (b"topic",))
    assert sockets.take() is None
    sockets.close()
    sockets.end()


@pytest.mark.parametrize("url", _NO_URLS)
def test_a_service_goes_on_without_events_whose_url_is_none(context: Context, url: str) -> None:
    """It says so in the log, and hears them again once it is told where they are."""
    log = Lines()
    ports = Ports(events=make_socket(context, SUB, _CONFIG.wire, _CONFIG.broker))
    reactor = ServiceReactor(Idle(), ports, log)
    topics = (b"topic",)
    reactor.perform([Subscribe(_NOWHERE, topics), Subscribe(url, topics), Subscribe(url, topics)])
    reactor.perform([Subscribe(_NOWHERE, topics), Send(META, (b"nobody",))])
    assert log.events == ["events are not heard"]
    reactor.close()
