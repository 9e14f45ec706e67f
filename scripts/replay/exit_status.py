"""How a run of a script ends: well, badly, with a sentence, or by a signal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mmc import InvalidArgument
from scripts.replay.process import ReplayError
from scripts.replay.stopping import Stopped, StopSignals

if TYPE_CHECKING:
    from collections.abc import Callable

_FAILED, _SIGNALLED = 1, 128


def exit_status(name: str, run: Callable[[StopSignals], bool]) -> int:
    """Run it; 0: nothing was wrong, 1: something was, 128 and the number of the signal that ended it."""
    try:
        return 0 if run(StopSignals()) else _FAILED
    except (ReplayError, InvalidArgument) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return _FAILED
    except Stopped as stopped:
        return _SIGNALLED + stopped.number
