"""Several simulated hosts: what is on which, and what lies between them.

A segment is seen by the processes of its host alone; bytes for others go over wires.  Two hosts may be one
machine, as two containers of it are: then they have one boot id, and addresses of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING

from mmc.limits import DataLimits
from mmc.transfer import carrier, serving, uploading
from tests.simulation.network import NOWHERE
from tests.simulation.planting import replace as put_in_place
from tests.simulation.wires import Quality

if TYPE_CHECKING:
    from tests.simulation.clocks import Clock
    from tests.simulation.settings import Settings

BOOT_ID = 4711
_CLIENTS_ALONE = 0.3
"""How often the last host has clients alone."""
_HOSTS = (1, 1, 1, 1, 2, 2, 3, 3, 4)
_RANKS_A_HOST = 8
"""Of a cluster of many."""
_CLIENTS_OF_MANY = 4
_RANKS_MAX = 16
_CLIENT_ROWS = 20
DATA = DataLimits(
    url="",
    host="",
    threads=2,
    connections_max=64,
    connections_per_rank=4,
    idle_ms=60_000,
    stalled_ms=10_000,
    connect_ms=2000,
    blocks_per_request=1024,
    request_bytes=33_554_432,
    step_bytes=1 << 20,
)


@dataclass(frozen=True, slots=True)
class Host:
    """A host: its number, its machine's boot id, its address, and the clock of all its processes."""

    number: int
    boot: int
    address: str
    clock: Clock


@dataclass(frozen=True, slots=True)
class Spread:
    """Which host each rank and each client is on, and what connections are like.

    ``machines``: of each host its machine.  ``meta``: the host of the meta service and the brokers, or
    ``NOWHERE``.  ``early_bytes`` go along with the beginning of a write; ``held_back_bytes`` are the last
    that a reader is sent; ``helped_bytes`` at once are worth several of a client's ``threads``.
    ``mishaps``: how often each happens between two operations.
    """

    machines: tuple[int, ...]
    ranks: tuple[int, ...]
    clients: tuple[int, ...]
    meta: int = NOWHERE
    data: DataLimits = DATA
    quality: Quality = field(default_factory=Quality)
    threads: int = 1
    early_bytes: int = 256
    held_back_bytes: int = 64
    helped_bytes: int = 0
    mishaps: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def hosts(self) -> int:
        """How many hosts there are."""
        return len(self.machines)

    @property
    def is_wide(self) -> bool:
        """Whether anything is ever to travel between hosts."""
        return self.hosts > 1

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Objects of the simulator are small: so are the parts of them that the product treats apart."""
        with ExitStack() as stack:
            if self.is_wide:
                put_in_place(stack, serving, "EARLY_BYTES", self.early_bytes)
                put_in_place(stack, uploading, "EARLY_BYTES", self.early_bytes)
                put_in_place(stack, carrier, "LEAST_BYTES", self.helped_bytes)
                put_in_place(stack, serving, "_HELD_BACK_BYTES", self.held_back_bytes)
            yield


def draw_spread(seed: int, hosts: int | None = None) -> Spread | None:
    """How a seed spreads its cluster over so many hosts, or as many as it draws; None: over one."""
    random = Random(f"hosts of {seed}")
    count = random.choice(_HOSTS) if hosts is None else hosts
    if count == 1:
        return None
    alike = random.random() < 0.2
    machines = tuple(number if not alike or number < 2 else number - 1 for number in range(count))
    ranks = [number for number in range(count) for _ in range(random.choice((1, 1, 2)))]
    if random.random() < _CLIENTS_ALONE:
        ranks = [number for number in ranks if number != count - 1]
    clients = [number for number in range(count) for _ in range(random.choice((1, 1, 2)))]
    return _spread(random, machines, ranks, clients)


def draw_wide_spread(seed: int, ranks: int) -> Spread:
    """How a seed spreads so many ranks over hosts with several each; a few of the hosts have clients."""
    random = Random(f"many hosts of {seed}")
    hosts = range(-(-ranks // _RANKS_A_HOST))
    clients = random.sample(hosts, min(len(hosts), _CLIENTS_OF_MANY))
    return _spread(random, hosts, [rank // _RANKS_A_HOST for rank in range(ranks)], clients)


def _spread(random: Random, machines: Sequence[int], ranks: Sequence[int], clients: Sequence[int]) -> Spread:
    return Spread(
        tuple(machines),
        tuple(ranks),
        tuple(clients),
        meta=random.choice((NOWHERE, 0)),
        data=_draw_limits(random),
        quality=_draw_quality(random),
        threads=random.choice((1, 2)),
        early_bytes=random.choice((64, 256, 4096)),
        held_back_bytes=random.choice((16, 64, 4096)),
        helped_bytes=random.choice((0, 2000, 1 << 21)),
        mishaps={
            "partition": random.choice((0.0, 0.0, 0.05)),
            "kill_some_host": random.choice((0.0, 0.0, 0.0, 0.02)),
            "kill_server": random.choice((0.0, 0.0, 0.0, 0.05)),
            "break_wire": random.choice((0.0, 0.0, 0.1)),
        },
    )


def _draw_limits(random: Random) -> DataLimits:
    return replace(
        DATA,
        threads=random.choice((1, 2)),
        connections_per_rank=random.choice((1, 2, 4)),
        idle_ms=random.choice((300, 60_000)),
        stalled_ms=random.choice((300, 10_000)),
        connect_ms=random.choice((300, 2000)),
        blocks_per_request=random.choice((2, 1024)),
        request_bytes=random.choice((4096, 33_554_432)),
        step_bytes=random.choice((128, 1024, 1 << 20)),
    )


def _draw_quality(random: Random) -> Quality:
    return Quality(
        window=random.choice((1024, 8192, 1 << 16)),
        segment=random.choice((300, 1460, 1460)),
        latency_s=random.choice((0.0001, 0.0005, 0.003)),
        lost=random.choice((0.0, 0.0, 0.01)),
        breaks=random.choice((0.0, 0.0, 0.003, 0.02)),
        damages=random.choice((0.0, 0.0, 0.0, 0.01)),
    )


def spread_out(settings: Settings, spread: Spread) -> Settings:
    """The same configuration over several hosts."""
    return replace(
        settings,
        ranks=len(spread.ranks),
        clients=len(spread.clients),
        read_only_clients=min(settings.read_only_clients, 1),
        meta=replace(settings.meta, ranks_max=max(settings.meta.ranks_max, _RANKS_MAX)),
        local=replace(settings.local, clients_max=_CLIENT_ROWS),
        spread=spread,
    )
