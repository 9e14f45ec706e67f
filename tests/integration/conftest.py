"""What every test with processes of its own has around it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.processes import end_engines

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def engines() -> Iterator[None]:
    """No engine of a failed test is left to the next one."""
    yield
    end_engines()
