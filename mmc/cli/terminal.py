"""What every command does at its ends: connect, print results, complain, exit.

Results go to standard output, complaints to standard error.  The exit status is 0 when all is well, 1 after
a failure with a documented code, and 2 when the command line itself, or a file that it names, is wrong.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec

import typer

from mmc.descriptors import NONE_LEFT, too_few_descriptors
from mmc.errors import CacheError, Code, InvalidArgument, error_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mmc.client import Client

_COMPLAINTS_MAX = 20
P = ParamSpec("P")


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """A command whose failures are sentences on standard error and an exit status.

    So is what the operating system refuses about files; a reader of standard output that has gone is left to
    typer.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
            sys.stdout.flush()
        except CacheError as error:
            complain(str(error))
            raise typer.Exit(1) from None
        except OSError as reason:
            if reason.errno == errno.EPIPE:
                raise
            if reason.errno in NONE_LEFT:
                complain(str(too_few_descriptors()))
                raise typer.Exit(1) from None
            complain(f"{reason.filename or 'standard output'}: {reason.strerror}")
            if reason.filename is None:
                _discard_output()
            raise typer.Exit(2) from None

    return run


def _discard_output() -> None:
    """What is still to be printed cannot be, and nothing tries again at the end of the process."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


@contextlib.contextmanager
def connected(meta_url: str, config_path: str, timeout: float) -> Iterator[Client]:
    """A client whose every request, the first included, waits ``timeout`` seconds at most.

    Raises:
        CacheError: -3000 a value is not allowed; -3017 no answer.
    """
    from mmc.client import Client  # noqa: PLC0415 - services are no clients
    from mmc.config import load_config  # noqa: PLC0415 - the same

    if not timeout > 0:
        raise InvalidArgument("--timeout must be above 0")
    config = load_config(config_path or None)
    milliseconds = max(1, int(timeout * 1000))
    limits = replace(config.client, connect_timeout_ms=milliseconds, timeout_ms=milliseconds)
    with Client(meta_url, replace(config, client=limits)) as client:
        yield client


def say(line: str) -> None:
    """Print a line; keys that are no UTF-8 are printed as the bytes that they are."""
    sys.stdout.buffer.write(line.encode("utf-8", "surrogateescape") + b"\n")


def say_json(value: object) -> None:
    """Print a value as one line of JSON; a byte that is no UTF-8 is a lone surrogate there."""
    say(json.dumps(value))


def complain(sentence: str) -> None:
    """Print a complaint."""
    sys.stderr.write(f"mmc: {sentence}\n")


class Outcomes:
    """The outcomes of a command for several keys."""

    def __init__(self, *, as_json: bool) -> None:
        """None yet."""
        self._as_json = as_json
        self._rows: list[dict[str, object]] = []
        self._failures = 0

    def add(self, key: str, code: Code, line: str = "", **facts: object) -> None:
        """The outcome for one key: a line, and what JSON has beside key and code."""
        self._rows.append({"key": key, "code": int(code), **facts})
        if code != Code.OK:
            self._failures += 1
            if self._failures <= _COMPLAINTS_MAX:
                complain(str(error_for(code, repr(key))))
        if line and not self._as_json:
            say(line)

    def finish(self, **facts: object) -> None:
        """Print the JSON object, if it was asked for.

        Raises:
            Exit: with status 1, some key failed.
        """
        if self._as_json:
            say_json({**facts, "results": self._rows})
        if self._failures > _COMPLAINTS_MAX:
            complain(f"and so for {self._failures - _COMPLAINTS_MAX} more")
        if self._failures:
            raise typer.Exit(1)
