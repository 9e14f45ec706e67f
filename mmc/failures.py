"""The last failure of each thread, for interfaces that return codes."""

from __future__ import annotations

import threading
import traceback
from typing import TYPE_CHECKING, NamedTuple

from mmc.errors import SENTENCES, CacheError, Code
from mmc.log import get_log

if TYPE_CHECKING:
    from collections.abc import Iterable


class LastError(NamedTuple):
    """A failure.

    Attributes:
        code: a documented code.
        sentence: what happened, and where it helps, what to do.
    """

    code: Code
    sentence: str


class _Thread(threading.local):
    last = LastError(Code.OK, SENTENCES[Code.OK])


_THREAD = _Thread()
_OBSTRUCTED = (Code.NO_SUCH_RANK, Code.UNREACHABLE)


def last_error() -> LastError:
    """The code and the sentence of the last call in this thread that failed; (0, "done") if none did."""
    return _THREAD.last


def report(error: CacheError) -> int:
    """Note a failure; returns its code."""
    _THREAD.last = LastError(error.code, error.sentence)
    return int(error.code)


def report_fault() -> int:
    """Log the exception in hand, which is a fault of our own, with its stack; returns -1."""
    get_log("client").error("a fault of our own", stack=traceback.format_exc())
    return report(CacheError("a fault inside the cache; the log has its stack", Code.INTERNAL))


def report_codes(keys: Iterable[object], codes: Iterable[int], obstacle: str = "") -> int:
    """Note the first failure of a batch, with what may be in the way on this host; returns its code, or 0."""
    for key, code in zip(keys, codes, strict=True):
        if code < 0:
            known = Code(code)
            hint = f"; {obstacle}" if obstacle and known in _OBSTRUCTED else ""
            _THREAD.last = LastError(known, f"{key!r}: {SENTENCES[known]}{hint}")
            return int(code)
    return 0
