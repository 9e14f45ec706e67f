"""A simulated client's way to other hosts: the product's errands, over simulated connections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

from mmc.errors import Code
from mmc.identifiers import Member
from mmc.limits import DataLimits
from mmc.transfer.carrier import Carrier
from mmc.transfer.connections import Connections
from mmc.transfer.exchange import Exchange
from mmc.transfer.stream import Stream
from tests.simulation.polls import Poll
from tests.simulation.wires import Place, Wires

if TYPE_CHECKING:
    import socket

    from mmc.transfer.errands import Errand

_POLL_UNITS_PER_S = 1000.0
_COUNTED = {
    "remote_read_bytes": "blocks read",
    "remote_written_bytes": "blocks sent",
    "remote_damaged": "blocks read damaged",
}


class SimulatedConnections(Connections):
    """Connections to simulated data servers."""

    def __init__(self, limits: DataLimits, now: Callable[[], float], wires: Wires, place: Place) -> None:
        """Of the process at ``place``."""
        super().__init__(limits, now)
        self._wires = wires
        self._place = place

    def _connect(self, url: str) -> Stream:
        wire = self._wires.connect(self._place, url)
        return Stream(cast("socket.socket", wire), self._limits.step_bytes)

    def wait(self, seconds: float) -> None:
        """Let time pass, in which one may become free."""
        strand = self._wires.world.current
        assert strand is not None
        strand.pause(seconds)


class SimulatedCarrier(Carrier):
    """The product's carrier, whose waiting and connections are simulated."""

    def __init__(
        self, limits: DataLimits, threads: int, may_reach: Callable[[Member], bool],
        now: Callable[[], float], wires: Wires, place: Place,
    ) -> None:  # fmt: skip
        """Of the process at ``place``."""
        super().__init__(limits, threads, may_reach, now)
        self._wires = wires
        self._connections = SimulatedConnections(limits, now, wires, place)

    def together(self, errands: Sequence[object]) -> Sequence[Exchange]:
        """As the product's, but that they wait in a strand."""
        exchanges = super().together(errands)
        for exchange in exchanges:
            exchange._poll = Poll(self._wires, _POLL_UNITS_PER_S)  # type: ignore[assignment]  # noqa: SLF001 - the one thing that is not the product's
        for errand in errands:
            self._watch(cast("Errand", errand))
        return exchanges

    def _watch(self, errand: Errand) -> None:
        """Count how errands end."""
        world, fail = self._wires.world, errand.fail
        world.count(f"errand {type(errand).__name__.strip('_').lower()}")

        def failed(code: Code) -> None:
            world.count(f"errand ended: {code.name.lower()}")
            fail(code)

        errand.fail = failed  # type: ignore[method-assign]

    def _count(self, name: str, amount: int) -> None:
        super()._count(name, amount)
        self._wires.world.count(_COUNTED[name])
