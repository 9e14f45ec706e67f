"""Structured logs, of a library first of all: warnings, on standard output, and nobody's settings touched.

1. A line goes to one place: to the program's own function if it set one, else to the log file of the
   service if the settings name a directory, else to standard output (a command line's: standard error).
2. Level, function and place are looked up at every line: what is changed holds at once for every logger
   that was handed out.
3. Logging raises nothing and blocks nobody: the program's function is called under no lock, and what it
   raises is counted.  What it logs itself, through us, takes the other way.
4. structlog is imported with the first line that is logged: that takes two tenths of a second, which a
   program that logs nothing need not pay, and a service not before it serves.
5. The audit log has one line for each removal and each change of membership.  It exists in a directory
   only; where there is none, nothing is rendered.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Protocol

from mmc.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from structlog import BoundLogger
    from structlog.typing import EventDict

    from mmc.actors.contract import Audit
    from mmc.config import LogSettings
    from mmc.logfile import LogFiles

    ExternLogger = Callable[[int, str], object]

DEBUG, INFO, WARN, ERROR = range(4)

_LEVELS = {"debug": DEBUG, "info": INFO, "warn": WARN, "warning": WARN, "error": ERROR}
_NO_SERVICE = "mmc"


class _Sink(Protocol):
    """Where rendered lines go."""

    def write(self, line: str) -> None:
        """Take a line; this raises nothing."""
        ...


class _StandardStream:
    """Standard output or standard error, whatever the program has made of them by now."""

    def __init__(self, *, to_stderr: bool) -> None:
        """Nothing is opened, and nothing will be closed."""
        self._to_stderr = to_stderr

    def write(self, line: str) -> None:
        """Print a line; without a stream, or on one that fails, it is lost."""
        stream = sys.stderr if self._to_stderr else sys.stdout
        if stream is None:
            return
        try:
            try:
                stream.write(f"{line}\n")
            except UnicodeEncodeError:
                stream.write(f"{line.encode('ascii', 'backslashreplace').decode('ascii')}\n")
            stream.flush()
        except Exception:  # boundary: a program may put anything in the place of its streams
            return


class _State:
    """What every logger looks up at every line; each attribute is replaced as a whole."""

    level = WARN
    sink: _Sink = _StandardStream(to_stderr=False)
    files: LogFiles | None = None
    audits = False
    extern: ExternLogger | None = None
    extern_failures = 0
    lock = threading.Lock()


class _InExtern(threading.local):
    """Whether this thread is inside the program's function."""

    now = False


_in_extern = _InExtern()


def configure_log(settings: LogSettings, *, service: str = "", to_stderr: bool = False) -> None:
    """Log as the settings say; this replaces what an earlier call said.

    With ``settings.path`` the lines go to ``<path>/<service>.log``.  A directory that cannot be written
    is one warning, and logging goes on at the standard stream.

    Args:
        settings: the section ``[log]``.
        service: the name of the log file, ``mmc`` where there is none.
        to_stderr: the standard stream is standard error instead of standard output.

    Raises:
        InvalidArgument: the level is none.
    """
    name = service or _NO_SERVICE
    set_level(settings.level)
    earlier, _State.files, _State.audits = _State.files, None, False
    _State.sink = _StandardStream(to_stderr=to_stderr)
    if earlier is not None:
        earlier.close()
    if not settings.path:
        return
    from mmc.logfile import LogFiles  # noqa: PLC0415 - most processes log to no file

    files = LogFiles(settings, name)
    try:
        files.open()
    except OSError as reason:
        get_log(name).insist(
            "cannot log to files: logging goes on here",
            path=settings.path,
            reason=reason.strerror or str(reason),
            setting="log.path",
        )
        return
    _State.sink, _State.files, _State.audits = files, files, settings.audit


def logs_to_files() -> bool:
    """Whether there are log files: a path was set, and could be used."""
    return _State.files is not None


def set_level(level: str | int) -> None:
    """Log from this level on: debug, info, warn, error, or 0 to 3.

    Raises:
        InvalidArgument: it is none of these.
    """
    number = _LEVELS.get(level.lower(), -1) if isinstance(level, str) else level
    if isinstance(level, bool) or number not in (DEBUG, INFO, WARN, ERROR):
        raise InvalidArgument(f"log level {level!r}: one of debug, info, warn, error, or 0 to 3")
    _State.level = number


def set_extern_logger(func: ExternLogger | None) -> None:
    """Hand every line, as (level 0 to 3, text), to the program's function instead; None ends that.

    The function is called by whichever thread logs, by several at once, and under none of our locks.

    Raises:
        InvalidArgument: it cannot be called.
    """
    if func is not None and not callable(func):
        raise InvalidArgument(f"extern logger {func!r}: a function of a level and a text, or None")
    _State.extern = func


def extern_failures() -> int:
    """How many times the program's function raised."""
    return _State.extern_failures


class ServiceLog:
    """The log of one service."""

    def __init__(self, service: str) -> None:
        """``service`` stands in every line."""
        self._service = service

    def debug(self, event: str, **fields: object) -> None:
        """What helps to find a fault."""
        self._say(DEBUG, "debug", event, fields)

    def info(self, event: str, **fields: object) -> None:
        """What is good to know."""
        self._say(INFO, "info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """What somebody should look at."""
        self._say(WARN, "warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """What somebody must look at."""
        self._say(ERROR, "error", event, fields)

    def insist(self, event: str, **fields: object) -> None:
        """A warning about the log itself, at whatever level is logged."""
        self._write(WARN, "warning", event, fields)

    def _say(self, level: int, method: str, event: str, fields: dict[str, object]) -> None:
        if level >= _State.level:
            self._write(level, method, event, fields)

    def _write(self, level: int, method: str, event: str, fields: dict[str, object]) -> None:
        try:
            logger = _logger(self._service)
        except ImportError:  # the program has left its packages behind: another root, another user
            (head, body), _ = _render(None, method, {"event": event, "service": self._service, **fields})
            _deliver(level, head, body)
        else:
            getattr(logger, method)(event, **fields)


@cache
def _logger(service: str) -> BoundLogger:
    import structlog  # noqa: PLC0415 - for those who log

    return structlog.BoundLogger(_DELIVERY, (_render,), {"service": service})


def get_log(service: str) -> ServiceLog:
    """The log of one service."""
    return ServiceLog(service)


def audit_writer() -> Callable[[str, Audit], None] | None:
    """What writes audit lines, or None where there is no audit log: then there is nothing to render."""
    files = _State.files
    if files is None or not _State.audits:
        return None

    def write(event: str, audit: Audit) -> None:
        head = f"timestamp={_timestamp()} {_pairs([('event', event)])}"
        about = _pairs(audit.fields)
        lines = [f"{head} {_pairs([('key', key)])} {about}" for key in audit.keys] or [f"{head} {about}"]
        files.write_audit("\n".join(lines))

    return write


class _Delivery:
    """The end of every logger: it knows the level of a line by the method."""

    def debug(self, head: str, body: str) -> None:
        _deliver(DEBUG, head, body)

    def info(self, head: str, body: str) -> None:
        _deliver(INFO, head, body)

    def warning(self, head: str, body: str) -> None:
        _deliver(WARN, head, body)

    def error(self, head: str, body: str) -> None:
        _deliver(ERROR, head, body)


_DELIVERY = _Delivery()


def _render(_: object, method: str, line: EventDict) -> tuple[tuple[str, str], dict[str, object]]:
    """The arguments of :class:`_Delivery`: time and level, and what the program's function is handed."""
    event = line.pop("event")
    body = _pairs([("event", event), *line.items()])
    return (f"timestamp={_timestamp()} level={method} ", body), {}


def _deliver(level: int, head: str, body: str) -> None:
    extern = _State.extern
    if extern is None or _in_extern.now:
        _State.sink.write(head + body)
        return
    _in_extern.now = True
    try:
        extern(level, body)
    except Exception:  # boundary: the function is the program's; it must not break what happened to log
        with _State.lock:
            _State.extern_failures += 1
    finally:
        _in_extern.now = False


def _timestamp() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _pairs(fields: Iterable[tuple[str, object]]) -> str:
    """The fields as logfmt."""
    return " ".join(f"{name}={_value(value)}" for name, value in fields)


def _value(value: object) -> str:
    """A value on one line, between quotes where it could be misread; any bytes can be told apart."""
    if isinstance(value, bool):
        return str(value).lower()
    text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
    plain = text.isprintable()
    if plain and text and not any(mark in text for mark in ' "=\\'):
        return text
    return json.dumps(text, ensure_ascii=not plain)


def _after_fork() -> None:
    """A child has files and locks of its own."""
    _State.lock = threading.Lock()
    if _State.files is not None:
        _State.files.forget()


os.register_at_fork(after_in_child=_after_fork)
