"""The asking end of a session: hello, numbering, retries until the deadline, and one outcome a request.

1. Requests are numbered 1, 2, 3 ...; those still unanswered are sent again with the retry flag, at
   intervals that double, until their deadline; all but the first are jittered.
2. -3009 for a number still awaited is the network's repetition: counted, ignored.
3. -3010 ends the session.  Whatever mutates and was in flight ends with -3010: whether it ran is for
   its owner to settle.  What only reads is asked again in the next session.  What a rank says is said
   of the term that its session was admitted to, so of a rank all that mutates ends, sent or not.
4. A reply of an epoch below the highest seen is dropped.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING

from mmc.actors.contract import Send
from mmc.errors import Code, RemoteProtocolError, told_code
from mmc.identifiers import LAST_EPOCH
from mmc.wire.codec import RETRY, Header, decode_body, decode_header, encode, encode_body, encode_header
from mmc.wire.operations import OLDEST_VERSION, WIRE_VERSION, Message, Operation, PeerKind
from mmc.wire.replies import Failure, Welcome
from mmc.wire.requests import Hello, KeepAlive

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmc.actors.contract import Address, Draw, Effect
    from mmc.limits import ClientLimits
    from mmc.wire.sequence import Frames

_KEEP_ALIVE_S = 60.0
_JITTER_STEPS = 256
_ANSWER_S = 0.1
_ANSWER_SHARE = 0.2
_PROBE_SHARE_MS = 3000


class Ticket:
    """One request and its outcome: a reply, or a code."""

    __slots__ = ("attempts", "body", "code", "deadline", "done", "interval", "message", "on_done", "reply",
                 "retry_at", "sequence", "since")  # fmt: skip

    def __init__(
        self,
        message: Message,
        body: Frames,
        deadline: float,
        since: float,
        on_done: Callable[[Ticket], None],
    ) -> None:
        """``body`` is the message's; ``on_done`` is called once, with the ticket."""
        self.message = message
        self.body = body
        self.deadline = deadline
        self.since = since
        self.on_done = on_done
        self.sequence = 0
        self.attempts = 0
        self.interval = 0.0
        self.retry_at = 0.0
        self.done = False
        self.reply: Message | None = None
        self.code = Code.OK

    def finish(self, reply: Message | None, code: Code) -> None:
        """Settle the outcome; only the first counts."""
        if not self.done:
            self.done = True
            self.reply = reply
            self.code = code
            self.on_done(self)


class Link:
    """A session with one service."""

    def __init__(
        self,
        address: Address,
        client: int,
        kind: int,
        limits: ClientLimits,
        draw: Draw,
        on_open: Callable[[Welcome, float], None],
        silent_code: Code,
        target: int = 0,
    ) -> None:
        """``silent_code`` is the outcome when the peer gave no sign of life until the deadline.

        ``target`` is the segment of the rank that is meant.
        """
        self.address = address
        self._client = client
        self._kind = kind
        self._limits = limits
        self._draw = draw
        self._on_open = on_open
        self._silent_code = silent_code
        self._target = target
        self._queue: deque[Ticket] = deque()
        self._in_flight: dict[int, Ticket] = {}
        self._session = 0
        self._left = 0
        self._window = 0
        self._next = 1
        self._answered = 0
        self._hello_nonce = 0
        self._hello_retry_at: float | None = None
        self._hello_interval = 0.0
        self._last_heard = 0.0
        self._last_sent = 0.0
        self._is_probing = False
        self._has_ended = False
        self.epoch = 0
        self.counters: Counter[str] = Counter()
        self.effects: list[Effect] = []

    @property
    def is_open(self) -> bool:
        """Whether a session is open, as far as known."""
        return self._session != 0

    @property
    def is_refused(self) -> bool:
        """Whether no session is open and none is being opened: the last hello was refused."""
        return not self._session and self._hello_retry_at is None

    def take_effects(self) -> list[Effect]:
        """What is to be sent."""
        effects, self.effects = self.effects, []
        return effects

    def request(
        self, message: Message, deadline: float, now: float, on_done: Callable[[Ticket], None]
    ) -> Ticket:
        """Ask; the ticket is done when the answer, the deadline or the session's end comes.

        What cannot be encoded is a fault of the caller, and nothing of it stays behind.
        """
        ticket = Ticket(message, encode_body(message), deadline, now, on_done)
        if self._has_ended:
            ticket.finish(None, self._silent_code)
            return ticket
        self._queue.append(ticket)
        self._pump(now)
        return ticket

    def end(self) -> None:
        """The peer is gone: every request ends at once, now and until :meth:`revive`."""
        self._has_ended = True
        ended = [*self._in_flight.values(), *self._queue]
        self._session = 0
        self._hello_retry_at = None
        self._in_flight.clear()
        self._queue.clear()
        for ticket in ended:
            ticket.finish(None, self._silent_code)

    def let_go(self) -> None:
        """Nobody waits, nor will: whoever would be told is not kept."""
        self._on_open = _ignore
        self._in_flight.clear()
        self._queue.clear()

    def revive(self, address: Address) -> None:
        """The peer is back, at this address."""
        self.address = address
        self._has_ended = False

    def greet(self, now: float) -> None:
        """Open a session if none is open or being opened."""
        if self._session or self._hello_retry_at is not None:
            return
        self._hello_nonce = self._draw()
        self._hello_interval = self._limits.retry_ms / 1000
        self._say_hello(now)

    def _say_hello(self, now: float) -> None:
        hello = Hello(self._client, self._kind, OLDEST_VERSION, WIRE_VERSION, self._target, self._left)
        header = Header(Operation.HELLO, sequence=self._hello_nonce, epoch=self.epoch)
        self.effects.append(Send(self.address, encode(header, hello)))
        self._hello_retry_at = now + self._jittered(self._hello_interval)
        self._hello_interval = min(2 * self._hello_interval, self._limits.retry_max_ms / 1000)

    def _jittered(self, interval: float) -> float:
        return interval * (0.75 + self._draw() % _JITTER_STEPS / (2 * _JITTER_STEPS))

    def _pump(self, now: float) -> None:
        if not self._session:
            if self._queue:
                self.greet(now)
            return
        while self._queue:
            lowest = next(iter(self._in_flight), self._next)
            if self._next - lowest >= self._window:
                return
            if self._next - self._answered > self._window:
                if not self._in_flight:
                    self._lose_session(now)
                return
            ticket = self._queue.popleft()
            if not ticket.done:
                ticket.sequence = self._next
                self._next += 1
                self._in_flight[ticket.sequence] = ticket
                ticket.interval = self._limits.retry_ms / 1000
                self._transmit(ticket, now)

    def _transmit(self, ticket: Ticket, now: float) -> None:
        header = Header(
            ticket.message.operation,
            self._session,
            ticket.sequence,
            RETRY if ticket.attempts else 0,
            self.epoch,
            _deadline_ms(ticket.deadline - now),
            next(iter(self._in_flight)),
        )
        self.counters["retries"] += ticket.attempts > 0
        ticket.attempts += 1
        ticket.retry_at = now + (ticket.interval if ticket.attempts == 1 else self._jittered(ticket.interval))
        ticket.interval = min(2 * ticket.interval, self._limits.retry_max_ms / 1000)
        self._last_sent = now
        self.effects.append(Send(self.address, (encode_header(header), *ticket.body)))

    def receive(self, frames: Frames, now: float) -> None:
        """Take a reply; garbage is counted and dropped."""
        try:
            header = decode_header(frames)
            if header.epoch < self.epoch:
                self.counters["old epoch"] += 1
                self._enlighten(header, now)
                return
            message = decode_body(header, frames)
        except RemoteProtocolError:
            self.counters["malformed"] += 1
            return
        self._last_heard = now
        if isinstance(message, Welcome):
            self._welcome(header, message, now)
        elif header.session != self._session or not self._session:
            self._stray(header, message, now)
        else:
            self._answer(header, message, now)

    def _enlighten(self, header: Header, now: float) -> None:
        """Whoever refuses our session in an earlier epoch lost what it wrote down: a hello tells it."""
        awaited = self._session and header.session == self._session and header.sequence in self._in_flight
        if awaited and header.operation == Operation.FAILURE:
            self._lose_session(now)

    def _welcome(self, header: Header, welcome: Welcome, now: float) -> None:
        if self._hello_retry_at is None or header.sequence != self._hello_nonce:
            self.counters["unawaited replies"] += 1
            return
        if header.epoch > LAST_EPOCH:
            self.counters["malformed"] += 1
            return
        self._hello_retry_at = None
        self.epoch = header.epoch
        self._session = welcome.session
        self._window = welcome.window
        self._next = 1
        self._answered = 0
        self._last_sent = now
        self._on_open(welcome, now)
        self._pump(now)

    def _stray(self, header: Header, message: Message, now: float) -> None:
        """A hello that was refused, or an answer to an earlier session."""
        self.counters["unawaited replies"] += 1
        if not isinstance(message, Failure) or header.session or header.sequence != self._hello_nonce:
            return
        if self._hello_retry_at is not None and message.code != Code.NOT_SERVING:
            self._hello_retry_at = None
            waiting, self._queue = self._queue, deque()
            for ticket in waiting:
                ticket.finish(message, _code_of(message))
        self._last_heard = now

    def _answer(self, header: Header, message: Message, now: float) -> None:
        ticket = self._in_flight.get(header.sequence)
        if isinstance(message, Failure) and message.code == Code.UNKNOWN_SEQUENCE:
            if ticket is None:
                self.counters["unawaited replies"] += 1
            else:
                self._lose_session(now)
            return
        if isinstance(message, Failure) and message.code == Code.DUPLICATE_SEQUENCE:
            self.counters["duplicates"] += 1
            return
        if ticket is None:
            self.counters["unawaited replies"] += 1
            return
        del self._in_flight[header.sequence]
        self._answered = max(self._answered, header.sequence)
        self._pump(now)
        ticket.finish(message, _code_of(message))

    def _lose_session(self, now: float) -> None:
        self.counters["sessions lost"] += 1
        self._left, self._session = self._session, 0
        lost, self._in_flight = list(self._in_flight.values()), {}
        if self._kind == PeerKind.RANK:
            lost += self._queue
            self._queue.clear()
        again = []
        for ticket in lost:
            if ticket.message.mutates:
                ticket.finish(None, Code.UNKNOWN_SEQUENCE)
            else:
                ticket.attempts = 0
                again.append(ticket)
        self._queue.extendleft(reversed(again))
        self.greet(now)

    def expire(self, now: float) -> None:
        """Send again what is due, end what is past its deadline, keep the session alive."""
        for ticket in [*self._in_flight.values(), *self._queue]:
            if self._end_of(ticket) <= now:
                self._in_flight.pop(ticket.sequence, None)
                heard = self._last_heard >= ticket.since
                ticket.finish(None, Code.TIMED_OUT if heard else self._silent_code)
            elif ticket.attempts and ticket.retry_at <= now:
                self._probe(ticket, now)
                self._transmit(ticket, now)
        if any(ticket.done for ticket in self._queue):
            self._queue = deque(ticket for ticket in self._queue if not ticket.done)
        if self._session:
            self._pump(now)
        if self._hello_retry_at is not None and self._hello_retry_at <= now:
            self._say_hello(now)
        if self._session and self._last_sent + _KEEP_ALIVE_S <= now:
            self.request(KeepAlive(), now + _KEEP_ALIVE_S / 2, now, lambda _: None)

    def _end_of(self, ticket: Ticket) -> float:
        """When the wait for an answer ends; a peer that has answered nothing since is given up sooner."""
        if self._last_heard >= ticket.since:
            return ticket.deadline
        return min(ticket.deadline, ticket.since + self._limits.unanswered_ms / 1000)

    def _probe(self, ticket: Ticket, now: float) -> None:
        """A request that waits long may be at work: ask for a sign of life beside it."""
        waited = now - max(ticket.since, self._last_heard)
        if waited >= self._limits.unanswered_ms / _PROBE_SHARE_MS and not self._is_probing:
            self._is_probing = True
            self.request(KeepAlive(), ticket.deadline, now, self._probed)

    def _probed(self, _ticket: Ticket) -> None:
        self._is_probing = False

    def next_deadline(self) -> float | None:
        """When :meth:`expire` has something to do."""
        times = []
        if self._hello_retry_at is not None:
            times.append(self._hello_retry_at)
        if self._session:
            times.append(self._last_sent + _KEEP_ALIVE_S)
        for ticket in self._in_flight.values():
            times += (self._end_of(ticket), ticket.retry_at or ticket.deadline)
        for ticket in self._queue:
            times.append(self._end_of(ticket))
        return min(times, default=None)


def _ignore(_welcome: Welcome, _now: float) -> None:
    pass


def _deadline_ms(left_s: float) -> int:
    """What the peer is told of the time left: a little less, so that its last word arrives in time."""
    return max(0, int(1000 * (left_s - min(_ANSWER_S, _ANSWER_SHARE * left_s))))


def _code_of(message: Message) -> Code:
    return told_code(message.code) if isinstance(message, Failure) else Code.OK
