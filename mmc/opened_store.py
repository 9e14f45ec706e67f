"""What an open store is made of: a client, perhaps a rank of its own, open writes, registered memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.client import Client
from mmc.config import client_settings, load_config
from mmc.errors import CacheError, Code, InvalidArgument
from mmc.failures import report
from mmc.identifiers import ANY_RANK
from mmc.key_info import KeyInfo
from mmc.log import get_log, set_level
from mmc.raw_memory import RegisteredRanges, address_of_argument, pieces_at
from mmc.services.hosted_rank import HostedRank
from mmc.settings import NO_RDMA, LocalConfig, ReplicateConfig, without_effect
from mmc.split_writes import SplitWrites
from mmc.zeromq.clock import now

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mmc.arguments import BufferLike

_CLOSING_S = 0.09
_MOST_PIECES = 8192
_REMOVE_STEP = 4096
_DEFAULTS = LocalConfig()


class OpenedStore:
    """An open store."""

    def __init__(self, config: LocalConfig, *, own_rank: bool) -> None:
        """Connect, and start the rank.

        Raises:
            CacheError: -3017 no answer; -3001, -3002, -3006, -3013 the rank cannot be.
        """
        set_level(config.log_level)
        log = get_log("store")
        for key, reason in without_effect(config).items():
            log.warning("setting has no effect", setting=key, reason=reason)
        if config.protocol == "host_rdma":
            log.info(NO_RDMA)
        timeout_ms, silence_ms = config.client_timeout_seconds * 1000, config.client_retry_milliseconds
        limits = load_config(overrides={"client": client_settings(timeout_ms, silence_ms)})
        self.lease_max_ms = limits.meta.lease_max_ms
        told = config.config_store_url
        events_url = "" if told == _DEFAULTS.config_store_url else told
        self.client = Client(config.meta_service_url, limits, events_url=events_url)
        self.writes = SplitWrites(self.client)
        self.ranges = RegisteredRanges()
        self._rank: HostedRank | None = None
        try:
            if own_rank:
                self._rank = HostedRank(
                    meta_url=config.meta_service_url,
                    server_url=config.hcom_url,
                    events_url=events_url,
                    dram=str(config.dram_size),
                    rank=ANY_RANK,
                    world=config.world_size,
                    create_id=0,
                    log_level=config.log_level,
                )
                self.client.wait_for_rank(self._rank.number)
        except BaseException:  # boundary: clears away and raises again
            self.close()
            raise

    def rank(self) -> int:
        """The own rank, else the lowest of this host, else 4294967295."""
        return self._rank.number if self._rank is not None else self.client.local_rank()

    def close(self) -> None:
        """End everything; what takes longer ends by itself."""
        until = now() + _CLOSING_S
        self.writes.close()
        self.ranges.clear()
        self.client.close()
        if self._rank is not None:
            self._rank.stop(max(0.0, until - now()))

    # Calls, with this interface's meaning of the codes

    def put(
        self,
        keys: Sequence[str | bytes],
        values: Sequence[BufferLike | Sequence[BufferLike]],
        replicas: ReplicateConfig | None,
    ) -> list[Code]:
        """Put; a key that exists is as good as put."""
        config = ReplicateConfig() if replicas is None else replicas
        if not isinstance(config, ReplicateConfig):
            raise InvalidArgument(f"replicateConfig must be a ReplicateConfig, not {type(config).__name__}")
        codes = self.client.put_batch(
            keys, values, replicas=config.replicaNum, preferred_ranks=config.preferred()
        )
        return [Code.OK if code == Code.EXISTS else code for code in codes]

    def get(self, keys: Sequence[str | bytes]) -> tuple[list[bytes | None], list[Code]]:
        """Contents and codes."""
        return self.client.read_batch(keys)

    def exist(self, keys: Sequence[str | bytes]) -> list[int]:
        """1 there, 0 not there, else a code."""
        answers = {Code.OK: 1, Code.NOT_FOUND: 0}
        return [answers.get(code, int(code)) for code in self.client.exist_batch(keys)]

    def query(self, keys: Sequence[str | bytes], *, with_addresses: bool) -> tuple[list[KeyInfo], list[Code]]:
        """What is known of keys, and codes."""
        infos, codes = [], []
        for found in self.client.query_batch(keys):
            if isinstance(found, Code):
                infos.append(KeyInfo())
                codes.append(found)
                continue
            addresses = self.writes.addresses_of(found) if with_addresses else []
            infos.append(KeyInfo(found.size, found.ranks, addresses))
            codes.append(Code.OK)
        return infos, codes

    def remove(self, keys: Sequence[str | bytes]) -> list[Code]:
        """Remove; a missing key is -3102 in this interface."""
        codes = self.client.remove_batch(keys)
        return [Code.WRONG_KEY if code == Code.NOT_FOUND else code for code in codes]

    def remove_all(self) -> int:
        """Remove whatever is listed; the first code of what stayed."""
        first = 0
        part: list[str] = []
        for key in [*self.client.keys(), None]:
            if key is not None:
                part.append(key)
            if part and (key is None or len(part) == _REMOVE_STEP):
                codes = self.client.remove_batch(part)
                stayed = [int(code) for code in codes if code not in (Code.OK, Code.NOT_FOUND)]
                first = first or next(iter(stayed), 0)
                part = []
        return first

    def copy(
        self,
        addresses: Sequence[int],
        pointers: Sequence[Sequence[int]],
        sizes: Sequence[Sequence[int]],
        *,
        into_pool: bool,
    ) -> list[int]:
        """Copy between the pool and memory; one code per address."""
        codes = []
        for address, some, lengths in zip(addresses, pointers, sizes, strict=True):
            try:
                pieces = pieces_at(some, lengths, _MOST_PIECES, writable=not into_pool)
                move = self.writes.write if into_pool else self.writes.read
                move(address_of_argument(address), pieces)
                codes.append(0)
            except CacheError as error:
                codes.append(report(error))
        return codes

    def registered(self, change: Callable[[], None]) -> list[int]:
        """Change what is registered."""
        change()
        return [0]
