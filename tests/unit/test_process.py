"""What a service process tells whoever started it."""

from __future__ import annotations

import os

import pytest

from mmc.process import tell_ready


def test_a_service_serves_though_nobody_waits_for_it_any_more() -> None:
    """To say that it is ready where nobody listens ends no service, and leaves no descriptor open."""
    reader, writer = os.pipe()
    os.close(reader)
    tell_ready(writer, {"rank": 0})
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writer)
