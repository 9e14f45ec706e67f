"""The front desk of a service: sessions, sequence windows, and coded answers to what is not valid.

Nothing reaches a service that is not a well-formed request of a known session of this epoch with a
number to be executed; everything else is answered here, counted, and has no effect.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

from mmc.actors.contract import Effect, Note, Send
from mmc.errors import Code, RemoteProtocolError
from mmc.wire.codec import RETRY, Header, decode_body, decode_header, encode
from mmc.wire.operations import OLDEST_VERSION, WIRE_VERSION, Operation
from mmc.wire.replies import Failure
from mmc.wire.requests import Hello
from mmc.wire.sequence import Frames, ReplyWindow, Verdict

if TYPE_CHECKING:
    from mmc.actors.contract import Address, Draw
    from mmc.limits import WireLimits
    from mmc.wire.operations import Message

_LONGEST_DEADLINE_S = 600.0
_NO_HEADER = Header(Operation.FAILURE)
_HELLO, _EXECUTE = Operation.HELLO, Verdict.EXECUTE
"""By names of their own: Python 3.11 is slow to look for an enumeration's member."""


class Session:
    """One connection of one peer, and the window of its numbers."""

    __slots__ = ("client", "kind", "last_seen", "number", "window")

    def __init__(self, number: int, hello: Hello, window: ReplyWindow, now: float) -> None:
        """Opened by a hello."""
        self.number = number
        self.client = hello.client
        self.kind = hello.kind
        self.window = window
        self.last_seen = now


class Request:
    """A request to be executed and then replied to, once."""

    __slots__ = ("deadline", "epoch", "message", "replied", "sequence", "session", "source")

    def __init__(
        self, source: Address, session: Session | None, header: Header, message: Message, now: float
    ) -> None:
        """``session`` is None for a hello, whose ``epoch`` is the last that its sender knows."""
        self.source = source
        self.session = session
        self.sequence = header.sequence
        self.epoch = header.epoch
        self.message = message
        self.deadline = now + min(header.deadline_ms / 1000, _LONGEST_DEADLINE_S)
        self.replied = False


class Reception:
    """Sessions of one service."""

    def __init__(
        self, limits: WireLimits, requests: tuple[type[Message], ...], epoch: int, draw: Draw
    ) -> None:
        """``requests`` are the messages that this service answers; ``draw`` numbers sessions."""
        self._limits = limits
        self._operations = frozenset(kind.operation for kind in requests)
        self._draw = draw
        self.epoch = epoch
        self._sessions: OrderedDict[int, Session] = OrderedDict()
        self._parted: OrderedDict[int, None] = OrderedDict()
        self._in_flight: dict[tuple[int, int], Request] = {}
        self._stored = 0
        self.counters: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many sessions are open."""
        return len(self._sessions)

    @property
    def window_requests(self) -> int:
        """How many requests of one session may be in flight."""
        return self._limits.window_requests

    def restart(self, epoch: int) -> None:
        """Begin a new epoch: every session is over."""
        self.epoch = epoch
        self._sessions.clear()
        self._in_flight.clear()

    def receive(self, source: Address, frames: Frames, now: float) -> tuple[Request | None, list[Effect]]:
        """Judge what arrived: a request to execute, or the effects that answer it."""
        header = _NO_HEADER
        try:
            header = decode_header(frames)
            if header.operation not in self._operations:
                return None, self._refuse(
                    source, header, Code.UNKNOWN_OPERATION, "not answered here", "unknown operation"
                )
            if header.operation == _HELLO:
                return self._greet(source, header, frames, now)
            return self._admit(source, header, frames, now)
        except RemoteProtocolError as error:
            effects = self._refuse(source, header, error.code, error.sentence, "malformed")
            return None, [*effects, Note("malformed message", error.sentence)]

    def _greet(
        self, source: Address, header: Header, frames: Frames, now: float
    ) -> tuple[Request | None, list[Effect]]:
        hello = decode_body(header, frames)
        assert isinstance(hello, Hello)
        if hello.oldest_version > WIRE_VERSION or hello.newest_version < OLDEST_VERSION:
            raise RemoteProtocolError(
                f"no common wire version: {OLDEST_VERSION} to {WIRE_VERSION} are spoken here"
            )
        if len(self._sessions) >= self._limits.sessions_max:
            return None, self._refuse(source, header, Code.TOO_LARGE, "too many sessions", "sessions refused")
        return Request(source, None, header, hello, now), []

    def open(self, hello: Hello, now: float) -> Session:
        """A new session, numbered as none before it; the one that its client has left ends."""
        left = self._sessions.get(hello.left)
        if left is not None and left.client == hello.client:
            del self._sessions[left.number]
        number = self._draw()
        while number in self._sessions or not number:
            number = self._draw()
        window = ReplyWindow(self._limits.window_requests, self._limits.window_bytes)
        session = self._sessions[number] = Session(number, hello, window, now)
        self.counters["hellos"] += 1
        return session

    def close(self, session: Session) -> None:
        """End a session whose peer has said goodbye."""
        self._sessions.pop(session.number, None)
        self._parted[session.number] = None
        if len(self._parted) > self._limits.sessions_max:
            self._parted.popitem(last=False)

    def has_parted(self, number: int) -> bool:
        """Whether the peer of this session has said goodbye, as far as remembered."""
        return number in self._parted

    def _admit(
        self, source: Address, header: Header, frames: Frames, now: float
    ) -> tuple[Request | None, list[Effect]]:
        session = self._sessions.get(header.session)
        if session is None or header.epoch != self.epoch:
            return None, self._refuse(
                source,
                header,
                Code.UNKNOWN_SEQUENCE,
                "unknown session or epoch",
                "unknown sequence",
            )
        message = decode_body(header, frames)
        session.last_seen = now
        self._sessions.move_to_end(session.number)
        retry = bool(header.flags & RETRY)
        verdict = session.window.admit(
            header.sequence, retry=retry, acknowledged_below=header.acknowledged_below
        )
        if verdict is _EXECUTE:
            request = Request(source, session, header, message, now)
            self._in_flight[session.number, header.sequence] = request
            self.counters["requests"] += 1
            return request, []
        if verdict is Verdict.REPLAY:
            self.counters["replays"] += 1
            return None, [Send(source, session.window.stored(header.sequence))]
        if verdict is Verdict.JOIN:
            self.counters["joins"] += 1
            waiting = self._in_flight.get((session.number, header.sequence))
            if waiting is not None:
                waiting.source = source
            return None, []
        if verdict is Verdict.DUPLICATE:
            return None, self._refuse(
                source, header, Code.DUPLICATE_SEQUENCE, "number already used", "duplicate sequence"
            )
        return None, self._refuse(
            source, header, Code.UNKNOWN_SEQUENCE, "number not in the window", "unknown sequence"
        )

    def reply(self, request: Request, message: Message) -> list[Effect]:
        """Answer a request, once; the reply to what mutates is kept for retries."""
        if request.replied:
            return []
        request.replied = True
        session = request.session
        number = 0 if session is None else session.number
        frames = encode(Header(0, number, request.sequence, 0, self.epoch), message)
        if session is not None:
            if self._in_flight.pop((session.number, request.sequence), None) is None:
                return []
            keep = request.message.mutates
            session.window.finish(request.sequence, frames if keep else None)
            if keep:
                self._stored += sum(map(len, frames))
                if self._stored > self._limits.replies_max_bytes:
                    self._forget_replies()
        return [Send(request.source, frames)]

    def _forget_replies(self) -> None:
        """Make room for replies to come: those of the sessions that were heard least lately go first.

        ``_stored`` counts what was stored and not what was acknowledged since, so that it is seldom looked.
        """
        self._stored = sum(session.window.bytes for session in self._sessions.values())
        for session in self._sessions.values():
            if 2 * self._stored <= self._limits.replies_max_bytes:
                return
            self.counters["replies forgotten"] += 1
            self._stored -= session.window.forget_replies()

    def fail(self, request: Request, code: Code, sentence: str) -> list[Effect]:
        """Refuse a request as a whole."""
        self.counters[f"failed {code.name.lower()}"] += 1
        return self.reply(request, Failure(int(code), sentence))

    def _refuse(
        self, source: Address, header: Header, code: Code, sentence: str, counter: str
    ) -> list[Effect]:
        self.counters[counter] += 1
        answer = Header(Operation.FAILURE, header.session, header.sequence, epoch=self.epoch)
        return [Send(source, encode(answer, Failure(int(code), sentence)))]

    def expire(self, now: float) -> None:
        """End sessions that were silent for too long."""
        limit = now - self._limits.session_idle_ms / 1000
        while self._sessions:
            number, session = next(iter(self._sessions.items()))
            if session.last_seen > limit:
                return
            del self._sessions[number]

    def check(self) -> None:
        """Invariants: windows are bounded, and only numbers in flight are awaited."""
        for session in self._sessions.values():
            session.window.check()
        stored = sum(session.window.bytes for session in self._sessions.values())
        assert stored <= self._stored <= self._limits.replies_max_bytes
        assert not any(request.replied for request in self._in_flight.values())


def answer_fault(source: Address, frames: Frames) -> list[Effect]:
    """-1 to whoever asked what a service stumbled over."""
    try:
        header = decode_header(frames)
    except RemoteProtocolError:
        return []
    answer = Header(Operation.FAILURE, header.session, header.sequence, epoch=header.epoch)
    failure = Failure(int(Code.INTERNAL), "a fault inside the service; its log has the stack")
    return [Send(source, encode(answer, failure))]
