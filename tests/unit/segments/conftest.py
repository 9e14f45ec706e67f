"""A directory of real files in shared memory, which is gone afterwards."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SHARED_MEMORY = "/dev/shm"


@pytest.fixture
def shm() -> Iterator[Path]:
    """An empty directory on tmpfs."""
    path = Path(tempfile.mkdtemp(prefix="mmc-test-", dir=SHARED_MEMORY))
    yield path
    shutil.rmtree(path)
