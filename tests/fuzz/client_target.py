"""A client whose meta service, ranks and memory are all hostile.

Nothing that they say or store raises in whoever drives the client; every call ends by its deadline, with
codes and contents, or with a coded error.
"""

from __future__ import annotations

import itertools
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from mmc.actors.client import ClientActor, asking, putting, reading
from mmc.actors.client.listing import Listing, list_keys
from mmc.actors.contract import EVENTS, META, Effect, Send
from mmc.config import load_config
from mmc.errors import CacheError, Code
from mmc.identifiers import Member
from mmc.segments.layout import AT_SERVE_UNTIL, AT_TERM, Segment, format_segment, plan_layout
from mmc.segments.reader import Hit
from mmc.wire import replies, requests
from mmc.wire.codec import Header, decode_body, decode_header, encode
from mmc.wire.operations import Message
from mmc.wire.replies import EVENTS as EVENT_KINDS
from mmc.wire.replies import REPLIES
from mmc.wire.sequence import Frames
from tests.fuzz.choices import Choices, Known
from tests.fuzz.hostile_frames import draw_frames
from tests.fuzz.hostile_memory import HostileMemory, scribble_somewhere
from tests.heap import BOOT, IDENTITY, TERM, store

if TYPE_CHECKING:
    from mmc.actors.client.calls import Call, Operation

_LIMITS = load_config().client
_LAYOUT = plan_layout(1 << 18, 12, 2, 8)
_SESSION = 5
_RANKS = (0, 1)
_AHEAD_BYTES = 1 << 16
_TIMEOUT_S = 2.0
_STEPS_S = (0.0, 0.001, 0.05, 0.3, 1.0, 11.0)
_KEYS = (b"key", b"other", b"missing")
_CODES = frozenset(Code)


class ClientScene:
    """A client of two ranks on its host, one of which has ``key``, and all that it has asked."""

    def __init__(self) -> None:
        """The meta service has welcomed it."""
        numbers = itertools.count(1 << 24)
        self.segments = {rank: self._segment(rank) for rank in _RANKS}
        self.actor = ClientActor(7, _LIMITS, _AHEAD_BYTES, lambda: next(numbers), self._attach)
        self.known = Known((0, 1, TERM, IDENTITY), _KEYS)
        self.now = 1.0
        self.asked: list[tuple[int, Header, Message]] = []
        self.heard: deque[tuple[int, Header, Message]] = deque(maxlen=64)
        self.calls: list[tuple[Call[Any], float]] = []
        self._grants = itertools.count()
        self._take(self.actor.start(self.now))
        self.answer_all()

    def _segment(self, rank: int) -> Segment:
        segment = format_segment(HostileMemory(_LAYOUT.total), _LAYOUT, IDENTITY + rank, BOOT, keep=False)
        segment.words[AT_TERM] = TERM + rank
        segment.words[AT_SERVE_UNTIL] = 1 << 40
        if not rank:
            store(segment, 0, b"key", 100)
        return segment

    def _attach(self, member: Member) -> Segment | None:
        return self.segments.get(member.segment - IDENTITY)

    def memory(self, rank: int) -> HostileMemory:
        """The memory of a rank."""
        memory = self.segments[rank].memory
        assert isinstance(memory, HostileMemory)
        return memory

    def members(self) -> tuple[Member, ...]:
        """The two ranks, as the meta service tells of them."""
        return tuple(
            Member(rank, TERM + rank, 1, IDENTITY + rank, BOOT, _LAYOUT.capacity, f"/{rank}", "u")
            for rank in _RANKS
        )

    # The others

    def _take(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Send):
                header = decode_header(effect.frames)
                assert isinstance(effect.to, int)
                said = (effect.to, header, decode_body(header, effect.frames))
                self.asked = [*self.asked[-8:], said]
                self.heard.append(said)

    def receive(self, source: int, frames: Frames) -> None:
        """Something arrives."""
        self._take(self.actor.receive(source, frames, self.now))
        self._go_on()

    def answer_all(self) -> None:
        """Whoever was asked answers, honestly, until nothing is asked any more."""
        for _ in range(30):
            if not self.asked:
                return
            to, header, message = self.asked.pop(0)
            session = 0 if isinstance(message, requests.Hello) else header.session
            reply = self.honest(message)
            self.receive(to, encode(Header(0, session, header.sequence, epoch=5), reply))

    def honest(self, message: Message) -> Message:
        """What the meta service, or a rank, answers."""
        match message:
            case requests.Hello():
                return replies.Welcome(_SESSION, 1, 64, 0, "u", 1, self.members())
            case requests.MembersQuery():
                return replies.Membership(1, 0, self.members(), ())
            case requests.Lookup(keys):
                here = [key == b"key" for key in keys]
                return replies.Found(
                    tuple(0 if found else int(Code.NOT_FOUND) for found in here),
                    tuple((5, 77, 1, 0) for _ in keys),
                    (100,) * len(keys),
                    (0,) * len(keys),
                    tuple(((0, 0, 2),) if found else () for found in here),
                    1,
                )
            case requests.Claim(keys=keys):
                return replies.Claimed((0,) * len(keys), ((0, TERM), (1, TERM + 1)), 1)
            case requests.Reserve(sizes=sizes, needed=needed):
                records = tuple(1 + next(self._grants) % (_LAYOUT.records - 1) for _ in range(needed))
                return replies.Reserved(records, tuple(sizes[:needed]))
            case requests.Remove(keys) | requests.Lease(keys):
                return replies.Codes((0,) * len(keys))
            case requests.Return(records=told) | requests.Confirm(records=told):
                return replies.Codes((0,) * len(told))
            case requests.Pin(slots) | requests.Unpin(slots):
                return replies.Codes((0,) * len(slots))
            case requests.ListKeys():
                return replies.KeyPage((b"key",), (100,), 0, 0)
            case _:
                return replies.Codes(())

    # The callers

    def begin(self, choices: Choices) -> None:
        """Somebody calls."""
        deadline = self.now + _TIMEOUT_S
        keys = [choices.one_of(_KEYS) for _ in range(1 + choices.below(2))]
        values = [[memoryview(b"v" * choices.one_of((1, 64, 5000)))] for _ in keys]
        actor = self.actor
        operations: tuple[partial[Operation[Any]], ...] = (
            partial(putting.put, actor, keys, values, 1 + choices.below(2), (), deadline),
            partial(reading.read, actor, [reading.Want(key, None) for key in keys], deadline),
            partial(asking.locate, actor, keys, deadline),
            partial(asking.query, actor, keys, deadline),
            partial(asking.remove, actor, keys, deadline),
            partial(asking.lease, actor, keys, 1000, deadline),
            partial(reading.pin, actor, keys[0], deadline),
            partial(asking.status, actor, deadline),
            partial(list_keys, actor, deadline, cursor=Listing(b"").cursor),
        )
        call, effects = actor.begin(choices.one_of(operations)(), self.now)
        self._take(effects)
        self.calls.append((call, deadline))
        self._go_on()

    def _go_on(self) -> None:
        """Every caller goes on as far as it can."""
        self.actor.take_ready()
        waiting = []
        for call, deadline in self.calls:
            while not call.done and call.can_advance:
                for work in call.work:
                    work.perform()
                self._take(self.actor.advance(call, self.now))
                self.actor.take_ready()
            if call.done:
                _judge(call)
            else:
                waiting.append((call, deadline))
        self.calls = waiting

    # What happens

    def step(self, choices: Choices) -> None:
        """One thing of all that may happen."""
        match choices.below(7):
            case 0:
                self.begin(choices)
            case 1 | 2:
                self.answer_all()
            case 3 if self.asked:
                to, asked, _ = self.asked.pop(0)
                header = Header(0, asked.session, asked.sequence, epoch=5 + choices.is_rare(8))
                self.receive(to, draw_frames(choices, self.known, REPLIES, header))
            case 4:
                header = Header(0, _SESSION, choices.below(16), epoch=5)
                source = choices.one_of((EVENTS, EVENTS, META, *_RANKS))
                kinds = EVENT_KINDS if source == EVENTS else REPLIES
                self.receive(source, draw_frames(choices, self.known, kinds, header))
            case 5:
                memory = self.memory(choices.one_of(_RANKS))
                scribble_somewhere(memory, _LAYOUT, choices, self.known)
            case _:
                self.pass_time(choices.one_of(_STEPS_S))

    def pass_time(self, seconds: float) -> None:
        """Time passes, and what is due is done."""
        self.now += seconds
        self._take(self.actor.expire(self.now))
        self._go_on()

    def end(self) -> None:
        """Nobody says anything any more: every call ends."""
        for _ in range(60):
            self.pass_time(0.1)
        assert not self.calls, "L2: a call goes on beyond its deadline"


def _judge(call: Call[Any]) -> None:
    """What a caller is told: codes, contents, or a coded error."""
    if call.failure is not None:
        assert isinstance(call.failure, CacheError), repr(call.failure)
        return
    answer = call.result()
    for one in answer if isinstance(answer, list) else [answer]:
        if isinstance(one, int):
            assert one in _CODES
        if isinstance(one, Hit):
            assert one.at + one.size <= _LAYOUT.total


def run(data: bytes) -> None:
    """Let the bytes decide who says and stores what, and when."""
    choices = Choices(data)
    scene = ClientScene()
    if choices.byte() & 1:
        for rank in _RANKS:
            scene.memory(rank).haunt(choices, scene.known)
    while choices:
        scene.step(choices)
    scene.end()
