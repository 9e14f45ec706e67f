"""A service may be told to stop by any thread, at any time."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from mmc.log import get_log
from mmc.zeromq.service_reactor import Ports, ServiceReactor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmc.actors.contract import Address, Effect
    from mmc.wire.sequence import Frames

_TIMES = 1500
_OFTEN = 20


class Idle:
    """An actor to which nothing happens."""

    def receive(self, _source: Address, _frames: Frames, _now: float) -> list[Effect]:
        """Nothing arrives."""
        return []

    def expire(self, _now: float) -> list[Effect]:
        """Nothing is done."""
        return []

    def next_deadline(self) -> None:
        """Nothing is due."""


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def _stop_often(reactor: ServiceReactor) -> None:
    for _ in range(_OFTEN):
        reactor.stop()


@pytest.mark.usefixtures("frequent_switches")
def test_a_stop_that_comes_while_the_sockets_close_does_nothing() -> None:
    """Whoever stops a reactor that another thread is closing writes to no descriptor of somebody else's."""
    with ThreadPoolExecutor(1) as other:
        for _ in range(_TIMES):
            reactor = ServiceReactor(Idle(), Ports(), get_log("test"))
            stopped = other.submit(_stop_often, reactor)
            reactor.close()
            stopped.result()
