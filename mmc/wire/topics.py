"""Names of the event topics, and the numbers that let a subscriber notice a gap.

A topic ends in a NUL so that the subscription of rank 1 does not match the events of rank 10.
"""

from __future__ import annotations

MEMBER = b"member\0"


def evict_topic(rank: int) -> bytes:
    """The topic of eviction, removal and claim-check commands to a rank."""
    return b"evict/%d\0" % rank


def lease_topic(rank: int) -> bytes:
    """The topic of lease commands to a rank."""
    return b"lease/%d\0" % rank


class GapDetector:
    """Watches the numbers of one topic: says when some were missed."""

    def __init__(self) -> None:
        """Nothing seen yet: the first number of an epoch sets the start."""
        self._epoch = 0
        self._last = 0
        self.gaps = 0

    def saw(self, epoch: int, number: int) -> bool:
        """Note an event; True when numbers before it were missed (told once)."""
        if epoch != self._epoch:
            self._epoch, self._last = epoch, number
            return False
        missed = number > self._last + 1
        self._last = max(self._last, number)
        self.gaps += missed
        return missed

    def behind(self, epoch: int, published: int) -> bool:
        """Whether the publisher, by its own word, has sent more than was seen here."""
        if epoch != self._epoch:
            self._epoch, self._last = epoch, published
            return published > 0
        missed = published > self._last
        self._last = max(self._last, published)
        self.gaps += missed
        return missed
