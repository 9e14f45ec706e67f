"""What a client does over one connection to a data server: fetch, probe, and the steps of an upload.

An errand is a conversation (``talk``) and the settling of its outcome (``fail``): one of both is its end.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from xxhash import xxh3_64

from mmc.errors import Code, RemoteProtocolError, told_code
from mmc.transfer.stream import message_bytes
from mmc.wire import blocks, replies
from mmc.wire.codec import Header

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mmc.actors.client.far import Block, Guess
    from mmc.identifiers import Member
    from mmc.transfer.stream import Stream, Waits
    from mmc.wire.operations import Message

    Count = Callable[[str, int], None]
    """Adds to a counter of this name."""


_SILENT_S = 0.5


class Errand(Protocol):
    """Something to be done with one rank; ``stream`` is the connection if it has one of its own."""

    member: Member
    until: float
    stream: Stream | None
    keeps_connection: bool
    """Whether it goes on to use the connection when it is done."""
    silent_s: float
    """How long its rank may say nothing at all before it is given up."""

    @property
    def size(self) -> int:
        """Bytes of objects that travel."""
        ...

    @property
    def may_repeat(self) -> bool:
        """Whether it may be begun again over another connection, should one that was kept have ended."""
        ...

    def talk(self, stream: Stream, now: Callable[[], float]) -> Waits[None]:
        """Do it."""
        ...

    def fail(self, code: Code) -> None:
        """It ended before it was done."""
        ...

    def done(self, stream: Stream) -> bool:
        """It is done; whether the connection is kept by whoever the errand belongs to."""
        ...


def ask(
    stream: Stream,
    message: Message,
    until: float,
    now: Callable[[], float],
    *,
    before: memoryview | None = None,
    behind: memoryview | None = None,
) -> Waits[None]:
    """Send a request that is to be done by a time, with bytes before it and behind it."""
    header = Header(message.operation, deadline_ms=max(0, int((until - now()) * 1000)))
    said = message_bytes(header, message)
    yield from stream.send_parts([part for part in (before, said, behind) if part is not None])


def reason_of(refusal: replies.Failure) -> Code:
    """Why a request was refused.

    Raises:
        RemoteProtocolError: for no reason.
    """
    code = told_code(refusal.code)
    if code == Code.OK:
        raise RemoteProtocolError("a refusal has a reason")
    return code


class _Whole:
    """An errand over a connection of whichever is free, which may be repeated."""

    stream: Stream | None = None
    may_repeat = True
    keeps_connection = False
    silent_s = math.inf

    def __init__(self, member: Member, wanted: Sequence[Block], until: float, count: Count) -> None:
        """``wanted`` get their codes."""
        self.member = member
        self.until = until
        self.blocks = wanted
        self._count = count

    def fail(self, code: Code) -> None:
        """None of what is not there is known."""
        for block in self.blocks:
            if block.code != Code.OK:
                block.code = code

    def done(self, stream: Stream) -> bool:
        """The connection may be used by others."""
        return False

    def _refused(self, message: Message) -> None:
        if not isinstance(message, replies.Failure):
            raise RemoteProtocolError(f"{type(message).__name__} answers nothing that was asked")
        self.fail(reason_of(message))


class _Receiving(_Whole):
    """Receives objects into the buffers of blocks."""

    def _receive(self, stream: Stream) -> Waits[None]:
        """Receive the blocks whose code is 0, and compare them with what was sent."""
        coming = [block for block in self.blocks if block.code == Code.OK]
        digests = []
        for block in coming:
            block.code = Code.UNREACHABLE  # until its bytes are here, and known to be whole
        for block in coming:
            digest = xxh3_64()
            for target in block.targets:
                yield from stream.fill(target, digest)
            digests.append(digest.intdigest())
        _, sent = yield from stream.receive_message(at_once=True)
        if not isinstance(sent, blocks.Sent) or len(sent.codes) != len(coming):
            raise RemoteProtocolError("bytes are followed by what became of them")
        for block, digest_here, code, digest_there in zip(
            coming, digests, sent.codes, sent.digests, strict=True
        ):
            if code == Code.OK and digest_here != digest_there:
                self._count("remote_damaged", 1)
                continue
            block.code = told_code(code)
            self._count("remote_read_bytes", block.place.size)


class Fetching(_Receiving):
    """Has objects sent into the buffers of blocks."""

    @property
    def size(self) -> int:
        """Bytes that arrive."""
        return sum([block.place.size for block in self.blocks])

    def talk(self, stream: Stream, now: Callable[[], float]) -> Waits[None]:
        """Ask, receive, compare."""
        places = [block.place for block in self.blocks]
        fetch = blocks.Fetch(
            self.member.segment,
            tuple([place.record for place in places]),
            tuple([place.generation for place in places]),
            tuple([place.size for place in places]),
        )
        yield from ask(stream, fetch, self.until, now)
        _, sending = yield from stream.receive_message()
        if not isinstance(sending, blocks.Sending) or len(sending.codes) != len(places):
            self._refused(sending)
            return
        for block, code in zip(self.blocks, sending.codes, strict=True):
            block.code = told_code(code)
        yield from self._receive(stream)


class Seeking(_Receiving):
    """Has objects sent that may be there, as they are found by their keys.

    A rank that is silent is not waited for: what it is asked for may lie on another.
    """

    silent_s = _SILENT_S

    def __init__(
        self, member: Member, wanted: Sequence[Guess], most: int, until: float, count: Count
    ) -> None:
        """At most ``most`` bytes come."""
        super().__init__(member, wanted, until, count)
        self._guesses = wanted
        self._most = most

    @property
    def size(self) -> int:
        """Bytes that arrive if all is there."""
        return sum([guess.size for guess in self._guesses])

    def talk(self, stream: Stream, now: Callable[[], float]) -> Waits[None]:
        """Ask, make room, receive, compare."""
        seek = blocks.Seek(
            self.member.segment,
            self._most,
            tuple([guess.key for guess in self._guesses]),
            tuple([guess.size for guess in self._guesses]),
        )
        yield from ask(stream, seek, self.until, now)
        _, sought = yield from stream.receive_message()
        if not isinstance(sought, blocks.Sought) or len(sought.codes) != len(self._guesses):
            self._refused(sought)
            return
        if sum(sought.sizes) > self._most:
            raise RemoteProtocolError("more is sent than was asked for")
        for guess, code, record, generation, size in zip(
            self._guesses, sought.codes, sought.records, sought.generations, sought.sizes, strict=True
        ):
            if code == Code.OK:
                if size < 1 or guess.size not in (0, size):
                    raise RemoteProtocolError("an object of another size is sent")
                guess.found(record, generation, size)
        for guess, code in zip(self._guesses, sought.codes, strict=True):
            guess.code = told_code(code)
        yield from self._receive(stream)


class Probing(_Whole):
    """Asks whether blocks are published."""

    size = 0

    def talk(self, stream: Stream, now: Callable[[], float]) -> Waits[None]:
        """Ask."""
        places = [block.place for block in self.blocks]
        probe = blocks.Probe(
            self.member.segment,
            tuple([place.record for place in places]),
            tuple([place.generation for place in places]),
        )
        yield from ask(stream, probe, self.until, now)
        _, answer = yield from stream.receive_message()
        if not isinstance(answer, replies.Codes) or len(answer.codes) != len(places):
            self._refused(answer)
            return
        for block, code in zip(self.blocks, answer.codes, strict=True):
            block.code = told_code(code)
