"""Structured logs, on standard error, at one level for the whole process."""

from __future__ import annotations

import logging
import sys

import structlog

_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}


def configure_log(level: str) -> None:
    """Log from ``level`` on (debug, info, warn, error)."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def get_log(service: str) -> structlog.typing.FilteringBoundLogger:
    """The log of one service."""
    log: structlog.typing.FilteringBoundLogger = structlog.get_logger().bind(service=service)
    return log
