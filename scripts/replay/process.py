"""Child processes of the replay: away from the terminal, and ended whatever happens to the replay.

1. A child is in a session of its own: Ctrl-C reaches the replay alone, which then ends its children
   in its own order.
2. A child gets SIGTERM from the kernel when the replay dies, however it dies.
3. What a child writes on standard error is kept in a file, and shown when it failed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
"""The checkout: children find ``scripts`` here, wherever the replay was started."""

_PR_SET_PDEATHSIG = 1
_TAIL_BYTES = 2000
_KILL_S = 5.0


class ReplayError(Exception):
    """A process of the replay failed; the sentence says which, and what it last said."""


class Child:
    """A Python module run as a process, with pipes to its standard input and output."""

    def __init__(self, name: str, module: str, *arguments: str, prefix: Sequence[str] = ()) -> None:
        """Start it; ``prefix`` is a command that runs its command."""
        self.name = name
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed in end()
        paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
        prctl = ctypes.CDLL(None).prctl
        self.process = subprocess.Popen(  # noqa: S603 - our own modules
            [*prefix, sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            start_new_session=True,
            preexec_fn=lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM),  # noqa: PLW1509 - no thread runs yet
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.input = self.process.stdin
        self.output = self.process.stdout.fileno()

    def failure(self, what: str) -> ReplayError:
        """An error that says what the child did wrong, and its last words."""
        size = self._words.seek(0, os.SEEK_END)
        self._words.seek(max(0, size - _TAIL_BYTES))
        words = self._words.read().decode(errors="replace").strip()
        return ReplayError(f"{self.name} {what}{f'; its last words:{os.linesep}{words}' if words else ''}")

    def end(self, patience_s: float, *, ask: bool) -> ReplayError | None:
        """Have it end: by the end of its input, and by SIGTERM if ``ask``; later by force.

        Returns:
            What went wrong, if it did not end by itself with status 0.
        """
        with contextlib.suppress(BrokenPipeError):
            self.input.close()
        if ask:
            self.process.terminate()
        try:
            status = self.process.wait(patience_s)
            error = self.failure(f"ended with status {status}") if status else None
        except subprocess.TimeoutExpired:
            error = self.failure(f"did not end within {patience_s:.0f} s")
            self.process.kill()
            self.process.wait(_KILL_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._words.close()
        return error


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has used so far; 0 when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    user, system = text.rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
