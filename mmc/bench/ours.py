"""The cluster that is measured, and an echo behind a broker of the same kind."""

from __future__ import annotations

import math
import multiprocessing
import signal
from typing import TYPE_CHECKING

from mmc.bench.dataset import LARGE_BYTES
from mmc.bench.failures import BenchError
from mmc.bench.machine import shared_bytes
from mmc.bench.processes import die_with_parent, pause
from mmc.bench.services import ANY_PORT, QUIET, Services
from mmc.bench.socket_holder import hold
from mmc.config import load_config, with_local
from mmc.services.launch import LaunchOptions
from mmc.services.pool import layout_for
from mmc.services.supervisor import Supervisor
from mmc.zeromq.clock import now
from mmc.zeromq.echo import serve_echo

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import ExitStack

    from mmc.bench.dataset import Dataset
    from mmc.limits import BrokerLimits, WireLimits

_FILL_PERCENT = 75
_WRITTEN_BYTES = 256 << 20
_POPULATE_S = 120.0
_TICK_S = 0.02
_STOP_S = 5.0


def pool_bytes_for(dataset: Dataset, ranks: int) -> int:
    """The pool of each rank in which everything fits without an eviction, in bytes and in records."""
    record = load_config().local.bytes_per_record
    records = dataset.objects / ranks + 5 * math.sqrt(dataset.objects)
    payload = (dataset.stored_bytes + _WRITTEN_BYTES) / ranks + 5 * math.sqrt(dataset.large) * LARGE_BYTES
    return math.ceil(max(records * record, payload) * 100 / _FILL_PERCENT)


class Cluster:
    """A broker, a meta service and local services; nothing of it is left afterwards."""

    def __init__(self, ranks: int, dram: str) -> None:
        """Start it, and wait until every pool is populated.

        Raises:
            CacheError: there is no room for it, or a service does not start.
            BenchError: a pool is never populated.
        """
        options = LaunchOptions(meta_url=ANY_PORT, dram=dram, overrides=QUIET)
        self.ranks = ranks
        self._supervisor = Supervisor(options, ranks)
        try:
            begun = now()
            self._supervisor.start()
            pids = [child.pid for child in self._supervisor.children[2:]]
            await_populated(pids, dram)
            self.populate_s = now() - begun
        except BaseException:  # boundary: clears away and raises again
            self._supervisor.force()
            raise
        self.meta_url = self._supervisor.meta_url

    def end(self) -> None:
        """Stop it."""
        self._supervisor.close()

    def hurry(self) -> None:
        """Kill it, and remove its files."""
        self._supervisor.force()


def await_populated(pids: Sequence[int], dram: str) -> None:
    """Wait until ranks have their whole segments, pools and tables, in their page tables.

    Raises:
        BenchError: they never do.
    """
    deadline = now() + _POPULATE_S
    segment = layout_for(with_local(load_config(), dram=dram)).total
    while any(shared_bytes(pid) < segment for pid in pids):
        if now() > deadline:
            raise BenchError(f"the pools were not populated within {_POPULATE_S:.0f} s")
        pause(_TICK_S)


def _echo(url: str, wire: WireLimits, broker: BrokerLimits) -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    serve_echo(url, wire, broker)


class Echo:
    """A broker as ours is, and behind it a process that sends everything back."""

    def __init__(self, ending: ExitStack) -> None:
        """Start both; they end with ``ending``."""
        config = load_config()
        services = Services(ending)
        self.url = services.options.meta_url
        context = multiprocessing.get_context("spawn")
        arguments = (services.options.backend_url, config.wire, config.broker)
        process = context.Process(target=_echo, args=arguments, daemon=True, name="echo")
        process.start()
        ending.callback(process.join, _STOP_S)
        ending.callback(process.kill)


class Holder:
    """A process that holds the objects behind a plain socket."""

    def __init__(self, ending: ExitStack, dataset: Dataset) -> None:
        """Start it; it ends with ``ending``."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=hold, args=(dataset, theirs), daemon=True, name="holder")
        process.start()
        ending.callback(process.join, _STOP_S)
        ending.callback(process.kill)
        if not ours.poll(_POPULATE_S):
            raise BenchError("the socket's holder does not serve")
        self.url: str = ours.recv()
