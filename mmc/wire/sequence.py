"""At most once, whatever the network does: the receiver's window of recent sequence numbers.

A sender numbers its requests 1, 2, 3 ... and has at most ``width`` of them in flight.  The window
remembers each number from its first arrival until the sender acknowledges its reply:

1. A number never seen, within the window, is executed, with the retry flag or without: its first
   copy may have been lost.
2. A number seen before, without the retry flag, is a duplicate of the network: -3009, not executed.
3. With the retry flag: in flight, one reply serves both; finished, the stored reply goes out again
   byte for byte; finished without a stored reply (a read), it is executed again.
4. A number below the window, above it, or whose stored reply had to be forgotten: -3010, not
   executed.  Numbers may be skipped (their senders gave them up), but not more than a window's width.
"""

from __future__ import annotations

from enum import Enum

Frames = tuple[bytes, ...]


class Verdict(Enum):
    """What is to be done with an arriving number."""

    EXECUTE = "execute"
    DUPLICATE = "duplicate"
    JOIN = "join"
    REPLAY = "replay"
    UNKNOWN = "unknown"


class _Mark(Enum):
    IN_FLIGHT = 1
    DONE_UNSTORED = 2
    FORGOTTEN = 3


_IN_FLIGHT, _EXECUTE = _Mark.IN_FLIGHT, Verdict.EXECUTE
"""By names of their own: Python 3.11 is slow to look for an enumeration's member."""


class ReplyWindow:
    """The window of one session: marks of recent numbers, and stored replies within a byte limit."""

    def __init__(self, width: int, byte_limit: int) -> None:
        """``width`` in requests; ``byte_limit`` for the stored replies together."""
        self._width = width
        self._byte_limit = byte_limit
        self._floor = 1
        self._highest = 0
        self._bytes = 0
        self._marks: dict[int, _Mark | Frames] = {}

    def admit(self, number: int, *, retry: bool, acknowledged_below: int) -> Verdict:
        """Judge an arriving number; after ``EXECUTE`` it is in flight until :meth:`finish`."""
        if acknowledged_below > number or number > self._highest + self._width:
            return Verdict.UNKNOWN
        if acknowledged_below > self._floor:
            self._forget_below(acknowledged_below)
        if not self._floor <= number < self._floor + self._width:
            return Verdict.UNKNOWN
        mark = self._marks.get(number)
        if mark is None:
            self._marks[number] = _IN_FLIGHT
            self._highest = max(self._highest, number)
            return _EXECUTE
        if not retry:
            return Verdict.DUPLICATE
        if mark is _IN_FLIGHT:
            return Verdict.JOIN
        if mark is _Mark.FORGOTTEN:
            return Verdict.UNKNOWN
        if mark is _Mark.DONE_UNSTORED:
            self._marks[number] = _IN_FLIGHT
            return _EXECUTE
        return Verdict.REPLAY

    def is_used_up_by(self, number: int) -> bool:
        """Whether nothing beyond the highest number seen can come before this one is answered."""
        return self._highest >= number + self._width - 1

    def finish(self, number: int, reply: Frames | None) -> None:
        """End a number in flight, storing its reply, or none for what may be executed again."""
        if self._marks.get(number) is not _IN_FLIGHT:
            return
        if reply is None:
            self._marks[number] = _Mark.DONE_UNSTORED
            return
        self._marks[number] = reply
        self._bytes += _size(reply)
        if self._bytes > self._byte_limit:
            self._shed()

    def stored(self, number: int) -> Frames:
        """The stored reply of a number that was judged ``REPLAY``."""
        reply = self._marks[number]
        assert isinstance(reply, tuple)
        return reply

    @property
    def bytes(self) -> int:
        """What is stored, in bytes."""
        return self._bytes

    def forget_replies(self) -> int:
        """Forget all that is stored; returns how many bytes that were."""
        forgotten, self._bytes = self._bytes, 0
        for number, mark in self._marks.items():
            if isinstance(mark, tuple):
                self._marks[number] = _Mark.FORGOTTEN
        return forgotten

    def _forget_below(self, number: int) -> None:
        for old in range(self._floor, number):
            mark = self._marks.pop(old, None)
            if isinstance(mark, tuple):
                self._bytes -= _size(mark)
        self._floor = number

    def _shed(self) -> None:
        for number in sorted(self._marks):
            mark = self._marks[number]
            if isinstance(mark, tuple):
                self._bytes -= _size(mark)
                self._marks[number] = _Mark.FORGOTTEN
                if self._bytes <= self._byte_limit:
                    return

    def check(self) -> None:
        """Invariant: bounded in numbers and bytes, and the bytes are counted right."""
        assert len(self._marks) <= self._width
        assert all(self._floor <= number < self._floor + self._width for number in self._marks)
        assert self._bytes == sum(_size(m) for m in self._marks.values() if isinstance(m, tuple))
        assert self._bytes <= self._byte_limit


def _size(reply: Frames) -> int:
    return sum(map(len, reply))
