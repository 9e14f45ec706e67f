"""Clients that have a receiver write into its ledger, over a network that does what it likes.

Receiver and clients are the real ends of a session; every fault is a method, so that any schedule of them
can be chosen.  What must hold is checked where it shows: see :mod:`tests.properties.test_at_most_once`.
"""

from __future__ import annotations

from functools import partial
from itertools import count
from typing import NamedTuple

from mmc.actors.contract import META, Effect, Send
from mmc.actors.link import Link, Ticket
from mmc.actors.reception import Reception, Request
from mmc.errors import Code
from mmc.wire.codec import RETRY, Header, decode_body, decode_header
from mmc.wire.operations import Operation
from mmc.wire.replies import Codes, Failure, Welcome
from mmc.wire.requests import REQUESTS_TO_META, Hello, KeepAlive, Remove
from mmc.wire.sequence import Frames
from tests.conversation import CLIENT_LIMITS, wire_limits

CLIENTS = 2
AMPLE_BYTES = 1 << 20
_ROUNDS = 40
_CONNECTIONS = 1000
_TICK_S = 1e-6


class Entry(NamedTuple):
    """A line of the ledger: which request was executed, and in which life of the receiver."""

    request: int
    life: int


class Message(NamedTuple):
    """Frames under way between a client's connection and a life of the receiver."""

    source: bytes
    frames: Frames
    life: int


class Asked:
    """A request, and what its caller was told: ``refused_by`` is the life that answered -3010."""

    def __init__(self, number: int, deadline: float, length: int) -> None:
        """Asked when the ledger had so many lines."""
        self.number = number
        self.deadline = deadline
        self.length_before = length
        self.code: Code | None = None
        self.refused_by: int | None = None


class Receiver:
    """Writes each request that it is to execute into its ledger, and answers, later, with the line."""

    def __init__(self, width: int, window_bytes: int) -> None:
        """Its first life begins; the ledger outlives them all."""
        self._limits = wire_limits(width, window_bytes)
        self._numbers = count(1)
        self.life = 1
        self.epoch = 1
        self.ledger: list[Entry] = []
        self.waiting: list[tuple[Request, int]] = []
        self.seen: set[str] = set()
        self._opened: dict[int, int] = {}
        self._said: dict[tuple[int, int], Frames] = {}
        self._arrived: set[tuple[int, int]] = set()
        self.reception = self._reception()

    def _reception(self) -> Reception:
        return Reception(self._limits, REQUESTS_TO_META, self.epoch, lambda: next(self._numbers))

    def receive(self, source: bytes, frames: Frames, now: float) -> list[Effect]:
        """Take what arrives."""
        header = decode_header(frames)
        request, effects = self.reception.receive(source, frames, now)
        if request is None:
            return self._not_executed(header, effects)
        self._arrived.add((header.session, header.sequence))
        match request.message:
            case Hello() as hello:
                session = self.reception.open(hello, now)
                self._opened[session.number] = self.life
                width = self._limits.window_requests
                return self.reception.reply(request, Welcome(session.number, 1, width, 0, "", 0, ()))
            case Remove((key,)):
                return self._execute(request, header, int(key))
            case _:
                assert isinstance(request.message, KeepAlive)
                return self.reception.reply(request, Codes(()))

    def _execute(self, request: Request, header: Header, number: int) -> list[Effect]:
        assert all(entry.request != number for entry in self.ledger), "executed twice"
        assert self._opened.get(header.session) == self.life, "executed for a session of another life"
        self.ledger.append(Entry(number, self.life))
        self.waiting.append((request, len(self.ledger)))
        return []

    def _not_executed(self, header: Header, effects: list[Effect]) -> list[Effect]:
        """What answers a copy that is not executed: the reply again, a refusal, or nothing yet."""
        number = header.session, header.sequence
        if not effects:
            assert number in self._arrived, "not answered, and never executed"
            self.seen.add("joined")
        for code in map(_refusal, effects):
            if code is None:
                assert header.flags & RETRY, "a reply repeated for a copy of the network"
                self.seen.add("replayed")
            elif code == Code.DUPLICATE_SEQUENCE:
                assert not header.flags & RETRY, "a retry taken for a copy of the network"
                assert number in self._arrived, "a first copy taken for a second"
                self.seen.add("duplicate")
            else:
                assert code == Code.UNKNOWN_SEQUENCE
        return self._note(effects)

    def answer(self, at: int) -> list[Effect]:
        """Answer something that was executed."""
        request, line = self.waiting.pop(at)
        return self._note(self.reception.reply(request, Codes((line,))))

    def _note(self, effects: list[Effect]) -> list[Effect]:
        """Every reply to one number is the same, byte for byte."""
        for effect in effects:
            assert isinstance(effect, Send)
            header = decode_header(effect.frames)
            if header.operation == Operation.CODES:
                number = header.session, header.sequence
                assert self._said.setdefault(number, effect.frames) == effect.frames, "another reply"
        return effects

    def begin_life(self, *, remembers_epoch: bool, is_process: bool) -> None:
        """Without memory: as another process, or by a new epoch; without its state file in the same one."""
        self.life += 1
        self.epoch += not (is_process and not remembers_epoch)
        if is_process:
            self.reception = self._reception()
            self.waiting.clear()
        else:
            self.reception.restart(self.epoch)


def _refusal(effect: Effect) -> int | None:
    """The code of a refusal, None of any other reply."""
    assert isinstance(effect, Send)
    message = decode_body(decode_header(effect.frames), effect.frames)
    return message.code if isinstance(message, Failure) else None


class Story:
    """What happened between some clients and a receiver, and what is under way."""

    def __init__(self, width: int, window_bytes: int) -> None:
        """They have not met."""
        chances = count(1)
        self.receiver = Receiver(width, window_bytes)
        self.forgets = window_bytes < AMPLE_BYTES
        self.has_expired = False
        self.links = [
            Link(META, client, 0, CLIENT_LIMITS, lambda: next(chances), _opened, Code.META_UNREACHABLE)
            for client in range(CLIENTS)
        ]
        self.now = 0.0
        self.up: list[Message] = []
        self.down: list[Message] = []
        self.asked: list[Asked] = []
        self._connection = 0
        self._heard: int | None = None

    def meet(self) -> None:
        """Every client opens a session, as long as nothing goes wrong yet."""
        for client in range(CLIENTS):
            self.ask(client, 30.0)
        while self.up or self.down or self.receiver.waiting:
            self.deliver_all()

    # What may happen

    def ask(self, client: int, timeout: float) -> Asked:
        """A client asks for another line."""
        asked = Asked(len(self.asked) + 1, self.now + timeout, len(self.receiver.ledger))
        self.asked.append(asked)
        message = Remove((b"%d" % asked.number,))
        self.links[client].request(message, asked.deadline, self.now, partial(self._done, asked))
        self._collect()
        return asked

    def deliver_up(self, at: int) -> None:
        """Any message under way reaches the receiver."""
        source, frames, _ = self.up.pop(at)
        before = len(self.receiver.ledger)
        self._reply(self.receiver.receive(source, frames, self.now))
        for entry in self.receiver.ledger[before:]:
            self._check_execution(entry)

    def deliver_down(self, at: int) -> None:
        """Any message under way reaches its client, if that has the connection still."""
        message = self.down.pop(at)
        client, connection = divmod(int(message.source), _CONNECTIONS)
        if connection == self._connection:
            self._heard = message.life
            self.links[client].receive(message.frames, self.now)
            self._heard = None
            self._collect()

    def answer(self, at: int) -> None:
        """The receiver answers something that it has executed."""
        self._reply(self.receiver.answer(at))

    def restart_broker(self) -> None:
        """Everything under way is lost, and every client has another connection."""
        self.up.clear()
        self.down.clear()
        self._connection += 1

    def pass_time(self, passed: float) -> None:
        """Time goes on, and everybody does what is due."""
        self.now += passed
        for link in self.links:
            link.expire(self.now)
        self._collect()
        sessions = len(self.receiver.reception)
        self.receiver.reception.expire(self.now)
        self.has_expired |= len(self.receiver.reception) < sessions
        late = [asked for asked in self.asked if asked.code is None and asked.deadline <= self.now]
        assert not late, "not told by the deadline"

    def wait_until_due(self) -> None:
        """Time goes on until a client has something to do."""
        due = [deadline for link in self.links if (deadline := link.next_deadline()) is not None]
        self.pass_time(max(_TICK_S, min(due, default=self.now) - self.now))

    def deliver_all(self) -> None:
        """For once everything arrives, and is answered, in order."""
        for _ in range(len(self.up)):
            self.deliver_up(0)
        for _ in range(len(self.receiver.waiting)):
            self.answer(0)
        for _ in range(len(self.down)):
            self.deliver_down(0)

    def _collect(self) -> None:
        for client, link in enumerate(self.links):
            source = b"%d" % (_CONNECTIONS * client + self._connection)
            for effect in link.take_effects():
                assert isinstance(effect, Send)
                self.up.append(Message(source, effect.frames, self.receiver.life))

    def _reply(self, effects: list[Effect]) -> None:
        for effect in effects:
            assert isinstance(effect, Send)
            assert isinstance(effect.to, bytes)
            self.down.append(Message(effect.to, effect.frames, self.receiver.life))

    # What must hold

    def _done(self, asked: Asked, ticket: Ticket) -> None:
        assert asked.code is None, "told twice"
        asked.code = ticket.code
        lines = [entry for entry in self.receiver.ledger if entry.request == asked.number]
        match ticket.code:
            case Code.OK:
                assert isinstance(ticket.reply, Codes)
                assert lines, "told of success, and never executed"
                told = [self.receiver.ledger[line - 1] for line in ticket.reply.codes]
                assert lines == told, "told of another's line"
                assert ticket.reply.codes[0] > asked.length_before, "executed before it was asked"
            case Code.UNKNOWN_SEQUENCE:
                assert self._heard is not None, "-3010 is what a receiver said"
                asked.refused_by = self._heard
                self._check_refusal(asked, lines)
            case _:
                assert ticket.code in (Code.TIMED_OUT, Code.META_UNREACHABLE)
                assert asked.deadline <= self.now, "given up before the deadline"
                self.receiver.seen.add("given up, and executed" if lines else "given up")

    def _check_refusal(self, asked: Asked, lines: list[Entry]) -> None:
        """Told -3010: if it was executed, then in a life before that which said so, unless that forgot."""
        assert asked.refused_by is not None
        self.receiver.seen.add("refused, and executed earlier" if lines else "refused")
        if any(entry.life >= asked.refused_by for entry in lines):
            assert self.forgets or self.has_expired, "executed where it was refused"
            self.receiver.seen.add("refused where it was executed")

    def _check_execution(self, entry: Entry) -> None:
        """Nothing is executed once its caller was told -3010, unless the receiver had to forget replies."""
        asked = self.asked[entry.request - 1]
        if asked.code in (Code.TIMED_OUT, Code.META_UNREACHABLE):
            self.receiver.seen.add("executed after it was given up")
        assert asked.code is not Code.OK, "told of success before it was executed"
        if asked.refused_by is not None:
            assert self.forgets, "executed after -3010"
            self.receiver.seen.add("executed after -3010")

    def heal(self) -> None:
        """Once the network is well again every caller is told, and at most one is told of a session's end."""
        for client in range(CLIENTS):
            if self._ask_until_told(client) is Code.UNKNOWN_SEQUENCE:
                assert self._ask_until_told(client) is Code.OK, "no session begins any more"
        assert all(asked.code is not None for asked in self.asked if asked.deadline <= self.now)

    def _ask_until_told(self, client: int) -> Code:
        asked = self.ask(client, 30.0)
        for _ in range(_ROUNDS):
            while self.up or self.down or self.receiver.waiting:
                self.deliver_all()
            if asked.code is not None:
                break
            self.wait_until_due()
        assert asked.code in (Code.OK, Code.UNKNOWN_SEQUENCE), "nothing is answered any more"
        return asked.code


def _opened(_welcome: Welcome, _now: float) -> None:
    """A session was opened."""
