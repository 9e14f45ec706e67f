"""Log files: a rotating log and a rotating audit log for each running instance of a service.

1. An instance's name is the service's, or, when others of that service run beside it and log to the same
   directory, the first of ``<service>-1``, ``<service>-2`` ... whose lock file can be locked.  A lock file is
   neither renamed nor removed, and the kernel releases its lock however the process ends.
2. Writing raises nothing, whatever becomes of the disk; what could not be written is counted.
3. A forked child never writes into its parent's files: it forgets them, and claims a name of its own when
   it first has something to write.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import threading
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TYPE_CHECKING

from mmc.segments.lockfile import open_locked

if TYPE_CHECKING:
    from mmc.config import LogSettings

_MIB = 1 << 20
_INSTANCES_MAX = 1024
_LOCK_MODE = 0o644


class RotatingFile(RotatingFileHandler):
    """One log with its older files ``.1``, ``.2`` ...; a sink that is attached to no logger.

    Attributes:
        lost: how many writes failed; the log says so as soon as it can.
    """

    def __init__(self, path: Path, size_bytes: int, count: int) -> None:
        """Of ``count`` files, each of about ``size_bytes``; made when first written to."""
        self.lost = 0
        self._told = 0
        super().__init__(
            path,
            maxBytes=size_bytes,
            backupCount=count - 1,
            encoding="utf-8",
            errors="backslashreplace",
            delay=True,
        )

    def write(self, text: str) -> None:
        """Append ``text``, one or several lines, and a line's end; the lines stay in one file."""
        self.handle(logging.LogRecord("mmc", logging.INFO, "", 0, text, None, None))

    def check(self) -> None:
        """Open the file now.

        Raises:
            OSError: it cannot be written.
        """
        with contextlib.closing(self._open()):
            pass

    def format(self, record: logging.LogRecord) -> str:
        """The text as it was handed in; formatters are the program's affair."""
        return str(record.msg)

    def emit(self, record: logging.LogRecord) -> None:
        """Write; the first line that can be written again is followed by how many were lost."""
        lost = self.lost
        super().emit(record)
        if self._told < lost == self.lost:
            text = f'level=warning event="lines before this one were lost" writes={lost - self._told}'
            self._told = lost
            super().emit(logging.LogRecord("mmc", logging.WARNING, "", 0, text, None, None))

    def doRollover(self) -> None:  # noqa: N802 - logging's name
        """Begin a new file; where that fails the present one goes on, longer than it should be."""
        try:
            super().doRollover()
        except OSError:
            self.stream = None  # emit opens it again, as after a delay

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Count; logging would print a traceback."""
        self.lost += 1

    def _open(self) -> io.TextIOWrapper:
        """The file, without a buffer: what a full disk refused is not tried again at an odd moment."""
        raw = Path(self.baseFilename).open("ab", buffering=0)  # noqa: SIM115 - the stream closes it
        return io.TextIOWrapper(raw, encoding=self.encoding, errors=self.errors, write_through=True)


class LogFiles:
    """The two logs of one instance of a service."""

    def __init__(self, settings: LogSettings, service: str) -> None:
        """Nothing is opened yet."""
        self._settings = settings
        self._service = service
        self._lock = threading.Lock()
        self._claim = -1
        self._closed = False
        self._log: RotatingFile | None = None
        self._audit: RotatingFile | None = None

    @property
    def lost(self) -> int:
        """How many writes failed since the files were opened."""
        return sum(file.lost for file in (self._log, self._audit) if file is not None)

    def open(self) -> None:
        """Claim a name and open its log.

        Raises:
            OSError: the directory cannot be made or written.
        """
        with self._lock:
            self._opened()

    def write(self, line: str) -> None:
        """Append a line to the log; after :meth:`close` it is lost."""
        with contextlib.suppress(OSError), self._lock:
            if not self._closed:
                self._opened()[0].write(line)

    def write_audit(self, lines: str) -> None:
        """Append lines to the audit log, all of them to one file; after :meth:`close` they are lost."""
        with contextlib.suppress(OSError), self._lock:
            if not self._closed:
                self._opened()[1].write(lines)

    def _opened(self) -> tuple[RotatingFile, RotatingFile]:
        if self._log is None or self._audit is None:
            directory = Path(self._settings.path)
            directory.mkdir(parents=True, exist_ok=True)
            self._claim, name = _claim_name(directory, self._service)
            size, count = self._settings.file_size_mb * _MIB, self._settings.file_count
            log = RotatingFile(directory / f"{name}.log", size, count)
            try:
                log.check()
            except OSError:
                self._release()
                raise
            self._log = log
            self._audit = RotatingFile(directory / f"{name}-audit.log", size, count)
        return self._log, self._audit

    def forget(self) -> None:
        """In a forked child: leave the parent its files, and its lock."""
        self._lock = threading.Lock()
        closed = self._closed
        self.close()
        self._closed = closed

    def close(self) -> None:
        """Close the files and give up the name."""
        with self._lock:
            self._closed = True
            for file in (self._log, self._audit):
                if file is not None:
                    file.close()
            self._log = self._audit = None
            self._release()

    def _release(self) -> None:
        if self._claim >= 0:
            os.close(self._claim)
            self._claim = -1


def _claim_name(directory: Path, service: str) -> tuple[int, str]:
    """The descriptor that holds the claim, and the first name that no other running instance has.

    Raises:
        OSError: the directory cannot be written, or too many instances log there.
    """
    for number in range(_INSTANCES_MAX):
        name = f"{service}-{number}" if number else service
        descriptor = open_locked(directory / f"{name}.lock", os.O_RDWR | os.O_CREAT, _LOCK_MODE)
        if descriptor is not None:
            return descriptor, name
    raise OSError(f"{_INSTANCES_MAX} instances of {service} log there")
