"""What each data call of the C interface does, the same for blocking and asynchronous callers.

A call is prepared here: its arguments are checked and become a plan, and a function that makes the returned
code of the plan's result, filling the caller's outputs in place.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mmc.actors.client import asking
from mmc.actors.client.asking import ObjectInfo
from mmc.errors import Code, InvalidArgument
from mmc.failures import report_codes
from mmc.key_info import Medium
from mmc.plans import CodesPlan, ExistPlan, Plan, PutPlan, QueryPlan, ReadPlan
from mmc.structures import mmc_buffer, mmc_data_info, mmc_put_options

Key = str | bytes
Output = list[int] | ctypes.Array[ctypes.c_int32]
"""Codes per key, filled in place."""


class PreparedCall(NamedTuple):
    """A plan, and what makes the code of its result."""

    plan: Plan[Any]
    finish: Callable[[Any], int]


def put(key: Key, buf: mmc_buffer, options: mmc_put_options, flags: int) -> PreparedCall:
    """``mmcc_put``."""
    _check_flags(flags)
    wanted = options.checked()
    plan = PutPlan([key], [buf.pieces(writable=False)], wanted.replicaNum, wanted.preferred())
    return PreparedCall(plan, lambda codes: report_codes([key], codes))


def get(key: Key, buf: mmc_buffer, flags: int) -> PreparedCall:
    """``mmcc_get``."""
    _check_flags(flags)
    plan = ReadPlan([key], [buf.pieces(writable=True)])
    return PreparedCall(plan, lambda codes: report_codes([key], codes))


def query(key: Key, info: mmc_data_info, flags: int) -> PreparedCall:
    """``mmcc_query``."""
    _check_flags(flags)
    _check_infos([info])

    def finish(found: Sequence[ObjectInfo | Code]) -> int:
        return report_codes([key], [_fill(info, found[0])])

    return PreparedCall(QueryPlan([key]), finish)


def remove(key: Key, flags: int) -> PreparedCall:
    """``mmcc_remove``."""
    _check_flags(flags)
    return PreparedCall(CodesPlan([key], asking.remove), lambda codes: report_codes([key], codes))


def exist(key: Key, flags: int) -> PreparedCall:
    """``mmcc_exist``."""
    _check_flags(flags)
    return PreparedCall(ExistPlan([key]), lambda codes: report_codes([key], codes))


def batch_put(
    keys: Sequence[Key],
    keys_count: int,
    bufs: Sequence[mmc_buffer],
    options: mmc_put_options,
    flags: int,
    results: Output | None,
) -> PreparedCall:
    """``mmcc_batch_put``."""
    _check_batch(keys, keys_count, flags, bufs=bufs)
    _check_results(results, keys_count)
    wanted = options.checked()
    plan = PutPlan(keys, _all_pieces(bufs, writable=False), wanted.replicaNum, wanted.preferred())
    return PreparedCall(plan, lambda codes: _deliver(keys, codes, results))


def batch_get(
    keys: Sequence[Key], keys_count: int, bufs: Sequence[mmc_buffer], flags: int, results: Output | None
) -> PreparedCall:
    """``mmcc_batch_get``."""
    _check_batch(keys, keys_count, flags, bufs=bufs)
    _check_results(results, keys_count)
    plan = ReadPlan(keys, _all_pieces(bufs, writable=True))
    return PreparedCall(plan, lambda codes: _deliver(keys, codes, results))


def batch_query(
    keys: Sequence[Key], keys_count: int, info: Sequence[mmc_data_info], flags: int
) -> PreparedCall:
    """``mmcc_batch_query``."""
    _check_batch(keys, keys_count, flags, info=info)
    _check_infos(info)

    def finish(found: Sequence[ObjectInfo | Code]) -> int:
        codes = [_fill(one, known) for one, known in zip(info, found, strict=True)]
        return report_codes(keys, [0 if code == Code.NOT_FOUND else code for code in codes])

    return PreparedCall(QueryPlan(keys), finish)


def batch_remove(keys: Sequence[Key], keys_count: int, remove_results: Output, flags: int) -> PreparedCall:
    """``mmcc_batch_remove``: how many failed."""
    _check_batch(keys, keys_count, flags, remove_results=remove_results)
    _check_output(remove_results, "remove_results")

    def finish(codes: Sequence[Code]) -> int:
        _deliver(keys, codes, remove_results)
        return sum(code != Code.OK for code in codes)

    return PreparedCall(CodesPlan(keys, asking.remove), finish)


def batch_exist(keys: Sequence[Key], keys_count: int, exist_results: Output, flags: int) -> PreparedCall:
    """``mmcc_batch_exist``."""
    _check_batch(keys, keys_count, flags, exist_results=exist_results)
    _check_output(exist_results, "exist_results")

    def finish(codes: Sequence[Code]) -> int:
        _deliver(keys, codes, exist_results)
        return 0

    return PreparedCall(ExistPlan(keys), finish)


def _check_flags(flags: int) -> None:
    if flags != 0:
        raise InvalidArgument(f"flags are reserved and must be 0, not {flags!r}")


def _check_results(results: Output | None, keys_count: int) -> None:
    if results is not None:
        _check_output(results, "results")
        if len(results) != keys_count:
            raise InvalidArgument(f"results has {len(results)} elements for {keys_count} keys")


def _check_infos(infos: Sequence[object]) -> None:
    for info in infos:
        if not isinstance(info, mmc_data_info):
            raise InvalidArgument(f"info must be an mmc_data_info, not {type(info).__name__}")


def _check_output(array: object, name: str) -> None:
    if not isinstance(array, list | ctypes.Array):
        raise InvalidArgument(f"{name} must be a list or a ctypes array, not {type(array).__name__}")


def _check_batch(keys: Sequence[Key], keys_count: int, flags: int, **arrays: Sequence[Any] | Output) -> None:
    _check_flags(flags)
    if isinstance(keys, str | bytes):
        raise InvalidArgument("keys must be a list of keys, not a single one")
    if len(keys) != keys_count:
        raise InvalidArgument(f"keys_count = {keys_count}: there are {len(keys)} keys")
    for name, array in arrays.items():
        if array is None or len(array) != keys_count:
            raise InvalidArgument(f"{name} must be a list of {keys_count} elements")


def _all_pieces(bufs: Sequence[mmc_buffer], *, writable: bool) -> list[list[memoryview]]:
    """The memory of each buffer; none where it is invalid, which fails that key alone."""
    pieces: list[list[memoryview]] = []
    for buf in bufs:
        try:
            pieces.append(buf.pieces(writable=writable))
        except InvalidArgument:
            pieces.append([])
    return pieces


def _deliver(keys: Sequence[Key], codes: Sequence[Code], results: Output | None) -> int:
    if results is not None:
        for position, code in enumerate(codes):
            results[position] = int(code)
    return report_codes(keys, codes)


def _fill(info: mmc_data_info, found: ObjectInfo | Code) -> int:
    if isinstance(found, Code):
        info.size = info.prot = info.numBlobs = 0
        info.valid = False
        info.ranks, info.types = [], []
        return int(found)
    info.size = found.size
    info.prot = int(found.leased)
    info.ranks = list(found.ranks)
    info.types = [int(Medium.DRAM)] * len(info.ranks)
    info.numBlobs = len(info.ranks)
    info.valid = info.numBlobs > 0
    return 0
