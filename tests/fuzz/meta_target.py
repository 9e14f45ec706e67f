"""A meta service to which three peers say whatever they like.

Nothing that they say raises; every table keeps its invariants and its limits; whatever it answers is a
message; and when they have fallen silent, an honest client is answered.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

from mmc.actors.contract import Effect, Persist, Publish, Send
from mmc.actors.meta import MetaActor
from mmc.config import load_config
from mmc.errors import Code
from mmc.identifiers import ANY_RANK
from mmc.wire.codec import RETRY, Header, decode_body, decode_header, encode
from mmc.wire.operations import Message, PeerKind
from mmc.wire.replies import Admitted, Commands, Failure, Found, Welcome
from mmc.wire.requests import REQUESTS_TO_META, Claim, Confirmed, Hello, Join, Lookup, Report
from mmc.wire.sequence import Frames
from tests.fuzz.choices import Choices, Known
from tests.fuzz.hostile_frames import draw_frames

_ROUTES = (b"one", b"two", b"three")
_CONFIG = load_config()
_WIRE = replace(_CONFIG.wire, window_requests=8, window_bytes=4096, sessions_max=6, replies_max_bytes=8192)
_META = replace(
    _CONFIG.meta,
    objects_max=12,
    ranks_max=4,
    commands_per_event=3,
    commands_max=20,
    serve_ms=3000,
    grace_ms=1000,
)
_CLIENT = 0xC11E
_SILENCE_S = 6
_LAST_EPOCH = (1 << 31) - 2
_STEPS_S = (0.0, 0.0, 0.001, 0.2, 3.0, 45.0)


class MetaScene:
    """A meta service with a live rank, a client, and an object; and what its peers have seen."""

    def __init__(self) -> None:
        """The rank has reported ``key``, and the client has claimed ``claimed``."""
        numbers = itertools.count(1000)
        self.actor = MetaActor(_META, _WIRE, lambda: next(numbers), 1.0)
        self.now = 1.0
        self.known = Known((0, 1, 3, _LAST_EPOCH, _LAST_EPOCH << 32), (b"key", b"claimed"))
        self.sessions: list[int] = []
        self._next: dict[int, int] = {}
        self.written = b""
        self._take(self.actor.start())
        rank = self.greet(PeerKind.RANK, 1)
        self.ask(rank, Join(0, 0, 77, 1, 1 << 20, 32, "/p", "u", 0, 0))
        term = next(peer.member.term for peer in self.actor.roster.table.peers())
        self.ask(rank, Report((3,), (2,), ((1, 9, 9, 0),), (10,), (b"key",), (0,), term, last=True))
        client = self.greet(PeerKind.CLIENT, _CLIENT)
        self.ask(client, Claim(1, 1, (0, 1), (b"claimed", b"pending"), (10, 9), (((0, 4, 2),), ((0, 5, 2),))))
        self.ask(rank, Confirmed((4,), (2,), ((1, _CLIENT, 1, 0),)))

    def greet(self, kind: PeerKind, client: int) -> int:
        """A session of its own for an honest peer."""
        self.receive(b"honest", encode(Header(0), Hello(client, kind, 1, 1, 0)))
        return self.sessions[-1]

    def ask(self, session: int, message: Message) -> list[Message]:
        """Ask as an honest peer does."""
        return self.receive(b"honest", encode(self._header(session), message))

    def _header(self, session: int) -> Header:
        number = self._next[session] = self._next.get(session, 0) + 1
        return Header(0, session, number, 0, self.actor.epoch, 5000, max(1, number - 4))

    def receive(self, route: bytes, frames: Frames) -> list[Message]:
        """Something arrives; what the sender is answered."""
        return self._take(self.actor.receive(route, frames, self.now), route)

    def pass_time(self, seconds: float) -> None:
        """Time passes, and what is due is done."""
        self.now += seconds
        if self.actor.next_deadline() <= self.now:
            self._take(self.actor.expire(self.now))

    def _take(self, effects: list[Effect], route: bytes = b"") -> list[Message]:
        """Carry out effects: whatever is sent is a message, and small enough to be one."""
        answers = []
        for effect in effects:
            if isinstance(effect, Persist):
                self.written = effect.data
            if not isinstance(effect, Send | Publish):
                continue
            assert all(len(frame) <= _WIRE.message_max_bytes for frame in effect.frames)
            header = decode_header(effect.frames)
            message = decode_body(header, effect.frames)
            self._learn(message)
            if isinstance(effect, Send) and effect.to == route:
                answers.append(message)
        return answers

    def _learn(self, message: Message) -> None:
        match message:
            case Welcome(session=session):
                self.sessions.append(session)
            case Admitted(term=term):
                self.known.words.append(term)
            case Commands(ids=ids, records=records):
                self.known.words.extend((*ids, *records))
            case Found(versions=versions):
                self.known.words.extend(word for version in versions for word in version)
            case _:
                pass

    def step(self, choices: Choices) -> None:
        """One of the peers says something, or time passes."""
        if choices.is_rare(6):
            self.pass_time(choices.one_of(_STEPS_S))
            return
        session = choices.one_of(self.sessions[-4:])
        header = self._header(session)
        if choices.is_rare(4):
            header = header._replace(
                sequence=choices.word(self.known),
                flags=RETRY * (choices.byte() & 1),
                epoch=choices.one_of((self.actor.epoch, 0, choices.word(self.known))),
                deadline_ms=choices.word(self.known),
                acknowledged_below=choices.word(self.known),
            )
        frames = draw_frames(choices, self.known, REQUESTS_TO_META, header)
        self.receive(choices.one_of(_ROUTES), frames)

    def check(self) -> None:
        """Every invariant, and every limit."""
        actor = self.actor
        actor.check()
        assert len(actor.reception) <= _WIRE.sessions_max
        assert len(actor.roster.table) <= _META.ranks_max
        reported = sum(not entry.unconfirmed for entry in actor.naming.names)
        assert len(actor.naming.names) <= _META.objects_max + reported

    def end(self) -> None:
        """Everybody falls silent: whoever is honest is heard, also by the service that comes after."""
        self.pass_time(_WIRE.session_idle_ms / 1000 + 1)
        for _ in range(_SILENCE_S):
            self.pass_time(1.0)
        numbers = itertools.count(5000)
        successor = MetaActor(_META, _WIRE, lambda: next(numbers), self.now, written=self.written)
        assert successor.epoch > self.actor.epoch
        for honest in (self.actor, successor):
            self.actor = honest
            client = self.greet(PeerKind.CLIENT, _CLIENT + 1)
            answers = self.ask(client, Lookup((b"key",)))
            assert [type(answer) for answer in answers] == [Found], answers
            self._return(honest)

    def _return(self, actor: MetaActor) -> None:
        """A rank that was admitted in this service's epoch comes back with its segment."""
        known = actor.epoch << 32 | 1
        for _ in range(2):
            rank = self.greet(PeerKind.RANK, 2)
            join = Join(ANY_RANK, known, 78, 1, 1 << 20, 32, "/p", "u", 0, 0)
            answers = self.ask(rank, join)
            if isinstance(answers[0], Admitted):
                self.check()
                return
            assert isinstance(answers[0], Failure)
            assert answers[0].code == Code.UNKNOWN_SEQUENCE, answers
        raise AssertionError("the rank is not admitted")


def run(data: bytes) -> None:
    """Let the bytes decide who says what, and when."""
    choices = Choices(data)
    scene = MetaScene()
    while choices:
        scene.step(choices)
        scene.check()
    scene.end()
