"""The life of a service process: ready, signals, and the death of whoever started it.

1. The first SIGINT or SIGTERM stops the service in order; the second ends the process at once.
2. A service that was started by another process holds the read end of a pipe: when the other end
   closes, however its holder died, the service stops.  A digit on that pipe is a new log level.
3. Once it serves, a service says so with one line of JSON on the descriptor that it was given for that;
   or else, what is in its way.
4. A service's tables are large and hold no cycles: a collector of cycles that walked through all of them now
   and then would make the service stand still, for seconds where there are millions of names.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from mmc.errors import CacheError

_SIGNALLED = 128
_COLLECT_AFTER = (10_000, 10, 1000)


class Stoppable(Protocol):
    """A service that can be told to stop from a signal handler or another thread."""

    def stop(self) -> None:
        """Begin to stop."""
        ...


def stop_on_signals(server: Stoppable, force: Callable[[], None] | None = None) -> None:
    """Stop a service at the first SIGINT or SIGTERM; ``force`` and exit at the second."""
    seen: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        seen.append(number)
        if len(seen) == 1:
            server.stop()
            return
        if force is not None:
            force()
        os._exit(_SIGNALLED + number)

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)


def stop_with_parent(
    server: Stoppable,
    descriptor: int | None,
    on_death: Callable[[], None] | None = None,
    on_level: Callable[[int], object] = int,
) -> None:
    """Stop a service when the other end of this pipe closes; None: it has no parent.

    ``on_death`` is called first: it clears away what the parent would have.  ``on_level`` is told of every
    log level that the parent asks for, 0 to 3.
    """
    if descriptor is None:
        return

    def watch() -> None:
        while level := os.read(descriptor, 1):
            on_level(int(level))
        if on_death is not None:
            on_death()
        server.stop()

    threading.Thread(target=watch, name="mmc-parent", daemon=True).start()


def collect_rarely() -> None:
    """Look for cycles among what is young alone; what is there by now stays, and is never looked at again."""
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


def tell_ready(descriptor: int | None, facts: dict[str, object]) -> None:
    """Say that the service serves, whether or not somebody still waits for it."""
    if descriptor is not None:
        with contextlib.suppress(BrokenPipeError):
            os.write(descriptor, json.dumps(facts).encode() + b"\n")
        os.close(descriptor)


def tell_failure(descriptor: int | None, error: CacheError) -> None:
    """Say why the service cannot serve; without anyone to tell, on standard error."""
    if descriptor is None:
        sys.stderr.write(f"mmc: {error}\n")
    else:
        tell_ready(descriptor, {"failure": error.sentence, "code": int(error.code)})
