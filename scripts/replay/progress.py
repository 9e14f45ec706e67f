"""How far a replay has come, on standard error: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import importlib
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import ModuleType, TracebackType

_LINE_EVERY_S = 5.0


class Progress:
    """Counts up to a total; a context manager."""

    def __init__(self, total: int) -> None:
        """Nothing is shown before it is entered."""
        self._total = total
        self._bar = _bar() if sys.stderr.isatty() else None
        self._task: Any = None
        self._next_line = monotonic() + _LINE_EVERY_S

    def __enter__(self) -> Self:
        """Show it."""
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("replaying", total=self._total)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()

    def show(self, done: int) -> None:
        """So many of the total are done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
        elif monotonic() >= self._next_line:
            self._next_line = monotonic() + _LINE_EVERY_S
            share = 100 * done // self._total
            print(f"replayed {done:,} of {self._total:,} requests, {share} %", file=sys.stderr)


def _bar() -> Any:  # noqa: ANN401 - rich may not be installed
    """A bar of rich; None without rich."""
    try:
        rich_progress: ModuleType = importlib.import_module("rich.progress")
        console = importlib.import_module("rich.console").Console(stderr=True)
    except ModuleNotFoundError:
        return None
    return rich_progress.Progress(
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TextColumn("requests"),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TimeRemainingColumn(),
        console=console,
        transient=True,
    )
