"""Makes mapped memory present in this process, so that no copy waits for its pages.

One thread does it for all segments, one after the other, and ends when there is none left: with a thread for
each, a process that has just connected would have no core for its first calls.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmc.segments.mapping import BufferMemory

_STEP_S = 1.0
"""So long a step takes at the most, of a machine that has much to do."""


class Populating:
    """The memory that waits for it; usable from any thread."""

    def __init__(self, step_bytes: int) -> None:
        """In steps of so many bytes, not before :meth:`begin`."""
        self._step_bytes = step_bytes
        self._waiting: deque[BufferMemory] = deque()
        self._lock = threading.Lock()
        self._is_allowed = False
        self._is_running = False
        self._is_over = False
        self._thread: threading.Thread | None = None

    def add(self, memory: BufferMemory) -> None:
        """Let this memory be populated, too."""
        self._waiting.append(memory)
        self._start()

    def begin(self) -> None:
        """Let it begin.

        While a process connects it would stand still whenever it maps or allocates memory: the kernel does
        that after the step of pages that it is at.
        """
        self._is_allowed = True
        self._start()

    def end(self) -> None:
        """End it after the step that it is at: what it populates is not kept mapped by it any more."""
        with self._lock:
            self._is_over = True
            self._waiting.clear()
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(_STEP_S)

    def _start(self) -> None:
        with self._lock:
            if self._is_running or self._is_over or not self._is_allowed or not self._waiting:
                return
            thread = threading.Thread(target=self._run, name="mmc-populate", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no thread to be had: copies map the pages themselves
                return
            self._is_running = True
            self._thread = thread

    def _run(self) -> None:
        while self._waiting:
            self._populate_next()
        with self._lock:
            self._is_running = False
        self._start()

    def _populate_next(self) -> None:
        try:
            memory = self._waiting.popleft()
        except IndexError:  # it is over
            return
        for _ in memory.populate(0, len(memory), self._step_bytes):
            if self._is_over:
                return
