"""Where services and clients get their random numbers from."""

from __future__ import annotations

import secrets


def random63() -> int:
    """A random number for sessions, segments and client ids; never 0."""
    return secrets.randbits(63) or 1
