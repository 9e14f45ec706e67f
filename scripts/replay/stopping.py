"""Signals that end the replay, as something to wait for.

A handler that raises may raise anywhere, also where an exception is only printed and forgotten: in a
callback at fork, in a finaliser.  So handlers here only take note; whoever waits also waits for the
note, and raises :class:`Stopped` where ending is safe.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """The replay was told to end."""

    def __init__(self, number: int) -> None:
        """``number``: the signal's."""
        super().__init__(signal.Signals(number).name)
        self.number = number


class StopSignals:
    """SIGINT, SIGTERM and SIGHUP from now on; the first counts, further ones change nothing."""

    def __init__(self) -> None:
        """Handle the signals of this process, from its main thread."""
        self._number = 0
        self._reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, self._note)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if not self._number:
            self._number = number
            os.write(sys.stderr.fileno(), b"quickstart: stopping\n")

    def fileno(self) -> int:
        """A descriptor that is readable once a signal arrived."""
        return self._reader

    def check(self) -> None:
        """Raise :class:`Stopped` if a signal arrived."""
        if self._number:
            raise Stopped(self._number)
