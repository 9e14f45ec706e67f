"""A link and a reception over a network that loses, repeats and reorders, step by step.

Every choice is an argument, so that hypothesis can make them, and a seeded chance just as well.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count

from mmc.actors.contract import META, Effect, Send
from mmc.actors.link import Link, Ticket
from mmc.actors.reception import Reception, Request
from mmc.errors import Code
from mmc.limits import ClientLimits, WireLimits
from mmc.wire.replies import Codes, Welcome
from mmc.wire.requests import REQUESTS_TO_META, Hello, KeepAlive, Lookup, Remove
from mmc.wire.sequence import Frames

CLIENT = 77
IDLE_S = 100.0
CLIENT_LIMITS = ClientLimits(
    timeout_ms=1000,
    connect_timeout_ms=1000,
    retry_ms=200,
    unanswered_ms=60000,
    retry_max_ms=2000,
    pending_ms=1,
    pending_max_ms=1,
    reserve_idle_ms=1,
    confirm_delay_ms=1,
    locations_max=1,
    copy_threads=1,
    gather_keys=12,
    populate=False,
    map_segments=True,
    keys_per_message=1,
    background_tick_ms=1,
    report_ms=1000,
)


def wire_limits(width: int, window_bytes: int = 1 << 20, sessions_max: int = 1000) -> WireLimits:
    """The limits of a service with a window of this width."""
    return WireLimits(
        window_requests=width,
        window_bytes=window_bytes,
        replies_max_bytes=1 << 24,
        sessions_max=sessions_max,
        session_idle_ms=int(1000 * IDLE_S),
        message_max_bytes=1 << 20,
        topic_max_bytes=1024,
        queue_messages=100,
    )


def number_of(message: object) -> int:
    """The number that a question carries in its key, and its answer in its code."""
    assert isinstance(message, Lookup | Remove)
    return int(message.keys[0])


class Service:
    """Answers each question with its number, when it is told to."""

    def __init__(self, limits: WireLimits) -> None:
        """Nobody has asked anything."""
        self._limits = limits
        self._numbers = count(1)
        self.epoch = 1
        self.reception = self._reception()
        self.executed: Counter[int] = Counter()
        self.waiting: list[Request] = []

    def _reception(self) -> Reception:
        return Reception(self._limits, REQUESTS_TO_META, self.epoch, lambda: next(self._numbers))

    def receive(self, frames: Frames, now: float) -> list[Effect]:
        """Take what arrives; a question waits for its answer."""
        request, effects = self.reception.receive(b"client", frames, now)
        if request is None:
            return effects
        if isinstance(request.message, Hello):
            session = self.reception.open(request.message, now)
            width = self._limits.window_requests
            return self.reception.reply(request, Welcome(session.number, 1, width, 0, "", 0, ()))
        if isinstance(request.message, KeepAlive):
            return self.reception.reply(request, Codes(()))
        self.executed[number_of(request.message)] += 1
        self.waiting.append(request)
        return []

    def answer(self, request: Request) -> list[Effect]:
        """Answer a question that waits."""
        self.waiting.remove(request)
        return self.reception.reply(request, Codes((number_of(request.message),)))

    def begin_epoch(self) -> None:
        """Every session is over; what waits is answered into the void."""
        self.epoch += 1
        self.reception.restart(self.epoch)

    def crash(self) -> None:
        """Everything is forgotten, and another begins."""
        self.epoch += 1
        self.reception = self._reception()
        self.waiting.clear()


@dataclass
class Asked:
    """A question, its ticket, and how often it was told to be done."""

    ticket: Ticket
    number: int
    mutates: bool
    outcomes: int = 0


class Conversation:
    """Questions asked of a service that may be slow, restarted, or out of reach."""

    def __init__(self, width: int, window_bytes: int) -> None:
        """A client and a service that have not met."""
        chances = count(1)
        self.service = Service(wire_limits(width, window_bytes))
        self.link = Link(
            META, CLIENT, 0, CLIENT_LIMITS, lambda: next(chances), lambda *_: None, Code.META_UNREACHABLE
        )
        self.now = 0.0
        self.up: list[Frames] = []
        self.down: list[Frames] = []
        self.asked: list[Asked] = []
        self._open: list[Asked] = []

    # What may happen

    def ask(self, *, mutates: bool, timeout: float) -> Asked:
        """The client asks something."""
        number = len(self.asked) + 1
        message = (Remove if mutates else Lookup)((b"%d" % number,))
        asked = Asked(Ticket(message, (), 0.0, 0.0, lambda _: None), number, mutates)
        self.asked.append(asked)
        self._open.append(asked)
        on_done = partial(self._done, asked)
        asked.ticket = self.link.request(message, self.now + timeout, self.now, on_done)
        self._send()
        return asked

    def deliver_question(self, at: int) -> None:
        """A message under way reaches the service."""
        self._reply(self.service.receive(self.up.pop(at), self.now))

    def deliver_answer(self, at: int) -> None:
        """A message under way reaches the client."""
        self.link.receive(self.down.pop(at), self.now)
        self._send()

    def answer(self, at: int) -> None:
        """The service answers something that waits."""
        self._reply(self.service.answer(self.service.waiting[at]))

    def deliver_all(self) -> None:
        """For once everything arrives, and is answered, in order."""
        for _ in range(len(self.up)):
            self.deliver_question(0)
        for _ in range(len(self.service.waiting)):
            self.answer(0)
        for _ in range(len(self.down)):
            self.deliver_answer(0)

    def garble(self, frames: Sequence[bytes], *, to_client: bool) -> None:
        """Something arrives that nobody sent."""
        if to_client:
            self.link.receive(tuple(frames), self.now)
            self._send()
        else:
            self._reply(self.service.receive(tuple(frames), self.now))

    def pass_time(self, passed: float) -> None:
        """Time goes on, and both do what is due."""
        self.now += passed
        self.link.expire(self.now)
        self._send()
        self.service.reception.expire(self.now)
        assert all(asked.ticket.done for asked in self._open if asked.ticket.deadline <= self.now), "L2"

    def wait_until_due(self) -> None:
        """Time goes on until the client has something to do."""
        due = self.link.next_deadline()
        self.pass_time(0.0 if due is None else max(0.0, due - self.now))

    def _done(self, asked: Asked, ticket: Ticket) -> None:
        asked.outcomes += 1
        assert ticket.done

    def _send(self) -> None:
        self.up += [effect.frames for effect in self.link.take_effects() if isinstance(effect, Send)]

    def _reply(self, effects: list[Effect]) -> None:
        self.down += [effect.frames for effect in effects if isinstance(effect, Send)]

    # What must hold

    def check(self) -> None:
        """Everything that holds after each step."""
        self.service.reception.check()
        for asked in self._open:
            self._check_outcome(asked)
        self._open = [asked for asked in self._open if not asked.ticket.done]
        due = self.link.next_deadline()
        for asked in self._open:
            assert due is not None, "L2: nobody will wake for this"
            assert due <= asked.ticket.deadline, "L2: nobody will wake in time"

    def check_all(self) -> None:
        """What holds of everything that was ever asked."""
        for asked in self.asked:
            self._check_outcome(asked)

    def _check_outcome(self, asked: Asked) -> None:
        """S5: run at most once, told once, and told its own answer or why there is none."""
        ticket, executed = asked.ticket, self.service.executed[asked.number]
        assert executed <= 1 or not asked.mutates, "S5: executed twice"
        assert asked.outcomes == ticket.done
        if not ticket.done:
            return
        if ticket.code is Code.OK:
            assert executed, "told to have run, and never did"
            assert ticket.reply == Codes((asked.number,))
            return
        assert ticket.reply is None
        silence = (Code.TIMED_OUT, Code.META_UNREACHABLE)
        assert ticket.code in silence or (asked.mutates and ticket.code is Code.UNKNOWN_SEQUENCE)

    def heal(self) -> None:
        """L1: once the network is well again, what is asked is answered."""
        for mutates in (False, True):
            asked = self.ask(mutates=mutates, timeout=30.0)
            for _ in range(40):
                while self.up or self.down or self.service.waiting:
                    self.deliver_all()
                self.check()
                if asked.ticket.done:
                    break
                self.wait_until_due()
            assert asked.ticket.done
            assert asked.ticket.code is Code.OK
        self.check_all()
