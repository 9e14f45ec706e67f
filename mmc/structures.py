"""The structures of the C interface, with the field names of its specification.

Plain objects: a field that does not exist cannot be set.  Their defaults are those of the specification;
where it says nothing, zero, as in a structure that C code has cleared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

from mmc.arguments import whole_number
from mmc.errors import InvalidArgument
from mmc.identifiers import ANY_RANK
from mmc.key_info import Medium
from mmc.raw_memory import address_of_argument, bytes_at
from mmc.settings import ReplicateConfig

LogFunction = Callable[[int, str], object]
"""Takes a level (0 debug, 1 info, 2 warn, 3 error) and a line."""

_MOST_ROWS = 8192

NATIVE_AFFINITY = 0
"""The policy of :class:`mmc_put_options`: own host first, then others by their room."""


class MmcCopyDirect(IntEnum):
    """Where bytes are copied from and to: L device, G global (the pool), H host memory."""

    SMEMB_COPY_L2G = 0
    SMEMB_COPY_G2L = 1
    SMEMB_COPY_G2H = 2
    SMEMB_COPY_H2G = 3


@dataclass(slots=True)
class tls_config:
    """TLS: until it is built, ``tlsEnable`` must stay false (-3000).

    Attributes:
        tlsEnable: false.
        *: a path, not looked at.
    """

    tlsEnable: bool = False
    caPath: str = ""
    crlPath: str = ""
    certPath: str = ""
    keyPath: str = ""
    keyPassPath: str = ""
    packagePath: str = ""
    decrypterLibPath: str = ""


@dataclass(slots=True)
class mmc_client_config_t:
    """A client.

    Attributes:
        discoveryURL: the broker's URL for requests.
        rankId: the rank of this host that is the client's own: puts go there first; 4294967295: none.
        timeOut: seconds that a call may take, 1 to 600; 0: as configured.
        logLevel: 0 debug, 1 info, 2 warn, 3 error.
        logFunc: as for ``mmc_set_extern_logger``.
        tlsConfig: TLS.
    """

    discoveryURL: str = "tcp://127.0.0.1:5000"
    rankId: int = ANY_RANK
    timeOut: int = 0
    logLevel: int = 1
    logFunc: LogFunction | None = None
    tlsConfig: tls_config = field(default_factory=tls_config)


@dataclass(slots=True)
class mmc_meta_service_config_t:
    """A meta service.

    Attributes:
        discoveryURL: where its broker is to be asked; port 0 is any.
        logLevel: 0 debug, 1 info, 2 warn, 3 error, of the service and of this process.
        evictThresholdHigh: per cent of a rank's pool from which on it is evicted from ...
        evictThresholdLow: ... down to this; below ``evictThresholdHigh``.
        tlsConfig: TLS.
    """

    discoveryURL: str = "tcp://127.0.0.1:5000"
    logLevel: int = 1
    evictThresholdHigh: int = 90
    evictThresholdLow: int = 80
    tlsConfig: tls_config = field(default_factory=tls_config)


@dataclass(slots=True)
class mmc_local_service_config_t:
    """A local service.

    Attributes:
        discoveryURL: the broker's URL for requests.
        deviceId: the device, from 0; without devices it means nothing else.
        rankId: its number, below ``worldSize``; 4294967295: any.
        worldSize: how many ranks the cluster has, 1 to 1024, the same for all.
        bmIpPort: where events are heard; "": where the meta service says.
        bmHcomUrl: where the rank is asked; while that is in use, any port of that host.
        createId: the number of the pool, the same for all.
        dataOpType: how bytes travel: ``host_rdma``, ``host_shm`` or ``host_tcp``.
        localDRAMSize: bytes of its pool, or a size like ``1GB``; rounded up to 2 MiB.
        localHBMSize: 0, since there is no device memory.
        flags: 0.
        tlsConfig: TLS.
        logLevel: 0 debug, 1 info, 2 warn, 3 error, of the service and of this process.
        logFunc: as for ``mmc_set_extern_logger``.
    """

    discoveryURL: str = "tcp://127.0.0.1:5000"
    deviceId: int = 0
    rankId: int = ANY_RANK
    worldSize: int = 256
    bmIpPort: str = ""
    bmHcomUrl: str = "tcp://127.0.0.1:7000"
    createId: int = 0
    dataOpType: str = "host_rdma"
    localDRAMSize: int | str = "1GB"
    localHBMSize: int | str = 0
    flags: int = 0
    tlsConfig: tls_config = field(default_factory=tls_config)
    logLevel: int = 1
    logFunc: LogFunction | None = None


@dataclass(slots=True)
class oneDim:
    """``len`` bytes from ``addr + offset`` on.

    Attributes:
        offset: bytes.
        len: bytes, at least 1.
    """

    offset: int = 0
    len: int = 0


@dataclass(slots=True)
class twoDim:
    """``layerNum`` rows of ``width`` bytes, ``dpitch`` apart, the first at ``addr + dpitch * layerOffset``.

    Attributes:
        dpitch: bytes from the beginning of a row to that of the next; at least ``width``.
        layerOffset: rows before the first.
        width: bytes.
        layerNum: rows, at least 1.
        layerCount: rows that the memory has; at least ``layerOffset + layerNum``.
    """

    dpitch: int = 0
    layerOffset: int = 0
    width: int = 0
    layerNum: int = 0
    layerCount: int = 0


@dataclass(slots=True)
class mmc_buffer:
    """Memory of the caller, which stays the caller's.

    Attributes:
        addr: its address.
        type: what it lies in: 0 HBM, which without a device means DRAM; 1 DRAM.
        dimType: 0: ``oneDim`` counts; 1: ``twoDim`` counts.
        oneDim: a range.
        twoDim: rows, which an object stores packed.
    """

    addr: int = 0
    type: int = 0
    dimType: int = 0
    oneDim: oneDim = field(default_factory=oneDim)
    twoDim: twoDim = field(default_factory=twoDim)

    def pieces(self, *, writable: bool) -> list[memoryview]:
        """The memory, as pieces that follow one another in an object.

        Raises:
            InvalidArgument: no memory, no such medium, or dimensions that make no sense.
        """
        if self.type not in (Medium.HBM, Medium.DRAM):
            raise InvalidArgument(f"mmc_buffer.type = {self.type!r}: 0 (HBM) or 1 (DRAM)")
        address = address_of_argument(self.addr)
        if self.dimType == 0:
            offset = whole_number(self.oneDim.offset, "offset", 0)
            return [bytes_at(address + offset, self.oneDim.len, writable=writable)]
        if self.dimType != 1:
            raise InvalidArgument(f"mmc_buffer.dimType = {self.dimType!r}: 0 or 1")
        rows = self.twoDim
        if rows.dpitch < rows.width or rows.layerOffset < 0 or rows.layerNum <= 0:
            raise InvalidArgument(f"{rows}: dpitch is below width, or there are no rows")
        if rows.layerOffset + rows.layerNum > rows.layerCount:
            raise InvalidArgument(f"{rows}: layerOffset + layerNum exceed layerCount")
        if rows.layerNum > _MOST_ROWS:
            raise InvalidArgument(f"{rows}: at most {_MOST_ROWS} rows")
        first = address + rows.dpitch * rows.layerOffset
        return [
            bytes_at(first + rows.dpitch * row, rows.width, writable=writable) for row in range(rows.layerNum)
        ]


@dataclass(slots=True)
class mmc_put_options:
    """How an object is put.

    Attributes:
        mediaType: 1 DRAM; 0 HBM means DRAM where there is no device.
        policy: ``NATIVE_AFFINITY``, which is 0: own host first, then others by their room.
        replicaNum: copies, 1 to 8.
        preferredLocalServiceIDs: ranks that must hold it, at most ``replicaNum``; -1 stands for none.
    """

    mediaType: int = 1
    policy: int = NATIVE_AFFINITY
    replicaNum: int = 1
    preferredLocalServiceIDs: list[int] = field(default_factory=lambda: [-1])

    def checked(self) -> ReplicateConfig:
        """The replicas wanted.

        Raises:
            InvalidArgument: no such medium or policy.
        """
        if self.mediaType not in (Medium.HBM, Medium.DRAM):
            raise InvalidArgument(
                f"mediaType = {self.mediaType!r}: 1 (DRAM) or 0 (HBM); there is no SSD tier"
            )
        if self.policy != NATIVE_AFFINITY:
            raise InvalidArgument(f"policy = {self.policy!r}: 0 (NATIVE_AFFINITY)")
        return ReplicateConfig(self.replicaNum, list(self.preferredLocalServiceIDs))


@dataclass(slots=True)
class mmc_data_info:
    """What is known of an object; all zero where there is none.

    Attributes:
        size: bytes.
        prot: bit 0: explicitly leased.
        numBlobs: readable replicas.
        valid: whether there is at least one.
        ranks: the rank of each.
        types: the medium of each: 0 HBM, 1 DRAM, 2 SSD.
    """

    size: int = 0
    prot: int = 0
    numBlobs: int = 0
    valid: bool = False
    ranks: list[int] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
