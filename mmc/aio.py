"""The asynchronous calls of the C interface as coroutines, on the client of :func:`mmc.capi.mmcc_init`.

Each takes and returns what the function of the same name in :mod:`mmc.capi` does, and may be cancelled.
:class:`~mmc.async_client.AsyncClient` is the asynchronous client with exceptions instead of codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc import c_calls
from mmc.arguments import checked
from mmc.async_client import AsyncClient
from mmc.capi import opened_client
from mmc.errors import CacheError
from mmc.failures import report, report_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mmc.c_calls import Key, Output, PreparedCall
    from mmc.structures import mmc_buffer, mmc_data_info, mmc_put_options

__all__ = [
    "AsyncClient",
    "mmcc_batch_get",
    "mmcc_batch_put",
    "mmcc_get",
    "mmcc_put",
    "mmcc_query",
    "mmcc_remove",
]


async def _carry_out(prepare: Callable[..., PreparedCall], *arguments: object) -> int:
    try:
        client = AsyncClient(opened_client().connection)
        call = checked(prepare, *arguments)
        return call.finish(await client.carry_out(call.plan, None))
    except CacheError as error:
        return report(error)
    except Exception:  # boundary: C code is given a code, and the log the stack
        return report_fault()


async def mmcc_put(key: Key, buf: mmc_buffer, options: mmc_put_options, flags: int) -> int:
    """As :func:`mmc.capi.mmcc_put`."""
    return await _carry_out(c_calls.put, key, buf, options, flags)


async def mmcc_get(key: Key, buf: mmc_buffer, flags: int) -> int:
    """As :func:`mmc.capi.mmcc_get`."""
    return await _carry_out(c_calls.get, key, buf, flags)


async def mmcc_query(key: Key, info: mmc_data_info, flags: int) -> int:
    """As :func:`mmc.capi.mmcc_query`."""
    return await _carry_out(c_calls.query, key, info, flags)


async def mmcc_remove(key: Key, flags: int) -> int:
    """As :func:`mmc.capi.mmcc_remove`."""
    return await _carry_out(c_calls.remove, key, flags)


async def mmcc_batch_put(
    keys: Sequence[Key],
    keys_count: int,
    bufs: Sequence[mmc_buffer],
    options: mmc_put_options,
    flags: int,
    results: Output | None = None,
) -> int:
    """As :func:`mmc.capi.mmcc_batch_put`."""
    return await _carry_out(c_calls.batch_put, keys, keys_count, bufs, options, flags, results)


async def mmcc_batch_get(
    keys: Sequence[Key],
    keys_count: int,
    bufs: Sequence[mmc_buffer],
    flags: int,
    results: Output | None = None,
) -> int:
    """As :func:`mmc.capi.mmcc_batch_get`."""
    return await _carry_out(c_calls.batch_get, keys, keys_count, bufs, flags, results)
