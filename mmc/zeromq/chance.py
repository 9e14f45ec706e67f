"""Where services and clients get their random numbers from."""

from __future__ import annotations

import os

_BYTES = 8


def random63() -> int:
    """A random number for sessions, segments and client ids; never 0."""
    return int.from_bytes(os.urandom(_BYTES)) >> 1 or 1
