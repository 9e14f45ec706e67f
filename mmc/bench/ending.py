"""The end of a run, of a row, of a cluster: everything that was started, in the opposite order.

A run that is interrupted, by Ctrl-C or SIGTERM, does not wait for what its processes are busy with: all of
them are told to end at once, and each is waited for a moment only.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from types import TracebackType


class Mortal(Protocol):
    """A process that was started for a measurement."""

    def end(self) -> None:
        """Have it end in order, and wait for that."""
        ...

    def hurry(self) -> None:
        """Have it end at once, and do not wait: :meth:`end`, which comes later, waits a moment only."""
        ...


class Ending(ExitStack[None]):
    """What ends with a ``with`` block."""

    def __init__(self) -> None:
        """Nothing was started yet."""
        super().__init__()
        self._processes: list[Mortal] = []

    def keep(self, process: Mortal) -> None:
        """End this process with the block."""
        self._processes.append(process)
        self.callback(self._end, process)

    def _end(self, process: Mortal) -> None:
        try:
            process.end()
        except (KeyboardInterrupt, SystemExit):
            self._hurry()
            process.end()
            raise
        finally:
            self._processes.remove(process)

    def _hurry(self) -> None:
        for process in self._processes:
            process.hurry()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> None:
        """End everything."""
        if kind is not None and not issubclass(kind, Exception):
            self._hurry()
        super().__exit__(kind, error, trace)
