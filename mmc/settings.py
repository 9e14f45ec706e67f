"""``LocalConfig``, ``MetaConfig`` and ``ReplicateConfig``: the settings objects of the Python interface.

Plain objects with the names that users know; :func:`check_local` and :func:`check_meta` say what is wrong
with one.  Nothing is ignored silently: what is not built is refused, and what cannot have an effect here is
named by :func:`without_effect`, once, in the log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from mmc.config import LEVELS, parse_size, pool_bytes
from mmc.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable

_ENDPOINT = re.compile(r"tcp://(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d{1,5})|ipc://\S+|inproc://\S+")
_HTTP = re.compile(r"http://(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(\d{1,5})/?")
_LAST_PORT = 65535
_NEEDS = {
    "host_urma": "a URMA driver",
    "device_rdma": "a device with RDMA",
    "device_sdma": "a device with SDMA",
}
PROTOCOLS = ("host_rdma", "host_shm", "host_tcp")
"""All mean: shared memory within a host, TCP between hosts."""

NO_RDMA = "there is no RDMA here: shared memory within a host, TCP between hosts"
"""What is said once of ``host_rdma``, the default."""


@dataclass(slots=True)
class ReplicateConfig:
    """How an object is replicated.

    Attributes:
        replicaNum: copies, on as many ranks: 1 to 8.
        preferredLocalServiceIDs: ranks that must hold it, at most ``replicaNum``; empty or ``[-1]``: none.
    """

    replicaNum: int = 1
    preferredLocalServiceIDs: list[int] = field(default_factory=list)

    def preferred(self) -> list[int]:
        """The preferred ranks without the -1 that stands for none."""
        return [rank for rank in self.preferredLocalServiceIDs if rank != -1]


@dataclass(slots=True)
class SharedSettings:
    """What both kinds of service are told: where the cluster is, how much is logged, TLS."""

    meta_service_url: str = "tcp://127.0.0.1:5000"
    config_store_url: str = "tcp://127.0.0.1:6000"
    log_level: str = "info"
    tls_enable: bool = False
    tls_ca_path: str = ""
    tls_ca_crl_path: str = ""
    tls_cert_path: str = ""
    tls_key_path: str = ""
    tls_key_pass_path: str = ""
    tls_package_path: str = ""
    tls_decrypter_path: str = ""
    config_store_tls_enable: bool = False
    config_store_tls_ca_path: str = ""
    config_store_tls_ca_crl_path: str = ""
    config_store_tls_cert_path: str = ""
    config_store_tls_key_path: str = ""
    config_store_tls_key_pass_path: str = ""
    config_store_tls_package_path: str = ""
    config_store_tls_decrypter_path: str = ""


@dataclass(slots=True)
class LocalConfig(SharedSettings):
    """Settings of a :class:`~mmc.store.DistributedObjectStore`.

    URLs are ``tcp://HOST:PORT`` (IPv6 in brackets); sizes are bytes or read like ``200MB`` and ``2.5G``.

    Attributes:
        meta_service_url: the broker's URL for requests.
        config_store_url: where events are heard; the default stands for what the meta service says.
        log_level: debug, info, warn or error, of this process and its rank.
        world_size: how many ranks the cluster may have, 1 to 1024, the same for all.
        protocol: ``host_rdma``, ``host_shm`` or ``host_tcp``: shared memory within a host.
        hcom_url: where the own rank is asked; while that is in use, any port of that host.
        dram_size: bytes of the own rank's pool, rounded up to 2 MiB; at most ``max_dram_size``.
        hbm_size: 0, since there is no device memory.
        max_dram_size: bounds ``dram_size``.
        max_hbm_size: 0.
        client_retry_milliseconds: a call ends with -3017 once nothing answered for so long; 0: as configured.
        client_timeout_seconds: how long a call may take, 1 to 600.
        *_thread_pool_size: without effect: bytes are copied in the calling thread.
        aggregate_*: without effect: a batch travels as one message.
        tls_*: TLS is not built: ``tls_enable`` must stay false, and the paths are not looked at.
        config_store_tls_*: as ``tls_*``.
        hcom_tls_*: as ``tls_*``.
    """

    world_size: int = 256
    protocol: str = "host_rdma"
    hcom_url: str = "tcp://127.0.0.1:7000"
    dram_size: str | int = "1GB"
    hbm_size: str | int = "0"
    max_dram_size: str | int = "64GB"
    max_hbm_size: str | int = "0"
    client_retry_milliseconds: int = 0
    client_timeout_seconds: int = 60
    read_thread_pool_size: int = 32
    write_thread_pool_size: int = 4
    aggregate_io: bool = True
    aggregate_num: int = 122
    hcom_tls_enable: bool = False
    hcom_tls_ca_path: str = ""
    hcom_tls_ca_crl_path: str = ""
    hcom_tls_cert_path: str = ""
    hcom_tls_key_path: str = ""
    hcom_tls_key_pass_path: str = ""
    hcom_tls_decrypter_path: str = ""


@dataclass(slots=True)
class MetaConfig(SharedSettings):
    """Settings of a :class:`~mmc.meta_main.MetaService`.

    URLs are as for :class:`LocalConfig`.

    Attributes:
        meta_service_url: where its broker is to be asked.
        config_store_url: where its events are heard.
        metrics_url: ``http://HOST:PORT`` of REST and metrics; while it is in use, there are none.
        ha_enable: false: a standby is not built.
        log_level: debug, info, warn or error.
        log_path: the directory of the log files; one that cannot be written is a warning.
        log_rotation_file_size: MB, 1 to 500.
        log_rotation_file_count: files of one log, 1 to 50; 1 means 2.
        evict_threshold_high: per cent of a rank's pool from which on it is evicted from ...
        evict_threshold_low: ... down to this; below ``evict_threshold_high``.
        evict_check_interval_seconds: without effect: a rank asks for eviction when it is needed.
        lease_ttl_ms: milliseconds of a lease that names none.
        tls_*: TLS is not built: ``tls_enable`` must stay false, and the paths are not looked at.
        config_store_tls_*: as ``tls_*``.
        kv_events_*: not built: ``kv_events_enable`` must stay false.
        zmq_*: CURVE is not built: ``zmq_curve_enable`` must stay false.
    """

    metrics_url: str = "http://127.0.0.1:8000"
    ha_enable: bool = False
    log_path: str = "/var/log/memcache_hybrid"
    log_rotation_file_size: int = 20
    log_rotation_file_count: int = 50
    evict_threshold_high: int = 90
    evict_threshold_low: int = 80
    evict_check_interval_seconds: int = 5
    lease_ttl_ms: int = 10000
    kv_events_enable: bool = False
    kv_events_endpoint: str = ""
    kv_events_hash_as_int: bool = False
    zmq_curve_enable: bool = False
    zmq_public_key: str = ""
    zmq_private_key: str = ""


_RANGES = {
    "world_size": (1, 1024),
    "client_retry_milliseconds": (0, 600_000),
    "client_timeout_seconds": (1, 600),
    "read_thread_pool_size": (1, 1024),
    "write_thread_pool_size": (1, 1024),
    "aggregate_num": (1, 131_072),
    "log_rotation_file_size": (1, 500),
    "log_rotation_file_count": (1, 50),
    "evict_threshold_high": (1, 100),
    "evict_threshold_low": (1, 99),
    "evict_check_interval_seconds": (1, 3600),
    "lease_ttl_ms": (1, 600_000),
}
_NOT_BUILT = {
    "tls_enable": "TLS",
    "config_store_tls_enable": "TLS",
    "hcom_tls_enable": "TLS",
    "ha_enable": "standby of a meta service",
    "kv_events_enable": "publication of KV events",
    "zmq_curve_enable": "CURVE",
}
_ENDPOINTS = ("meta_service_url", "config_store_url", "hcom_url")


def _own_name(config: LocalConfig | MetaConfig) -> Callable[[str], str]:
    return lambda key: f"{type(config).__name__}.{key}"


def check_local(config: LocalConfig, name: Callable[[str], str] | None = None) -> None:
    """Check every value, and how they go together.

    Args:
        config: what is to be checked.
        name: gives for a field the words that a user knows it by: a file and its key.

    Raises:
        InvalidArgument: names the setting, what it was, and what is allowed.
    """
    name = name or _own_name(config)
    _check_fields(config, name)
    check_protocol(config.protocol, name("protocol"))
    dram = pool_bytes(config.dram_size, name("dram_size"))
    if dram > parse_size(config.max_dram_size, name("max_dram_size")):
        raise InvalidArgument(
            f"{name('dram_size')} = {config.dram_size!r}: more than max_dram_size = {config.max_dram_size!r}"
        )
    for key in ("hbm_size", "max_hbm_size"):
        if parse_size(getattr(config, key), name(key)):
            raise InvalidArgument(
                f"{name(key)} = {getattr(config, key)!r}: there is no device memory here; only 0 is possible"
            )


def check_meta(config: MetaConfig, name: Callable[[str], str] | None = None) -> None:
    """Check every value, and how they go together; as :func:`check_local`."""
    name = name or _own_name(config)
    _check_fields(config, name)
    if not _is_url(_HTTP, config.metrics_url):
        raise InvalidArgument(f"{name('metrics_url')} = {config.metrics_url!r}: like http://127.0.0.1:8000")
    low, high = config.evict_threshold_low, config.evict_threshold_high
    if low >= high:
        raise InvalidArgument(f"{name('evict_threshold_low')} = {low}: must be below the high one, {high}")


def check_protocol(protocol: str, name: str) -> None:
    """Check how bytes are to travel.

    Raises:
        InvalidArgument: no such protocol, or this build lacks what it needs.
    """
    if protocol in _NEEDS:
        raise InvalidArgument(f"{name} = {protocol!r}: {_NEEDS[protocol]} is needed, and there is none here")
    if protocol not in PROTOCOLS:
        raise InvalidArgument(f"{name} = {protocol!r}: one of {', '.join(PROTOCOLS)}")


def check_endpoint(url: object, name: str) -> None:
    """Check a ZeroMQ endpoint.

    Raises:
        InvalidArgument: it is none.
    """
    if not isinstance(url, str) or not _is_url(_ENDPOINT, url):
        raise InvalidArgument(
            f"{name} = {url!r}: like tcp://127.0.0.1:5000, tcp://[::1]:5000 or ipc:///run/mmc"
        )


def _is_url(form: re.Pattern[str], url: str) -> bool:
    matched = form.fullmatch(url)
    return matched is not None and int(matched[2] or 0) <= _LAST_PORT


_KINDS: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "bool": (bool,),
    "str | int": (str, int),
}


def _check_fields(config: LocalConfig | MetaConfig, name: Callable[[str], str]) -> None:
    for one in fields(config):
        key: str = one.name
        value: object = getattr(config, key)
        if type(value) not in _KINDS[str(one.type)]:
            raise InvalidArgument(f"{name(key)} = {value!r}: must be {one.type}")
        low, high = _RANGES.get(key, (0, 0))
        if isinstance(value, int) and high and not low <= value <= high:
            raise InvalidArgument(f"{name(key)} = {value}: must be {low} to {high}")
        if value is True and key in _NOT_BUILT:
            raise InvalidArgument(f"{name(key)} = true: there is no {_NOT_BUILT[key]} yet; leave it false")
        if key in _ENDPOINTS:
            check_endpoint(value, name(key))
        if key == "log_level" and value not in LEVELS:
            raise InvalidArgument(f"{name(key)} = {value!r}: one of {', '.join(LEVELS)}")


_WITHOUT_EFFECT = {
    "read_thread_pool_size": "bytes are copied in the calling thread",
    "write_thread_pool_size": "bytes are copied in the calling thread",
    "aggregate_io": "a batch travels as one message",
    "aggregate_num": "a batch travels as one message",
    "evict_check_interval_seconds": "a rank asks for eviction at the moment that it is needed",
}


def without_effect(config: LocalConfig | MetaConfig) -> dict[str, str]:
    """The settings that differ from their defaults and change nothing here, each with its reason."""
    defaults = type(config)()
    return {
        key: reason
        for key, reason in _WITHOUT_EFFECT.items()
        if hasattr(config, key) and getattr(config, key) != getattr(defaults, key)
    }
