"""Whether it pays to guess where an object of another host lies.

A client without a rank of its own puts where the key prefers it, and so whoever looks there first often finds
it, without having asked the meta service.  Where others are put beside their writers, or keys are asked for
that are not there, a guess costs a round trip and finds nothing: then only a few are made.
"""

from __future__ import annotations

_MOST = 32
_FIRST = 8
_ONE_OF = 16


class Guessing:
    """Counts what guesses have found: each object pays for as many that were not there."""

    def __init__(self) -> None:
        """A few are free."""
        self._credit = _FIRST
        self._left_out = 0

    def may_guess(self) -> bool:
        """Whether to guess this time; without credit, one time of some."""
        if self._credit > 0:
            return True
        self._left_out = (self._left_out + 1) % _ONE_OF
        return self._left_out == 0

    def saw(self, found: int, missed: int) -> None:
        """So many objects were there, and so many were not."""
        self._credit = max(0, min(_MOST, self._credit + found - missed))

    def failed(self) -> None:
        """A rank was not reached: what it held could have come from another."""
        self._credit = 0
