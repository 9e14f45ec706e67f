"""The services that a program starts through the C interface: one process each, ended with the program."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from mmc.arguments import checked
from mmc.client import Client
from mmc.config import LEVELS, pool_bytes
from mmc.errors import CacheError, Code, InvalidArgument, error_for
from mmc.failures import report
from mmc.identifiers import ANY_RANK
from mmc.log import get_log, set_extern_logger, set_level
from mmc.services.hosted_meta import HostedMeta
from mmc.services.hosted_rank import HostedRank
from mmc.settings import NO_RDMA, check_endpoint, check_protocol
from mmc.structures import (
    LogFunction,
    mmc_local_service_config_t,
    mmc_meta_service_config_t,
    tls_config,
)

_STOP_S = 0.5
_PERCENT = 100
_MOST_WORLD = 1024


class mmc_meta_service_t:
    """A meta service that this process has started.

    Attributes:
        discoveryURL: where clients ask; the port that was found where port 0 was asked for.
    """

    def __init__(self, key: str, hosted: HostedMeta) -> None:
        """Made by :func:`mmcs_meta_service_start`."""
        self._key = key
        self._hosted = hosted
        self.discoveryURL = hosted.meta_url
        """Where clients ask; the port that was found where port 0 was asked for."""


class mmc_local_service_t:
    """A local service that this process has started.

    Attributes:
        rankId: the number that it got.
    """

    def __init__(self, key: str, hosted: HostedRank) -> None:
        """Made by :func:`mmcs_local_service_start`."""
        self._key = key
        self._hosted = hosted
        self.rankId = hosted.number
        """The number that it got."""


class _Started:
    """The services of this process by kind and URL."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.services: dict[str, HostedMeta | HostedRank] = {}
        self.starting: set[str] = set()

    @contextlib.contextmanager
    def claimed(self, key: str) -> Iterator[None]:
        """Nobody else starts this meanwhile; ``key`` "": whatever is started is another.

        Raises:
            CacheError: -3005, it is started.
        """
        with self.lock:
            if key in self.services or key in self.starting:
                raise error_for(Code.REPEATED_CALL, f"this process has started a service there: {key}")
            if key:
                self.starting.add(key)
        try:
            yield
        finally:
            with self.lock:
                self.starting.discard(key)


_STARTED = _Started()


def set_services_level(level: int) -> None:
    """Change the log level, 0 to 3, of every service that this process has started."""
    with _STARTED.lock:
        for hosted in _STARTED.services.values():
            hosted.set_level(level)


def mmcs_meta_service_start(config: mmc_meta_service_config_t) -> mmc_meta_service_t | None:
    """Start a meta service and, unless ``services.broker`` is "external", its broker.

    Returns:
        Its handle; None: -3000 a wrong setting, -3002 the address is in use, -3005 started already.
    """
    try:
        level = checked(_check_meta, config)
        set_level(level)
        overrides: dict[str, dict[str, object]] = {
            "meta": {
                "evict_threshold_high_percent": config.evictThresholdHigh,
                "evict_threshold_low_percent": config.evictThresholdLow,
            },
            "log": {"level": level},
        }
        with _STARTED.claimed("" if config.discoveryURL.endswith(":0") else f"meta {config.discoveryURL}"):
            hosted = HostedMeta(config.discoveryURL, "", overrides)
            key = f"meta {hosted.meta_url}"
            with _STARTED.lock:
                _STARTED.services[key] = hosted
        return mmc_meta_service_t(key, hosted)
    except CacheError as error:
        report(error)
        return None


def mmcs_meta_service_stop(handle: mmc_meta_service_t | None) -> int:
    """Stop a meta service and its broker; 0, also for None and the second time."""
    return _stop(handle)


def mmcs_local_service_start(config: mmc_local_service_config_t) -> mmc_local_service_t | None:
    """Start a local service: one rank with its pool.

    Returns:
        Its handle; None: -3000 a wrong setting, -3001 too little memory, -3002 it cannot be made, -3005
        started already, -3006 the rank is taken, -3013 too many ranks, -3017 no answer.
    """
    try:
        level = checked(_check_local, config)
        use_logger(config.logFunc)
        set_level(level)
        key = "" if config.rankId == ANY_RANK else f"local {config.discoveryURL} {config.rankId}"
        with _STARTED.claimed(key):
            if config.dataOpType == "host_rdma":
                get_log("local").info(NO_RDMA)
            with Client(config.discoveryURL):
                hosted = HostedRank(
                    meta_url=config.discoveryURL,
                    server_url=config.bmHcomUrl,
                    events_url=config.bmIpPort,
                    dram=str(config.localDRAMSize),
                    rank=config.rankId,
                    world=config.worldSize,
                    create_id=config.createId,
                    log_level=level,
                )
            key = f"local {config.discoveryURL} {hosted.number}"
            with _STARTED.lock:
                _STARTED.services[key] = hosted
        return mmc_local_service_t(key, hosted)
    except CacheError as error:
        report(error)
        return None


def mmcs_local_service_stop(handle: mmc_local_service_t | None) -> int:
    """Stop a local service; its replicas are gone.  0, also for None and the second time."""
    return _stop(handle)


def _check_meta(config: mmc_meta_service_config_t) -> str:
    check_tls(config.tlsConfig)
    check_endpoint(config.discoveryURL, "discoveryURL")
    low, high = config.evictThresholdLow, config.evictThresholdHigh
    if not 0 < low < high <= _PERCENT:
        raise InvalidArgument(
            f"evictThresholdLow = {low}, evictThresholdHigh = {high}: per cent, the low below the high"
        )
    return level_name(config.logLevel)


def _check_local(config: mmc_local_service_config_t) -> str:
    check_tls(config.tlsConfig)
    check_endpoint(config.discoveryURL, "discoveryURL")
    check_endpoint(config.bmHcomUrl, "bmHcomUrl")
    if config.bmIpPort:
        check_endpoint(config.bmIpPort, "bmIpPort")
    check_protocol(config.dataOpType, "dataOpType")
    if not isinstance(config.deviceId, int) or config.deviceId < 0:
        raise InvalidArgument(f"deviceId = {config.deviceId!r}: 0 or more")
    if not 1 <= config.worldSize <= _MOST_WORLD:
        raise InvalidArgument(f"worldSize = {config.worldSize!r}: 1 to {_MOST_WORLD}")
    if config.rankId != ANY_RANK and not 0 <= config.rankId < config.worldSize:
        raise InvalidArgument(f"rankId = {config.rankId!r}: below worldSize = {config.worldSize}, or any")
    if not isinstance(config.createId, int) or config.createId < 0:
        raise InvalidArgument(f"createId = {config.createId!r}: 0 or more")
    if config.flags != 0:
        raise InvalidArgument(f"flags are reserved and must be 0, not {config.flags!r}")
    if str(config.localHBMSize) != "0":
        raise InvalidArgument(f"localHBMSize = {config.localHBMSize!r}: there is no device memory here")
    pool_bytes(config.localDRAMSize, "localDRAMSize")
    return level_name(config.logLevel)


def _stop(handle: mmc_meta_service_t | mmc_local_service_t | None) -> int:
    if handle is not None:
        with _STARTED.lock:
            if _STARTED.services.get(handle._key) is handle._hosted:  # noqa: SLF001 - our own handle
                del _STARTED.services[handle._key]  # noqa: SLF001 - our own handle
        handle._hosted.stop(_STOP_S)  # noqa: SLF001 - our own handle
    return 0


def check_tls(tls: tls_config) -> None:
    """Refuse what is not built.

    Raises:
        InvalidArgument: TLS is asked for.
    """
    if tls.tlsEnable:
        raise InvalidArgument("tlsConfig.tlsEnable: there is no TLS yet; leave it false")


def level_name(level: int) -> str:
    """The name of a log level.

    Raises:
        InvalidArgument: there is no such level.
    """
    if not isinstance(level, int) or not 0 <= level < len(LEVELS):
        raise InvalidArgument(f"log level {level!r}: 0 debug, 1 info, 2 warn, 3 error")
    return LEVELS[level]


def use_logger(function: LogFunction | None) -> None:
    """Take the log function of a configuration, if it names one."""
    if function is not None:
        set_extern_logger(function)
