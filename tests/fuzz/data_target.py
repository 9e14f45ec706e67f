"""A data server whose peers are hostile, beside an honest rank; strangers may store in their segment, too.

Nothing that peers say raises but what a conversation documents; no byte is received but into a record that
the rank has granted to the data server at that moment; at the end all that it had reserved comes back, and an
honest peer writes and reads.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from struct import Struct
from typing import TYPE_CHECKING

from xxhash import xxh3_64_intdigest

from mmc.actors.client.calls import Call
from mmc.actors.client.draft import Draft
from mmc.actors.client.far import Block, Place
from mmc.actors.client.proxy import Proxy
from mmc.actors.contract import EVENTS
from mmc.config import load_config
from mmc.errors import Code, RemoteProtocolError
from mmc.identifiers import Member, ObjectVersion
from mmc.segments.layout import GENERATION, plan_layout
from mmc.segments.mapping import address_of
from mmc.transfer.connections import Connections
from mmc.transfer.errands import Fetching
from mmc.transfer.serving import Serving
from mmc.transfer.serving_thread import COUNTED
from mmc.transfer.stream import READ, Stream, message_bytes
from mmc.transfer.uploading import Uploading
from mmc.wire import blocks, replies
from mmc.wire.codec import Header, encode
from mmc.wire.operations import CommandKind, Message
from tests.fuzz.choices import Choices
from tests.fuzz.hostile_frames import draw_frames, draw_header
from tests.fuzz.hostile_memory import scribble_somewhere
from tests.fuzz.memory_socket import connected
from tests.fuzz.rank_target import RankScene
from tests.heap import BOOT, IDENTITY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mmc.segments.layout import Segment
    from mmc.segments.mapping import BufferMemory
    from mmc.transfer.errands import Errand

_CONFIG = load_config()
LIMITS = replace(_CONFIG.data, step_bytes=1 << 14, blocks_per_request=4, idle_ms=30_000)
_LAYOUT = plan_layout(1 << 20, 12, 2, 8)
_PREFIX = Struct("!4sHI")
_MAGIC = b"MMC\x01"
_CLIENT, _PROXY, _STRANGER = 7, 9, 77
_LINE = b"proxy"
_AHEAD_BYTES = 1 << 16
ROOM_BYTES = 1 << 17
MOST_ALONE_BYTES = 8 << 20
_MOST_PEERS = 4
_TURNS = 400
_LAST_TURNS = 20
_SIZES = (1, 64, 5000, 70_000, 300_000, 1 << 40, (1 << 64) - 1)
_DEADLINES_MS = (2000, 0, 50, 60_000, 1 << 62)
_STEPS_S = (0.0, 0.001, 0.05, 0.3, 2.0, 11.0)
_PATIENCE_S = 30.0


class Kept(Connections):
    """Connections of which none is kept."""

    def give_back(self, stream: Stream, *, keep: bool) -> None:
        """It is over."""
        stream.close()


class _Host:
    """What the conversations share; see :class:`mmc.transfer.serving.Host`."""

    def __init__(self, rank: RankScene) -> None:
        self.rank = rank
        self.segment: Segment = rank.actor.keeper.segment
        self.memory: BufferMemory = rank.memory
        self.limits = LIMITS
        self.counters = Counter(dict.fromkeys(COUNTED, 0))
        self.digests: dict[int, tuple[int, int]] = {}
        self.now: Callable[[], float] = lambda: rank.now
        self.agent: Proxy | None = None

    def proxy(self) -> Proxy:
        """Who writes here for other hosts."""
        if self.agent is None:
            numbers = itertools.count(1 << 40)
            self.agent = Proxy(self.segment, _PROXY, _CONFIG.client, _AHEAD_BYTES, lambda: next(numbers))
        return self.agent


class _Peer:
    """A connection, and what is written over it."""

    def __init__(self, scene: DataScene) -> None:
        self.here, self.there = connected(ROOM_BYTES, scene.look_at_target)
        self.serving = Serving(Stream(self.here.as_socket(), LIMITS.step_bytes), scene.host)
        self.talk = self.serving.talk()
        self.parked_on: Call[list[Draft]] | None = None
        self.wanted = READ
        self.unsent = bytearray()
        self.written: list[int] = []
        self.fill = 0

    @property
    def can_go_on(self) -> bool:
        """Whether what it waits for is there."""
        if self.parked_on is not None:
            return False
        return self.here.is_readable if self.wanted == READ else self.here.is_writable

    def say(self, said: bytes) -> None:
        """What the peer sends, as far as there is room; the rest waits."""
        self.unsent += said
        self.flush()

    def flush(self) -> None:
        """Send what waits."""
        count = min(len(self.unsent), self.here.room)
        self.here.coming += self.unsent[:count]
        del self.unsent[:count]


class DataScene:
    """A rank with its data server, whose threads are this one."""

    def __init__(self) -> None:
        """Nobody is connected."""
        self.rank = RankScene((_CLIENT,), (_PROXY,), _LAYOUT)
        self.rank.lines[_LINE] = []
        self.host = _Host(self.rank)
        self.peers: list[_Peer] = []
        self.is_sound = True
        """Whether nobody but the rank and its clients has stored in the segment."""
        self._rank_sleeps = False
        self._commands = itertools.count(1)
        self._puts = itertools.count(1)
        self._member = Member(0, 0, 1, IDENTITY, BOOT, _LAYOUT.capacity, "/p", "u", "tcp://127.0.0.1:1")

    def look_at_target(self, target: memoryview) -> None:
        """What is about to be received into: a buffer of limited size, or the bytes of a record granted."""
        at = address_of(target) - self.rank.memory.address(0)
        if not 0 <= at < len(self.rank.memory):
            assert len(target) <= MOST_ALONE_BYTES, "memory beyond every limit"
            return
        end = at + len(target)
        assert _LAYOUT.payload_at <= at <= end <= _LAYOUT.total, "bytes are received outside of the payload"
        keeper = self.rank.actor.keeper
        holder = keeper.reservations.of_client(_PROXY)
        granted = [keeper.table[record] for record in holder.records] if holder else []
        starts = [(_LAYOUT.payload_at + owned.offset, owned.capacity) for owned in granted]
        is_granted = any(start <= at <= end <= start + capacity for start, capacity in starts)
        assert is_granted or not self.is_sound, "S3: bytes are received where nothing is granted"

    # The data server

    def turn(self) -> None:
        """Everybody goes on as far as they can."""
        for _ in range(_TURNS):
            for peer in [peer for peer in self.peers if peer.parked_on and peer.here.has_ended]:
                self._end(peer)
            ready = [peer for peer in self.peers if peer.can_go_on]
            for peer in ready:
                self._go_on(peer)
                peer.flush()
            if not self._serve_proxy() and not ready:
                return
        raise AssertionError("L2: they go on for ever")

    def _go_on(self, peer: _Peer) -> None:
        try:
            wanted = next(peer.talk)
        except (StopIteration, OSError, RemoteProtocolError):
            self._end(peer)
            return
        peer.parked_on = wanted if isinstance(wanted, Call) else None
        if isinstance(wanted, int):
            peer.wanted = wanted

    def _end(self, peer: _Peer) -> None:
        self.peers.remove(peer)
        peer.serving.stream.close()
        peer.talk.close()

    def _serve_proxy(self) -> bool:
        """See to the line to the rank; whether anything was said on it."""
        agent = self.host.agent
        if agent is None or self._rank_sleeps:
            return False
        said = agent.take_frames()
        for frames in said:
            self.rank.receive(_LINE, frames)
        heard, self.rank.lines[_LINE] = self.rank.lines[_LINE], []
        for frames in heard:
            agent.receive(frames, self.host.now())
        for call in agent.take_done(self.host.now()):
            for peer in [peer for peer in self.peers if peer.parked_on is call]:
                self._go_on(peer)
        return bool(said or heard)

    def pass_time(self, seconds: float) -> None:
        """Time passes, and what is due is done."""
        self.rank.pass_time(seconds)
        if self.host.agent is not None:
            self.host.agent.expire(self.host.now())
        for peer in list(self.peers):
            if peer.serving.ends_at <= self.host.now():
                self._end(peer)
        self.turn()

    # Hostile peers

    def _likely(self, choices: Choices, peer: _Peer) -> bytes:
        """What might be meant: a request for what is there, or the next step of a write."""
        header = Header(0, sequence=choices.below(4), deadline_ms=choices.one_of(_DEADLINES_MS))
        numbers = [choices.below(_LAYOUT.records) for _ in range(1 + choices.below(3))]
        words, segment = self.rank.memory.words, self.host.segment
        generations = tuple(words[segment.record_word(n) + GENERATION] & ~1 for n in numbers)
        message: Message
        match choices.below(6):
            case 0:
                sizes = tuple(words[segment.record_word(n) + 4] for n in numbers)
                message = blocks.Fetch(IDENTITY, tuple(numbers), generations, sizes)
            case 1:
                message = blocks.Probe(IDENTITY, tuple(numbers), generations)
            case 2:
                peer.written = [choices.one_of(_SIZES) for _ in numbers]
                keys = tuple(b"hostile %d" % number for number in numbers)
                birth = choices.word(self.rank.known) if choices.is_rare(8) else 1
                positions = tuple(range(len(numbers)))
                message = blocks.Begin(
                    IDENTITY, birth, _STRANGER, choices.below(9), positions, keys, tuple(peer.written)
                )
            case 3:
                peer.fill = choices.byte()
                content = [bytes([peer.fill]) * size for size in peer.written if size < 1 << 20]
                digests = tuple(map(xxh3_64_intdigest, content))
                return b"".join(content) + message_bytes(header, blocks.Landed(digests))
            case 4:
                term = self.rank.actor.term - choices.is_rare(8)
                message = blocks.Publish(term, tuple(range(1 + choices.below(3))))
            case _:
                message = blocks.Abandon(tuple(range(1 + choices.below(3))))
        return message_bytes(header, message)

    def _wild(self, choices: Choices) -> bytes:
        """What nobody means: any fields, damaged frames, a prefix that promises something else, or noise."""
        known = self.rank.known
        header = draw_header(choices, known) if choices.is_rare(4) else Header(0, deadline_ms=2000)
        kinds = (*blocks.REQUESTS_TO_DATA, replies.Codes)
        frames = draw_frames(choices, known, kinds, header)
        sizes = [len(frames[0]) if frames else 0, sum(map(len, frames[1:]))]
        if choices.is_rare(8):
            sizes[choices.below(2)] = choices.word(known)
        prefix = _PREFIX.pack(_MAGIC, sizes[0] & 0xFFFF, sizes[1] & 0xFFFFFFFF)
        return (choices.raw(10) if choices.is_rare(16) else prefix) + b"".join(frames)

    def step(self, choices: Choices) -> None:
        """One thing of all that may happen."""
        if not self.peers:
            self.peers.append(_Peer(self))
        peer = choices.one_of(self.peers)
        match choices.below(12):
            case 0 if len(self.peers) < _MOST_PEERS:
                self.peers.append(_Peer(self))
            case 0 | 1 | 2 | 3:
                peer.say(self._likely(choices, peer))
            case 4:
                peer.say(self._wild(choices))
            case 5:
                peer.say(bytes([peer.fill]) * choices.one_of((1, 64, 5000, 1 << 18)))
            case 6:
                del peer.there.coming[: choices.one_of((10, 1000, 1 << 20))]
            case 7:
                peer.there.close()
            case 8:
                self.pass_time(choices.one_of(_STEPS_S))
            case 9:
                self._rank_sleeps = choices.is_rare(2)
                self.rank.answer_all()
            case 10:
                kind = choices.one_of((CommandKind.REMOVE, CommandKind.EVICT))
                self._retire(choices.below(_LAYOUT.records), kind)
            case _ if not self.is_sound:
                scribble_somewhere(self.rank.memory, _LAYOUT, choices, self.rank.known)
            case _:
                self.be_honest(choices.one_of((1, 5000, 300_000)))
        self.turn()

    def _retire(self, record: int, kind: CommandKind) -> None:
        """The meta service has an object removed, or evicted."""
        actor = self.rank.actor
        told = actor.keeper.published(record)
        event = replies.Commands(
            actor.rank or 0, actor.term, 0, (next(self._commands),), (kind,), (record,),
            (told.generation,), (told.version,), (0,),
        )  # fmt: skip
        self.rank.receive(EVENTS, encode(Header(0, epoch=1), event))

    # An honest peer

    def be_honest(self, size: int) -> Code:
        """Somebody writes an object and reads it again; what became of that."""
        content = bytes(range(256)) * (1 + size // 256)
        number = next(self._puts)
        draft = Draft(b"honest %d" % number, ObjectVersion(1, _CLIENT, number, 0), size)
        until = self.host.now() + _PATIENCE_S
        whole = memoryview(content)[:size]
        pieces: dict[bytes, Sequence[memoryview]] = {draft.key: [whole]}
        upload = Uploading(
            self._member, [draft], pieces, until, Kept(LIMITS, self.host.now), lambda _name, _amount: None
        )
        peer = _Peer(self)
        self.peers.append(peer)
        stream = Stream(peer.there.as_socket(), LIMITS.step_bytes)
        self._carry(upload.beginning(until), stream, until)
        if upload.codes[0] == Code.OK:
            landing = upload.landing()
            assert landing is not None
            self._carry(landing, stream, until)
        if upload.codes[0] == Code.OK:
            self._carry(upload.publishing([0], self.rank.actor.term), stream, until)
        code = upload.codes[0]
        upload.end()
        if code == Code.OK:
            code = self._read(*upload.places[0], whole, until)
        return code

    def _read(self, record: int, generation: int, content: memoryview, until: float) -> Code:
        target = bytearray(len(content))
        block = Block(Place(self._member, record, generation, len(content)), [memoryview(target)])
        peer = _Peer(self)
        self.peers.append(peer)
        stream = Stream(peer.there.as_socket(), LIMITS.step_bytes)
        self._carry(Fetching(self._member, [block], until, lambda _name, _amount: None), stream, until)
        stream.close()
        assert block.code != Code.OK or target == content or not self.is_sound, "S1: other bytes"
        return block.code

    def _carry(self, errand: Errand, stream: Stream, until: float) -> None:
        """Do an errand, to its end or its deadline."""
        talk = errand.talk(stream, self.host.now)
        while self.host.now() < until:
            try:
                next(talk)
            except StopIteration:
                errand.done(stream)
                return
            except OSError:
                errand.fail(Code.UNREACHABLE)
                return
            moved = stream.moved
            self.turn()
            if stream.moved == moved:
                self.pass_time(1.0)
        errand.fail(Code.TIMED_OUT)

    # The end

    def end(self) -> None:
        """All fall silent: what was reserved comes back, and an honest peer is served."""
        self.rank.memory.rest()
        self._rank_sleeps = False
        for peer in self.peers:
            peer.there.close()
        self.turn()
        assert not self.peers, "L2: a connection goes on after its end"
        self.pass_time(_CONFIG.wire.session_idle_ms / 1000 + 1)
        for _ in range(_LAST_TURNS):
            self.rank.answer_all()
            self.pass_time(1.0)
        self.rank.check()
        if not self.is_sound:
            return
        holder = self.rank.actor.keeper.reservations.of_client(_PROXY)
        assert holder is None or not holder.records, "S6: what nobody writes is still reserved"
        for record in self.rank.actor.keeper.stored():
            self._retire(record, CommandKind.REMOVE)
        self.rank.answer_all()
        self.pass_time(1.0)
        assert self.be_honest(300_000) == Code.OK, "an honest peer is not served"


def run(data: bytes) -> None:
    """Let the bytes decide who says and stores what, and when."""
    choices = Choices(data)
    scene = DataScene()
    if choices.is_rare(4):
        scene.is_sound = False
        scene.rank.memory.haunt(choices, scene.rank.known)
    while choices:
        scene.step(choices)
    scene.end()
