"""File descriptors that are lacking are a code with the limit and the remedy."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from mmc.descriptors import explained, raise_descriptor_limit, require_descriptors
from mmc.errors import CannotCreate
from mmc.zeromq.sockets import new_context

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def few() -> Iterator[int]:
    """This process may open ten files more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = max(int(path.name) for path in Path("/proc/self/fd").iterdir()) + 11
    held = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        while True:
            held.append(os.dup(0))
    except OSError:
        for _ in range(10):
            os.close(held.pop())
    yield limit
    for descriptor in held:
        os.close(descriptor)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_is_there_is_enough(few: int) -> None:
    """As many as are left may be required, again and again: none is kept."""
    assert few
    for _ in range(3):
        require_descriptors(10)


def test_too_few_are_refused_with_limit_and_remedy(few: int) -> None:
    """One more is -3002, and the sentence says what to do."""
    with pytest.raises(CannotCreate, match=f"the limit is {few}.*ulimit -n"):
        require_descriptors(11)


def test_a_context_is_not_begun_without_them(few: int) -> None:
    """ZeroMQ would end the process."""
    assert few
    with pytest.raises(CannotCreate, match="too few file descriptors"):
        new_context()


def test_a_reason_has_its_remedy() -> None:
    """What the system says stands as it is; that no descriptor is left comes with the remedy."""
    assert explained(OSError(errno.ENOSPC, "No space left on device")) == "No space left on device"
    assert "ulimit -n" in explained(OSError(errno.EMFILE, "Too many open files"))


def test_a_service_takes_what_it_may(few: int) -> None:
    """The soft limit becomes the hard one, up to a number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    raise_descriptor_limit()
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == max(few, min(hard, 65536))
