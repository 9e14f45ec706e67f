"""Threads that copy together: one core does not use up what the memory can move.

1. The calling thread does the work itself.  Helpers take parts of it from the same list, so that nobody
   waits for a helper that the machine has no core for: one that has not begun is called off at the end.
2. Only large pieces are worth it.  Between pieces a thread needs the interpreter, and waiting for one
   another's turn costs more than a piece of 64 KiB: of 128 KiB, two threads copy a quarter more than one.
3. Puts leave a core to the services, which decide on the name meanwhile: with two cores and both of them
   copying, the answer came later by as much as the copy ended sooner.
4. One helper is started early, the others with the first copy that is worth it.  A forked child has none:
   its connection has a crew of its own.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from mmc.actors.client.calls import perform_each

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmc.actors.client.calls import Work

LEAST_BYTES = 2 << 20
"""So many bytes at once are worth several threads."""
_STEP_BYTES = 1 << 20

Task = Callable[[], object]


class Crew:
    """Up to so many threads of this process, the calling one among them."""

    def __init__(self, threads: int, spared_cores: int = 0) -> None:
        """``threads`` in all; of the cores that this process may use, some are left to others."""
        self._helpers = min(threads, len(os.sched_getaffinity(0)) - spared_cores) - 1
        self._pool = ThreadPoolExecutor(self._helpers, "mmc-copy") if self._helpers > 0 else None

    def start(self) -> None:
        """Have a helper ready: one that starts while memory is being populated waits for that."""
        if self._helpers > 0:
            self._do_together(deque([_nothing, _nothing]))

    def perform(self, works: Sequence[Work]) -> None:
        """Do all of this, in any order."""
        total = sum([work.size for work in works]) if self._helpers > 0 else 0
        if total >= LEAST_BYTES:
            parts = [work.parts(_STEP_BYTES, total) for work in works]
            if all(parts) and sum(map(len, parts)) > 1:
                self._do_together(deque([part for each in parts for part in each]))
                for work in works:
                    work.finish()
                return
        perform_each(works)

    def copy(self, target: NDArray[np.uint8], source: NDArray[np.uint8]) -> None:
        """Copy all of the source to the target, of the same length."""
        size = len(target)
        if self._helpers > 0 and size >= LEAST_BYTES:
            parts = [slice(at, at + _STEP_BYTES) for at in range(0, size, _STEP_BYTES)]
            self._do_together(deque(_Copy(target[part], source[part]) for part in parts))
        else:
            np.copyto(target, source)

    def _do_together(self, tasks: deque[Task]) -> None:
        assert self._pool is not None
        helping: list[Future[None]] = []
        with contextlib.suppress(RuntimeError):  # closed meanwhile, or the interpreter ends: nobody helps
            helping.extend(
                self._pool.submit(_work_off, tasks) for _ in range(len(tasks) - 1)[: self._helpers]
            )
        try:
            _work_off(tasks)
        finally:
            tasks.clear()
            failures = [helper.exception() for helper in helping if not helper.cancel()]
        for failure in failures:
            if failure is not None:
                raise failure

    def close(self) -> None:
        """Let the helpers go; nothing is shared any more."""
        self._helpers = 0
        if self._pool is not None:
            self._pool.shutdown(wait=False)


class _Copy:
    """A part of a copy."""

    __slots__ = ("_source", "_target")

    def __init__(self, target: NDArray[np.uint8], source: NDArray[np.uint8]) -> None:
        self._target = target
        self._source = source

    def __call__(self) -> None:
        np.copyto(self._target, self._source)


def _nothing() -> None:
    pass


def _work_off(tasks: deque[Task]) -> None:
    """Do tasks until there are none."""
    while True:
        try:
            task = tasks.popleft()
        except IndexError:
            return
        task()
