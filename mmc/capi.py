"""The C interface, name for name as its specification has it, for programs written that way.

Functions return 0 or a documented code, or a handle or None where C returns NULL; :func:`mmc.last_error` has
the sentence of the last failure in this thread.  An output of one number is a list of one element or a ctypes
integer; arrays of outputs are lists of the right length; both are filled in place.  ``flags`` are reserved
and must be 0.

The client is one for the process, from :func:`mmcc_init` to :func:`mmcc_uninit`, for any number of threads;
:mod:`mmc.aio` has its asynchronous calls as coroutines.  Services are processes of their own that end with
this one.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mmc import c_calls
from mmc.arguments import checked
from mmc.c_services import (
    check_tls,
    level_name,
    mmc_local_service_t,
    mmc_meta_service_t,
    mmcs_local_service_start,
    mmcs_local_service_stop,
    mmcs_meta_service_start,
    mmcs_meta_service_stop,
    set_services_level,
    use_logger,
)
from mmc.client import Client
from mmc.config import client_settings, load_config
from mmc.errors import CacheError, Code, InvalidArgument, error_for
from mmc.failures import LastError, last_error, report, report_fault
from mmc.identifiers import ANY_RANK
from mmc.log import set_extern_logger, set_level
from mmc.raw_memory import RegisteredRanges
from mmc.settings import ReplicateConfig, check_endpoint
from mmc.structures import (
    NATIVE_AFFINITY,
    LogFunction,
    MmcCopyDirect,
    mmc_buffer,
    mmc_client_config_t,
    mmc_data_info,
    mmc_local_service_config_t,
    mmc_meta_service_config_t,
    mmc_put_options,
    oneDim,
    tls_config,
    twoDim,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mmc.c_calls import Key, Output, PreparedCall

__all__ = [
    "NATIVE_AFFINITY",
    "LastError",
    "MmcCopyDirect",
    "ReplicateConfig",
    "last_error",
    "mmc_buffer",
    "mmc_client_config_t",
    "mmc_data_info",
    "mmc_local_service_config_t",
    "mmc_local_service_t",
    "mmc_meta_service_config_t",
    "mmc_meta_service_t",
    "mmc_put_options",
    "mmc_set_extern_logger",
    "mmc_set_log_level",
    "mmcc_batch_exist",
    "mmcc_batch_get",
    "mmcc_batch_put",
    "mmcc_batch_query",
    "mmcc_batch_remove",
    "mmcc_exist",
    "mmcc_get",
    "mmcc_init",
    "mmcc_local_service_id",
    "mmcc_put",
    "mmcc_query",
    "mmcc_register_buffer",
    "mmcc_remove",
    "mmcc_uninit",
    "mmcs_local_service_start",
    "mmcs_local_service_stop",
    "mmcs_meta_service_start",
    "mmcs_meta_service_stop",
    "oneDim",
    "tls_config",
    "twoDim",
]

_LONGEST_S = 600


class _Process:
    """What this process has: its client, and its registered memory."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.client: Client | None = None
        self.ranges = RegisteredRanges()
        self._is_connecting = False

    @contextlib.contextmanager
    def connecting(self) -> Iterator[None]:
        """Nobody else connects meanwhile.

        Raises:
            CacheError: -3005, there is a client, or somebody connects.
        """
        with self.lock:
            if self.client is not None or self._is_connecting:
                raise error_for(Code.REPEATED_CALL, "mmcc_init")
            self._is_connecting = True
        try:
            yield
        finally:
            self._is_connecting = False

    def opened(self) -> Client:
        """The client.

        Raises:
            CacheError: -3019, there is none.
        """
        client = self.client
        if client is None:
            raise CacheError("the client is not connected: call mmcc_init", Code.CLIENT_CLOSED)
        return client


_PROCESS = _Process()


# The client


def mmcc_init(config: mmc_client_config_t) -> int:
    """Connect the client of this process.

    Returns:
        0; -3000 a wrong setting; -3005 it is connected; -3017 no answer; -3018 ``rankId`` is no live rank of
        this host.
    """
    try:
        level = checked(_check_client, config)
        with _PROCESS.connecting():
            use_logger(config.logFunc)
            set_level(level)
            limits = load_config(overrides={"client": client_settings(config.timeOut * 1000, 0)})
            home = None if config.rankId == ANY_RANK else config.rankId
            client = Client(config.discoveryURL, limits, home_rank=home)
            try:
                if home is not None:
                    client.wait_for_rank(home)
            except CacheError:
                client.close()
                raise
            _PROCESS.client = client
    except CacheError as error:
        return report(error)
    return 0


def _check_client(config: mmc_client_config_t) -> str:
    check_tls(config.tlsConfig)
    check_endpoint(config.discoveryURL, "discoveryURL")
    if not isinstance(config.timeOut, int) or not 0 <= config.timeOut <= _LONGEST_S:
        raise InvalidArgument(f"timeOut = {config.timeOut!r}: 1 to {_LONGEST_S} s, or 0 as configured")
    if not isinstance(config.rankId, int) or not 0 <= config.rankId <= ANY_RANK:
        raise InvalidArgument(f"rankId = {config.rankId!r}: a rank, or {ANY_RANK} for none")
    return level_name(config.logLevel)


def mmcc_uninit() -> int:
    """Close the client and let registered memory go; 0, also the second time."""
    with _PROCESS.lock:
        client, _PROCESS.client = _PROCESS.client, None
        _PROCESS.ranges.clear()
    if client is not None:
        client.close()
    return 0


def opened_client() -> Client:
    """The client of this process.

    Raises:
        CacheError: -3019, it is not connected.
    """
    return _PROCESS.opened()


def mmcc_register_buffer(addr: int, size: int) -> int:
    """Announce memory that will be copied from or to; its pages are made present.

    Returns:
        0; -3000 null, overflow, or it overlaps a registered range; -3005 registered; -3019.
    """
    try:
        _PROCESS.opened()
        with _PROCESS.lock:
            _PROCESS.ranges.register(addr, size)
    except CacheError as error:
        return report(error)
    return 0


def mmcc_local_service_id(localServiceId: list[int] | ctypes.c_uint32) -> int:
    """The number of the local service: the client's ``rankId``, else a rank of this host.

    Returns:
        0; -3018 there is no rank on this host; -3019.
    """
    try:
        rank = _PROCESS.opened().local_rank()
        if rank == ANY_RANK:
            raise error_for(Code.NO_SUCH_RANK, "no local service on this host")
        if isinstance(localServiceId, list) and len(localServiceId) == 1:
            localServiceId[0] = rank
        elif isinstance(localServiceId, ctypes._SimpleCData):  # noqa: SLF001 - every ctypes integer is one
            localServiceId.value = rank
        else:
            raise InvalidArgument("localServiceId must be a list of one element, or a ctypes integer")
    except CacheError as error:
        return report(error)
    return 0


def _carry_out(prepare: Callable[..., PreparedCall], *arguments: object) -> int:
    """Prepare a call and make it."""
    try:
        client = _PROCESS.opened()
        call = checked(prepare, *arguments)
        return call.finish(client.carry_out(call.plan, None))
    except CacheError as error:
        return report(error)
    except Exception:  # boundary: C code is given a code, and the log the stack
        return report_fault()


def mmcc_put(key: Key, buf: mmc_buffer, options: mmc_put_options, flags: int) -> int:
    """Store what ``buf`` describes, from 1 byte on, under a key of 1 to 255 bytes.

    Returns:
        0; -3006 the key exists; -3000, -3004, -3010, -3013, -3016, -3017, -3018, -3019, -3101.
    """
    return _carry_out(c_calls.put, key, buf, options, flags)


def mmcc_get(key: Key, buf: mmc_buffer, flags: int) -> int:
    """Copy an object into what ``buf`` describes, of exactly its size.

    Returns:
        0; -3007 missing; -3103 the sizes differ, and nothing was written; -3000, -3004, -3014, -3017, -3019.
    """
    return _carry_out(c_calls.get, key, buf, flags)


def mmcc_query(key: Key, info: mmc_data_info, flags: int) -> int:
    """Fill ``info``; 0; -3007 missing, and all of it is zero; -3000, -3014, -3017, -3019."""
    return _carry_out(c_calls.query, key, info, flags)


def mmcc_remove(key: Key, flags: int) -> int:
    """Remove an object; 0: no later get finds it; -3007; -3104 leased; -3004, -3010, -3017, -3018, -3019."""
    return _carry_out(c_calls.remove, key, flags)


def mmcc_exist(key: Key, flags: int) -> int:
    """0 there; -3007 not there; -3014, -3017 nobody could tell; -3000, -3019."""
    return _carry_out(c_calls.exist, key, flags)


def mmcc_batch_query(keys: Sequence[Key], keys_count: int, info: Sequence[mmc_data_info], flags: int) -> int:
    """Fill ``info`` per key, ``valid`` false where there is none; 0; -3000, -3014, -3017, -3019."""
    return _carry_out(c_calls.batch_query, keys, keys_count, info, flags)


def mmcc_batch_remove(keys: Sequence[Key], keys_count: int, remove_results: Output, flags: int) -> int:
    """Remove objects.

    Returns:
        How many failed; -3000, -3019.  ``remove_results`` takes the code of each, as of :func:`mmcc_remove`:
        ``keys_count`` integers, filled in place.
    """
    return _carry_out(c_calls.batch_remove, keys, keys_count, remove_results, flags)


def mmcc_batch_exist(keys: Sequence[Key], keys_count: int, exist_results: Output, flags: int) -> int:
    """Ask which objects are there.

    Returns:
        0; -3000, -3019.  ``exist_results`` takes the code of each, as of :func:`mmcc_exist`: ``keys_count``
        integers, filled in place.
    """
    return _carry_out(c_calls.batch_exist, keys, keys_count, exist_results, flags)


def mmcc_batch_put(
    keys: Sequence[Key],
    keys_count: int,
    bufs: Sequence[mmc_buffer],
    options: mmc_put_options,
    flags: int,
    results: Output | None = None,
) -> int:
    """Store objects.

    Returns:
        0, or the first code, as of :func:`mmcc_put`, of one that failed, while the others are stored.
        ``results`` takes the code of each: ``keys_count`` integers, filled in place.
    """
    return _carry_out(c_calls.batch_put, keys, keys_count, bufs, options, flags, results)


def mmcc_batch_get(
    keys: Sequence[Key],
    keys_count: int,
    bufs: Sequence[mmc_buffer],
    flags: int,
    results: Output | None = None,
) -> int:
    """Copy objects into what ``bufs`` describe, each of exactly its object's size.

    Returns:
        0, or the first code, as of :func:`mmcc_get`, of one that failed, while the others are copied.
        ``results`` takes the code of each: ``keys_count`` integers, filled in place.
    """
    return _carry_out(c_calls.batch_get, keys, keys_count, bufs, flags, results)


# Logs


def mmc_set_extern_logger(func: LogFunction | None) -> int:
    """Have the lines of the log handed to a function, from whatever thread they come; None: printed again.

    Its exceptions are counted and go no further.

    Returns:
        0; -3000 it cannot be called.
    """
    try:
        set_extern_logger(func)
    except CacheError as error:
        return report(error)
    return 0


def mmc_set_log_level(level: int) -> int:
    """Log from this level on, in this process and the services that it has started.

    Returns:
        0; -3000 not 0 debug, 1 info, 2 warn or 3 error.
    """
    try:
        set_level(level_name(level))
    except CacheError as error:
        return report(error)
    set_services_level(level)
    return 0
