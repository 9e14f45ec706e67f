"""Calls of a client that may be answered honestly or late, and never otherwise.

Each call is counted, held against its deadline, and its codes against those that are documented for it.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, TypeVar

from mmc import CacheError, Client, Code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mmc.view import View
    from scripts.crashing.ledger import Journal

T = TypeVar("T")

MARGIN_S = 1.0
"""A call that returns so long after its deadline is late."""

HONEST = frozenset(
    (Code.TIMED_OUT, Code.UNKNOWN_SEQUENCE, Code.UNREACHABLE, Code.META_UNREACHABLE, Code.NO_SUCH_RANK)
)
"""Nobody can tell, or nothing was done: what calls may answer while something is dead."""

_NOBODY_CAN_TELL = frozenset((Code.TIMED_OUT, Code.UNREACHABLE, Code.META_UNREACHABLE))
_UNDECIDED = frozenset((Code.TIMED_OUT, Code.UNKNOWN_SEQUENCE, Code.META_UNREACHABLE))
_FOUND_OR_NOT = _NOBODY_CAN_TELL | {Code.OK, Code.NOT_FOUND}
_DOCUMENTED = {
    "put": _UNDECIDED | {Code.OK, Code.NO_SUCH_RANK, Code.WRONG_STATE},
    "put of replicas": _UNDECIDED | {Code.OK, Code.NO_SUCH_RANK, Code.NO_SPACE, Code.WRONG_STATE},
    "get": _FOUND_OR_NOT,
    "exist": _FOUND_OR_NOT,
    "query": _FOUND_OR_NOT,
    "view": _FOUND_OR_NOT | {Code.NO_SUCH_RANK},
    "lease": _FOUND_OR_NOT | _UNDECIDED | {Code.WRONG_STATE},
    "remove": _UNDECIDED | {Code.OK, Code.NOT_FOUND, Code.LEASED, Code.NO_SUCH_RANK},
}
"""What a call of this load may answer: keys are new and there is space, so that a put has no other excuse.

Of replicas -3016 also says that there are fewer ranks."""


class Calls:
    """A client's calls."""

    def __init__(self, client: Client, journal: Journal, timeout_s: float) -> None:
        """``timeout_s`` is the deadline of every call."""
        self._client = client
        self._journal = journal
        self._timeout_s = timeout_s
        self._succeeded = self._refused = 0

    def take_counts(self) -> tuple[int, int]:
        """Calls since the last time: without an honest refusal of any key, and others."""
        counts = self._succeeded, self._refused
        self._succeeded = self._refused = 0
        return counts

    def put(self, keys: list[str], values: list[list[memoryview]], replicas: int) -> list[Code]:
        """Put a batch."""
        return self._timed(
            "put" if replicas == 1 else "put of replicas",
            lambda: self._client.put_batch(keys, values, replicas=replicas, timeout=self._timeout_s),
            list,
        )

    def read(self, keys: list[str]) -> tuple[list[bytes | None], list[Code]]:
        """Get a batch."""
        return self._timed(
            "get", lambda: self._client.read_batch(keys, timeout=self._timeout_s), lambda answer: answer[1]
        )

    def read_into(self, keys: list[str], sizes: Sequence[int]) -> tuple[list[bytes | None], list[Code]]:
        """Get a batch into buffers of these sizes."""

        def read() -> tuple[list[bytes | None], list[Code]]:
            targets = [bytearray(size) for size in sizes]
            codes = self._client.get_into_batch(keys, targets, timeout=self._timeout_s)
            filled = zip(targets, codes, strict=True)
            return [bytes(target) if code == Code.OK else None for target, code in filled], codes

        return self._timed("get", read, lambda answer: answer[1])

    def exist(self, keys: list[str]) -> list[Code]:
        """Ask of a batch whether it is there."""
        return self._timed("exist", lambda: self._client.exist_batch(keys, timeout=self._timeout_s), list)

    def query(self, keys: list[str], sizes: Sequence[int]) -> list[Code]:
        """Ask of a batch what it is; a wrong size is -3103."""

        def ask() -> list[Code]:
            infos = self._client.query_batch(keys, timeout=self._timeout_s)
            return [
                info if isinstance(info, Code) else Code.OK if info.size == size else Code.WRONG_SIZE
                for info, size in zip(infos, sizes, strict=True)
            ]

        return self._timed("query", ask, list)

    def view(self, key: str) -> tuple[View | None, Code]:
        """Open a view."""

        def look() -> tuple[View | None, Code]:
            try:
                return self._client.view(key, timeout=self._timeout_s), Code.OK
            except CacheError as error:
                return None, error.code

        return self._timed("view", look, lambda answer: [answer[1]])

    def lease(self, key: str, ttl_ms: int) -> Code:
        """Lease an object."""
        return self._timed(
            "lease", lambda: self._client.lease_batch([key], ttl_ms, timeout=self._timeout_s), list
        )[0]

    def remove(self, keys: list[str]) -> list[Code]:
        """Remove a batch."""
        return self._timed("remove", lambda: self._client.remove_batch(keys, timeout=self._timeout_s), list)

    def _timed(self, name: str, call: Callable[[], T], codes_of: Callable[[T], list[Code]]) -> T:
        began = monotonic()
        answer = call()
        ended = monotonic()
        if ended > began + self._timeout_s + MARGIN_S:
            self._journal.find("late", call=name, began=began, ended=ended, deadline=began + self._timeout_s)
        codes = codes_of(answer)
        for code in set(codes) - _DOCUMENTED[name]:
            self._journal.find("undocumented code", call=name, code=code.name, at=ended)
        honest = [code.name for code in codes if code in HONEST or code == Code.NO_SPACE]
        if honest:
            self._refused += 1
            self._journal.find("refused", call=name, code=honest[0], at=ended, took=ended - began)
        else:
            self._succeeded += 1
        return answer
