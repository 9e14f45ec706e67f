"""Objects on their way to one rank of another host: one connection from their beginning to their end.

Whatever goes wrong closes the connection, upon which the data server abandons what was not published.  Only
when the answer to *publish* is what is missing, nobody knows.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from xxhash import xxh3_64

from mmc.errors import Code, RemoteProtocolError, told_code
from mmc.transfer.errands import ask, reason_of
from mmc.wire import blocks, replies
from mmc.wire.blocks import EARLY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mmc.actors.client.draft import Draft
    from mmc.identifiers import Member
    from mmc.transfer.connections import Connections
    from mmc.transfer.errands import Count
    from mmc.transfer.stream import Digest, Stream, Waits

_HELD_BACK_BYTES = 1 << 14
"""So many of the last bytes wait for the digest, and go with it."""


class _Step:
    """One errand of an upload; ``unknown`` is the code of its blocks should it end before it is done."""

    may_repeat = False
    keeps_connection = True
    silent_s = math.inf

    def __init__(
        self,
        upload: Uploading,
        talk: Callable[[Stream, Callable[[], float]], Waits[None]],
        positions: Sequence[int],
        *,
        size: int = 0,
        unknown: Code | None = None,
    ) -> None:
        self.member = upload.member
        self.until = upload.until
        self.stream = upload.stream
        self.size = size
        self._upload = upload
        self._unknown = unknown
        self._positions = positions
        self.talk = talk

    def fail(self, code: Code) -> None:
        """The upload has ended."""
        for position in self._positions:
            self._upload.codes[position] = self._unknown or code
        self._upload.lose(code)

    def done(self, stream: Stream) -> bool:
        """The connection stays the upload's."""
        self._upload.stream = stream
        return True


class _First(_Step):
    """The first errand: nothing has happened yet if its connection turns out to have ended."""

    may_repeat = True


class Uploading:
    """See :class:`mmc.actors.client.far.Upload`."""

    def __init__(
        self,
        member: Member,
        drafts: Sequence[Draft],
        pieces: dict[bytes, Sequence[memoryview]],
        until: float,
        connections: Connections,
        count: Count,
    ) -> None:
        """Nothing is sent yet."""
        self.member = member
        self.until = until
        self.stream: Stream | None = None
        self.codes = [Code.OK] * len(drafts)
        self.places: list[tuple[int, int]] = [(0, 0)] * len(drafts)
        self._drafts = drafts
        self._pieces = [pieces[draft.key] for draft in drafts]
        self._connections = connections
        self._count = count
        self._open: set[int] = set()
        self._early = xxh3_64()
        self._has_landed = False

    def beginning(self, until: float) -> _Step:
        """Have records reserved, by a time, and versions stored in them."""
        first = _First(self, self._begin, range(len(self._drafts)))
        first.until = until
        return first

    def landing(self) -> _Step | None:
        """Send the bytes of what was granted, if anything was."""
        if not self._open:
            return None
        size = sum(self._drafts[position].size for position in self._open)
        return _Step(self, self._land, (), size=size)

    def publishing(self, positions: Sequence[int], term: int) -> _Step:
        """Have some of them published."""

        def publish(stream: Stream, now: Callable[[], float]) -> Waits[None]:
            yield from self._end_some(stream, now, blocks.Publish(term, tuple(positions)), positions)

        return _Step(self, publish, positions, unknown=Code.UNKNOWN_SEQUENCE)

    def abandoning(self) -> _Step | None:
        """Have what was not published given up."""
        positions = sorted(self._open)
        if not positions or self.stream is None or not self._has_landed:
            return None

        def abandon(stream: Stream, now: Callable[[], float]) -> Waits[None]:
            yield from self._end_some(stream, now, blocks.Abandon(tuple(positions)), positions)

        return _Step(self, abandon, ())

    def end(self) -> None:
        """Let go of the connection; whatever is open is abandoned with it."""
        self._give_back(keep=not self._open)

    def _give_back(self, *, keep: bool) -> None:
        stream, self.stream = self.stream, None
        if stream is not None:
            self._connections.give_back(stream, keep=keep)
        self._open.clear()

    def lose(self, code: Code) -> None:
        """The connection is gone: none of what was open can be published any more."""
        for position in self._open:
            if self.codes[position] == Code.OK:
                self.codes[position] = code
        self._give_back(keep=False)

    # Conversations

    def _begin(self, stream: Stream, now: Callable[[], float]) -> Waits[None]:
        drafts, version = self._drafts, self._drafts[0].version
        begin = blocks.Begin(
            self.member.segment,
            version.epoch,
            version.client,
            version.counter,
            tuple([draft.version.position for draft in drafts]),
            tuple([draft.key for draft in drafts]),
            tuple([draft.size for draft in drafts]),
        )
        self._early = xxh3_64()
        first, *others = _cut(self._pieces[0], 0, EARLY_BYTES)
        yield from ask(stream, begin, self.until, now, behind=first)
        self._early.update(first)
        yield from _send(stream, others, self._early)
        _, begun = yield from stream.receive_message()
        if isinstance(begun, replies.Failure):
            self.codes = [reason_of(begun)] * len(drafts)
            return
        if not isinstance(begun, blocks.Begun) or len(begun.codes) != len(drafts):
            raise RemoteProtocolError("that is no answer to a begin")
        self.codes = [told_code(code) for code in begun.codes]
        self.places = list(zip(begun.records, begun.generations, strict=True))
        self._open = {position for position, code in enumerate(self.codes) if code == Code.OK}

    def _land(self, stream: Stream, now: Callable[[], float]) -> Waits[None]:
        granted = sorted(self._open)
        digests = []
        last: memoryview | None = None
        for position in granted:
            digest = self._early if position == 0 else xxh3_64()
            sent = EARLY_BYTES if position == 0 else 0
            size = self._drafts[position].size
            parts = list(_cut(self._pieces[position], sent, size))
            if position == granted[-1] and parts:
                rest = parts.pop()
                cut = max(0, len(rest) - _HELD_BACK_BYTES)
                parts.append(rest[:cut])
                last = rest[cut:]
            yield from _send(stream, parts, digest)
            if last is not None:
                digest.update(last)
            digests.append(digest.intdigest())
            self._count("remote_written_bytes", size)
        yield from ask(stream, blocks.Landed(tuple(digests)), self.until, now, before=last)
        self._has_landed = True

    def _end_some(
        self,
        stream: Stream,
        now: Callable[[], float],
        message: blocks.Publish | blocks.Abandon,
        positions: Sequence[int],
    ) -> Waits[None]:
        yield from ask(stream, message, self.until, now)
        _, answer = yield from stream.receive_message()
        if not isinstance(answer, replies.Codes) or len(answer.codes) != len(positions):
            raise RemoteProtocolError("that is no answer to a publish")
        for position, code in zip(positions, answer.codes, strict=True):
            self._open.discard(position)
            if isinstance(message, blocks.Publish):
                self.codes[position] = told_code(code)


def _cut(pieces: Sequence[memoryview], start: int, end: int) -> Iterator[memoryview]:
    """The bytes from ``start`` to ``end`` of pieces that follow one another, as parts of them."""
    at = 0
    for piece in pieces:
        size = len(piece)
        if at < end and at + size > start:
            yield piece[max(0, start - at) : min(size, end - at)]
        at += size


def _send(stream: Stream, parts: Sequence[memoryview] | Iterator[memoryview], digest: Digest) -> Waits[None]:
    for part in parts:
        yield from stream.send(part, digest)
