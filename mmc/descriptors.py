"""File descriptors: whether there are any left, and what to say when there are none.

ZeroMQ ends the process (SIGABRT) when a context finds too few of them while it begins.  An engine is not to
die of that: who makes a context looks first.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource

from mmc.errors import CannotCreate

NONE_LEFT = (errno.EMFILE, errno.ENFILE)
"""What the system says when no descriptor is left, to this process or to anybody."""

_SERVICE_MOST = 65536


def too_few_descriptors() -> CannotCreate:
    """The exception that says so: -3002, with the limit and the remedy."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CannotCreate(
        f"too few file descriptors are left, the limit is {soft}: raise it (ulimit -n, LimitNOFILE=, "
        "docker run --ulimit nofile=), or close files"
    )


def explained(reason: OSError) -> str:
    """What the system says, with the remedy where no descriptor is left."""
    if reason.errno in NONE_LEFT:
        return too_few_descriptors().sentence
    return reason.strerror or str(reason)


def require_descriptors(count: int) -> None:
    """Check that ``count`` more files could be opened now.

    Raises:
        CannotCreate: -3002, they could not.
    """
    with contextlib.ExitStack() as opened:
        try:
            for _ in range(count):
                opened.callback(os.close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as reason:
            if reason.errno in NONE_LEFT:
                raise too_few_descriptors() from None
            raise CannotCreate(f"{os.devnull}: {reason.strerror}") from None


def open_standard_descriptors() -> None:
    """Have 0, 1 and 2 lead nowhere where they were closed: what is opened later would be taken for them."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free


def raise_descriptor_limit() -> None:
    """Let this process, a service, have as many as it may, within reason: each peer takes one or two."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _SERVICE_MOST if hard == resource.RLIM_INFINITY else min(hard, _SERVICE_MOST)
    if soft != resource.RLIM_INFINITY and soft < most:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
