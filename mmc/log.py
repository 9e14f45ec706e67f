"""Structured logs.  A library says little: warnings, on standard output; a command line says more.

The loggers are MemCache's own and leave the program's configuration of structlog alone.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_PROCESSORS = (
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso"),
    structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
)


class _Settings:
    """What the loggers made from now on do."""

    level = "warn"
    to_stderr = False


def configure_log(level: str) -> None:
    """Log on standard error from ``level`` on (debug, info, warn, error)."""
    _Settings.level = level
    _Settings.to_stderr = True


def get_log(service: str) -> FilteringBoundLogger:
    """The log of one service."""
    stream = sys.stderr if _Settings.to_stderr else sys.stdout
    log: FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=_PROCESSORS,
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[_Settings.level]),
        service=service,
    )
    return log
