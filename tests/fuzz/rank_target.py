"""A local service whose clients, meta service and memory are all hostile.

Nothing that they say or store raises; what the rank keeps for itself holds whatever its segment says; and
when all have fallen silent, an honest client is answered.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

from mmc.actors.contract import EVENTS, META, Effect, Send
from mmc.actors.local import LocalActor
from mmc.config import load_config
from mmc.identifiers import ANY_RANK
from mmc.segments.layout import format_segment, plan_layout
from mmc.wire import replies, requests
from mmc.wire.codec import RETRY, Header, decode_body, decode_header, encode
from mmc.wire.operations import Message, PeerKind
from mmc.wire.replies import EVENTS as EVENT_KINDS
from mmc.wire.replies import REPLIES
from mmc.wire.sequence import Frames
from tests.fuzz.choices import Choices, Known
from tests.fuzz.hostile_frames import draw_frames
from tests.fuzz.hostile_memory import HostileMemory, scribble_somewhere
from tests.heap import BOOT, IDENTITY, store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mmc.segments.layout import Layout

_CONFIG = load_config()
_WIRE = replace(_CONFIG.wire, window_requests=8, window_bytes=4096, sessions_max=6, replies_max_bytes=8192)
_LOCAL = replace(_CONFIG.local, report_records=3, waiting_reserves_max=4, bytes_per_record=4096)
_LAYOUT = plan_layout(1 << 18, 12, 2, 8)
_EPOCH = 1
_META_SESSION = 9
_CLIENTS = (7, 8)
_STEPS_S = (0.0, 0.001, 0.05, 0.3, 2.0, 11.0)
_SIZES = (1, 64, 4096, 20_000, 70_000, 200_000)


class _Watch:
    """Clients live until they are made to die."""

    def __init__(self, clients: Iterable[int]) -> None:
        self._clients = frozenset(clients)
        self.dead: set[int] = set()

    def adopt(self, client: int) -> bool:
        return client in self._clients and client not in self.dead

    def is_dead(self, client: int) -> bool:
        return client in self.dead

    def forget(self, client: int) -> None:
        self.dead.discard(client)


class RankScene:
    """A live rank with two clients, and a meta service that answers whatever it is asked."""

    def __init__(
        self, clients: Sequence[int] = _CLIENTS, others: Sequence[int] = (), layout: Layout = _LAYOUT
    ) -> None:
        """These clients are let in, and hold records; one object is stored; others may come."""
        numbers = itertools.count(1000)
        self.layout = layout
        self.clients = clients
        self.memory = HostileMemory(layout.total)
        segment = format_segment(self.memory, layout, IDENTITY, BOOT, keep=False)
        self.watch = _Watch((*clients, *others))
        wanted = requests.Join(ANY_RANK, 0, IDENTITY, BOOT, layout.capacity, layout.records, "/p", "u", 0, 0)
        self.actor = LocalActor(
            segment, _LOCAL, _WIRE, _CONFIG.client, lambda: next(numbers), self.watch, wanted
        )
        self.known = Known((0, 1, _EPOCH << 32 | 1, IDENTITY), (b"key",))
        self.now = 1.0
        self.admissions = 0
        self.sessions: dict[bytes, tuple[int, int]] = {}
        self._next: dict[bytes, int] = {}
        self.lines: dict[bytes, list[Frames]] = {}
        """Routes of who takes its answers as they travel, and what was said to each."""
        self._asked: list[tuple[Header, Message]] = []
        self._take(self.actor.start(self.now))
        self.answer_all()
        for client in self.clients:
            self.greet(client)
            self.tell(self._route(client), requests.Reserve(1, 2, (64, 4096)))
        (record, *_) = self.actor.keeper.reservations.holders()[0].records
        generation = store(segment, record, b"key", 60)
        self.known.words.extend((record, generation))
        self.tell(self._route(self.clients[0]), requests.Confirm((record,), (generation,)))
        self.answer_all()

    def _route(self, client: int) -> bytes:
        return b"client %d" % client

    # What peers say

    def greet(self, client: int) -> list[Message]:
        """A client says hello, whatever it was before."""
        route = self._route(client)
        hello = requests.Hello(client, PeerKind.CLIENT, 1, 1, 0)
        self._next[route] = 0
        return self.receive(route, encode(Header(0, sequence=1), hello))

    def tell(self, route: bytes, message: Message) -> list[Message]:
        """An honest request, and its answer if there is one at once."""
        return self.receive(route, encode(self._header(route), message))

    def _header(self, route: bytes) -> Header:
        session, epoch = self.sessions.get(route, (0, 0))
        number = self._next[route] = self._next.get(route, 0) + 1
        return Header(0, session, number, 0, epoch, 5000, max(1, number - 4))

    def receive(self, source: bytes | int, frames: Frames) -> list[Message]:
        """Something arrives; what is said to its sender."""
        return self._take(self.actor.receive(source, frames, self.now), source)

    def _take(self, effects: list[Effect], source: bytes | int = META) -> list[Message]:
        answers = []
        for effect in effects:
            if not isinstance(effect, Send):
                continue
            if effect.to in self.lines:
                self.lines[effect.to].append(effect.frames)
                continue
            header = decode_header(effect.frames)
            message = decode_body(header, effect.frames)
            if effect.to == META:
                self._asked = [*self._asked[-8:], (header, message)]
                continue
            assert isinstance(effect.to, bytes)
            if isinstance(message, replies.Welcome):
                self.sessions[effect.to] = (message.session, header.epoch)
            if isinstance(message, replies.Reserved):
                self.known.words.extend(message.records)
            if effect.to == source:
                answers.append(message)
        return answers

    # What the meta service says

    def answer_all(self) -> None:
        """The meta service answers, honestly, until nothing is asked any more."""
        for _ in range(20):
            if not self._asked:
                return
            header, message = self._asked.pop(0)
            self.receive(META, self.honest(header, message))

    def honest(self, header: Header, message: Message) -> Frames:
        """What the meta service answers."""
        reply: Message = replies.Codes(())
        match message:
            case requests.Hello():
                reply = replies.Welcome(_META_SESSION, 1, 64, 0, "u", 1, ())
            case requests.Join():
                self.admissions += 1
                reply = replies.Admitted(
                    0,
                    _EPOCH << 32 | self.admissions,
                    wipe=False,
                    serve_ms=10_000,
                    high_percent=90,
                    low_percent=80,
                )
            case requests.Report(records=told) | requests.Confirmed(records=told):
                reply = replies.Codes((0,) * len(told))
            case requests.Pressure(named=named):
                reply = replies.Codes((0,) * (1 + len(named)))
            case requests.Heartbeat():
                reply = replies.Pulse(10_000, 0, 0)
            case requests.Resync():
                reply = replies.Commands(0, 0, 0, (), (), (), (), (), ())
            case _:
                pass
        session = 0 if isinstance(message, requests.Hello) else header.session
        return encode(Header(0, session, header.sequence, epoch=_EPOCH), reply)

    def _event(self, choices: Choices) -> Frames:
        """A command about a record that may be there, or any event."""
        header = Header(0, epoch=_EPOCH)
        if choices.is_rare(3):
            return draw_frames(choices, self.known, EVENT_KINDS, header)
        actor = self.actor
        record = choices.below(self.layout.records)
        told = actor.keeper.published(record)
        generation = max(0, told.generation - choices.below(2))
        number = choices.word(self.known)
        kind = 1 + choices.below(6)
        event = replies.Commands(
            actor.rank or 0, actor.term, choices.below(64), (number,), (kind,), (record,),
            (generation,), (told.version,), (choices.word(self.known),),
        )  # fmt: skip
        return encode(header, event)

    # What happens

    def step(self, choices: Choices) -> None:
        """One thing of all that may happen."""
        match choices.below(9):
            case 0 | 1 | 2:
                route = self._route(choices.one_of(self.clients))
                header = self._header(route)
                if choices.is_rare(6):
                    header = header._replace(
                        sequence=choices.word(self.known),
                        flags=RETRY,
                        deadline_ms=choices.word(self.known),
                        acknowledged_below=choices.word(self.known),
                    )
                self.receive(route, draw_frames(choices, self.known, requests.REQUESTS_TO_RANK, header))
            case 3:
                sizes = tuple(choices.one_of(_SIZES) for _ in range(1 + choices.below(4)))
                self.tell(
                    self._route(choices.one_of(self.clients)),
                    requests.Reserve(choices.below(4), 1 + choices.below(len(sizes)), sizes),
                )
            case 4:
                self.answer_all()
            case 5 if self._asked:
                asked, _ = self._asked.pop(0)
                header = Header(0, asked.session, asked.sequence, epoch=_EPOCH + choices.is_rare(8))
                self.receive(META, draw_frames(choices, self.known, REPLIES, header))
            case 6:
                self.receive(EVENTS, self._event(choices))
            case 7:
                scribble_somewhere(self.memory, self.layout, choices, self.known)
            case _:
                self.pass_time(choices.one_of(_STEPS_S))
                if choices.is_rare(8):
                    self.watch.dead.add(choices.one_of(self.clients))

    def pass_time(self, seconds: float) -> None:
        """Time passes, and what is due is done."""
        self.now += seconds
        self._take(self.actor.expire(self.now))

    def check(self) -> None:
        """What the rank keeps for itself: its tables, its clients' sessions, and their limits."""
        keeper = self.actor.keeper
        keeper.table.check()
        keeper.reservations.check()
        self.actor.desk.reception.check()
        assert len(self.actor.desk.relief.queue) <= _LOCAL.waiting_reserves_max
        assert len(self.actor.desk.reception) <= _WIRE.sessions_max

    def end(self) -> None:
        """All fall silent: an honest client is let in, and told what becomes of its request."""
        self.memory.rest()
        self.watch.dead.clear()
        self.answer_all()
        self.pass_time(_WIRE.session_idle_ms / 1000 + 1)
        for _ in range(4):
            self.answer_all()
            self.pass_time(1.0)
        answers = self.greet(self.clients[0])
        assert [type(answer) for answer in answers] == [replies.Welcome], answers
        answers = self.tell(self._route(self.clients[0]), requests.KeepAlive())
        assert answers == [replies.Codes(())]
        self.check()


def run(data: bytes) -> None:
    """Let the bytes decide who says and stores what, and when."""
    choices = Choices(data)
    scene = RankScene()
    if choices.byte() & 1:
        scene.memory.haunt(choices, scene.known)
    while choices:
        scene.step(choices)
        scene.check()
    scene.end()
