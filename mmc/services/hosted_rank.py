"""A rank of this process: a local service that runs beside it and ends with it."""

from __future__ import annotations

from mmc.identifiers import ANY_RANK
from mmc.services.hosted import HostedServices
from mmc.services.launch import LaunchOptions
from mmc.services.pool import layout_for, pool_name
from mmc.zeromq.addresses import with_port
from mmc.zeromq.chance import random63

_READY_S = 30.0
_ALLOCATED_PER_S = 256 << 20


class HostedRank:
    """One local service as a process of its own; ``number`` is its rank."""

    def __init__(
        self,
        *,
        meta_url: str,
        server_url: str,
        events_url: str,
        dram: str,
        rank: int,
        world: int,
        create_id: int,
        log_level: str,
    ) -> None:
        """Start it and wait until it is live.

        Args:
            meta_url: the broker's URL for requests.
            server_url: where it is to be asked by clients; while that is in use, any port of that host.
            events_url: where events are heard; "": where the meta service says.
            dram: the size of its pool.
            rank: its number, or ``ANY_RANK``.
            world: how many ranks its cluster may have; 0: unsaid.
            create_id: the number of its cluster's pool.
            log_level: debug, info, warn or error.

        Raises:
            CacheError: -3000, -3001, -3002, -3006, -3013: what is in its way.
        """
        options = LaunchOptions(
            meta_url=meta_url,
            control_url=server_url,
            spare_url=with_port(server_url, 0),
            events_url=events_url,
            dram=dram,
            rank=rank,
            world=world,
            create_id=create_id,
            keep=False,
            pool=f"{pool_name(meta_url)}-{random63():x}",
            overrides={"log": {"level": log_level}},
        )
        ready_s = _READY_S + layout_for(options.settings()).total / _ALLOCATED_PER_S
        self._services = HostedServices()
        try:
            facts = self._services.start("local service", "local", options, ready_s)
        except BaseException:  # boundary: clears away and raises again
            self._services.stop(0.0)
            raise
        self.number = int(facts.get("rank", ANY_RANK))
        self._services.watch()

    def pids(self) -> list[int]:
        """Its process id."""
        return self._services.pids()

    def set_level(self, level: int) -> None:
        """Change its log level, 0 to 3."""
        self._services.set_level(level)

    def stop(self, patience_s: float) -> None:
        """Stop it; what takes longer than ``patience_s`` ends by itself."""
        self._services.stop(patience_s)
