"""A client's fetches, probes and uploads against a data server that is hostile.

Whatever it answers, an errand raises only what it documents, receives into nothing but the buffers it was
given, and leaves every object with a documented code: 0 only where the bytes are those that the answer says.
"""

from __future__ import annotations

from functools import partial
from struct import Struct
from typing import TYPE_CHECKING

from xxhash import xxh3_64_intdigest

from mmc.actors.client.draft import Draft
from mmc.actors.client.far import Block, Place
from mmc.errors import Code, RemoteProtocolError
from mmc.identifiers import Member, ObjectVersion
from mmc.segments.mapping import address_of
from mmc.transfer.errands import Fetching, Probing
from mmc.transfer.stream import READ, Stream, message_bytes
from mmc.transfer.uploading import Uploading
from mmc.wire import blocks, replies
from mmc.wire.codec import Header
from tests.fuzz.choices import Choices, Known
from tests.fuzz.data_target import LIMITS, MOST_ALONE_BYTES, ROOM_BYTES, Kept
from tests.fuzz.hostile_frames import draw_frames
from tests.fuzz.memory_socket import MemorySocket, connected
from tests.heap import BOOT, IDENTITY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.transfer.errands import Errand
    from mmc.wire.operations import Message

_PREFIX = Struct("!4sHI")
_MAGIC = b"MMC\x01"
_TURNS = 400
_PATIENCE_S = 10.0
_SIZES = (1, 64, 5000, 70_000)
_UPLOADED = (1, 5000, 70_000, 300_000)
_CODES = (0, 0, 0, -3003, -3007, -3014, -3016, -3018, -3103, -1, 7)
_MARGIN = bytes(range(64))


class _Target:
    """A buffer between margins, in which nothing is to change."""

    def __init__(self, size: int) -> None:
        self._bytes = memoryview(bytearray(_MARGIN + bytes(size) + _MARGIN))
        self.content = self._bytes[len(_MARGIN) : len(_MARGIN) + size]

    def is_whole(self) -> bool:
        return self._bytes[: len(_MARGIN)] == self._bytes[-len(_MARGIN) :] == _MARGIN


class CarrierScene:
    """A client, and the data server that it asks."""

    def __init__(self, choices: Choices) -> None:
        """Nothing is asked."""
        self._choices = choices
        self._known = Known((0, 1, 2, IDENTITY))
        self._now = 1.0
        self._member = Member(0, 0, 1, IDENTITY, BOOT, 1 << 20, "/p", "u", "tcp://127.0.0.1:1")
        self._targets: list[_Target] = []
        self._told: set[int] = set()
        """Digests that the server has told."""
        self._server: MemorySocket
        self._stream: Stream
        self._connect()

    def _connect(self) -> None:
        here, self._server = connected(ROOM_BYTES, self._look_at_target)
        self._stream = Stream(here.as_socket(), LIMITS.step_bytes)

    def _time(self) -> float:
        return self._now

    def _look_at_target(self, target: memoryview) -> None:
        """What is about to be received into: a buffer of limited size, or one that was given."""
        at, size = address_of(target), len(target)
        given = [(address_of(one.content), len(one.content)) for one in self._targets]
        if not any(start <= at and at + size <= start + length for start, length in given):
            assert size <= MOST_ALONE_BYTES, "memory beyond every limit"

    # What the server says

    def _code(self) -> int:
        return self._choices.one_of(_CODES)

    def _wild(self) -> bytes:
        """Any answer, damaged frames, a prefix that promises something else, or noise."""
        choices, known = self._choices, self._known
        kinds = (*blocks.REPLIES_OF_DATA, replies.Codes, replies.Failure)
        frames = draw_frames(choices, known, kinds, Header(0))
        sizes = [len(frames[0]) if frames else 0, sum(map(len, frames[1:]))]
        if choices.is_rare(8):
            sizes[choices.below(2)] = choices.word(known)
        prefix = _PREFIX.pack(_MAGIC, sizes[0] & 0xFFFF, sizes[1] & 0xFFFFFFFF)
        return (choices.raw(10) if choices.is_rare(16) else prefix) + b"".join(frames)

    def _sending(self, sizes: list[int]) -> bytes:
        """An answer to a fetch, with bytes of which some may be damaged, too few or too many."""
        choices = self._choices
        codes = [self._code() for _ in sizes]
        fill = choices.byte()
        contents = [bytes([fill]) * size for size, code in zip(sizes, codes, strict=True) if not code]
        digests = [xxh3_64_intdigest(content) ^ choices.is_rare(8) for content in contents]
        self._told.update(digests)
        whole = b"".join(contents)
        if choices.is_rare(16):
            whole = whole[: choices.below(1 + len(whole))]
        outcomes = tuple(self._code() for _ in contents)
        sent = blocks.Sent(outcomes, tuple(digests))
        said = (blocks.Sending(tuple(codes)), sent)
        before, behind = (message_bytes(Header(0), message) for message in said)
        return before + whole + behind

    def _begun(self, count: int) -> bytes:
        words = [tuple(self._choices.word(self._known) for _ in range(count)) for _ in range(2)]
        codes = tuple(self._code() for _ in range(count))
        return message_bytes(Header(0), blocks.Begun(codes, *words))

    def _codes(self, count: int) -> bytes:
        return message_bytes(Header(0), replies.Codes(tuple(self._code() for _ in range(count))))

    def _failure(self) -> bytes:
        refusal: Message = replies.Failure(self._code(), "refused")
        return message_bytes(Header(0), refusal)

    def _answer(self, likely: bytes) -> None:
        """The server says something, and may close."""
        match self._choices.below(8):
            case 0 | 1 | 2 | 3:
                said = likely
            case 4:
                said = self._failure()
            case 5:
                said = self._choices.raw(self._choices.below(64))
            case _:
                said = self._wild()
        self._server.other.coming += said
        if self._choices.is_rare(8) or not self._choices:
            self._server.close()

    # Errands

    def _carry(self, errand: Errand, likely: partial[bytes]) -> None:
        """Do an errand as :class:`mmc.transfer.exchange.Exchange` does."""
        stream = self._stream
        talk = errand.talk(stream, self._time)
        for _ in range(_TURNS):
            try:
                wanted = next(talk)
            except StopIteration:
                errand.done(stream)
                return
            except (OSError, RemoteProtocolError):
                break
            self._server.coming.clear()
            if wanted == READ:
                self._answer(likely())
        talk.close()
        errand.fail(Code.UNREACHABLE)
        stream.close()
        self._connect()

    def _blocks(self, *, with_targets: bool) -> list[Block]:
        made = []
        for _ in range(1 + self._choices.below(3)):
            size = self._choices.one_of(_SIZES)
            target = _Target(size if with_targets else 0)
            cut = self._choices.below(size) if with_targets else 0
            self._targets.append(target)
            pieces = [piece for piece in (target.content[:cut], target.content[cut:]) if len(piece)]
            made.append(Block(Place(self._member, self._choices.byte(), 2, size), pieces))
        return made

    def fetch(self) -> None:
        """Have some objects sent."""
        wanted = self._blocks(with_targets=True)
        sizes = [block.place.size for block in wanted]
        errand = Fetching(self._member, wanted, self._now + _PATIENCE_S, self._count)
        self._carry(errand, partial(self._sending, sizes))
        arrived = [block for block in wanted if block.code == Code.OK]
        digests = [xxh3_64_intdigest(b"".join(block.targets)) for block in arrived]
        assert self._told.issuperset(digests), "S1: other bytes than those that were told of"
        self._judge([block.code for block in wanted])

    def probe(self) -> None:
        """Ask whether some objects are there."""
        wanted = self._blocks(with_targets=False)
        errand = Probing(self._member, wanted, self._now + _PATIENCE_S, self._count)
        self._carry(errand, partial(self._codes, len(wanted)))
        self._judge([block.code for block in wanted])

    def upload(self) -> None:
        """Write some objects, with the steps of :mod:`mmc.actors.client.sending`."""
        choices, until = self._choices, self._now + _PATIENCE_S
        sizes = [choices.one_of(_UPLOADED) for _ in range(1 + choices.below(3))]
        drafts = [Draft(b"key %d" % at, ObjectVersion(1, 7, 1, at), size) for at, size in enumerate(sizes)]
        pieces: dict[bytes, Sequence[memoryview]] = {
            draft.key: [memoryview(bytes(draft.size))] for draft in drafts
        }
        kept = Kept(LIMITS, self._time)
        upload = Uploading(self._member, drafts, pieces, until, kept, self._count)
        self._carry(upload.beginning(until), partial(self._begun, len(drafts)))
        self._judge(upload.codes)
        landing = upload.landing()
        if landing is not None:
            self._step(upload, landing)
        sound = [at for at, code in enumerate(upload.codes) if code == Code.OK and not choices.is_rare(4)]
        if sound:
            self._step(upload, upload.publishing(sound, 1), len(sound))
            self._judge(upload.codes)
        abandoning = upload.abandoning()
        if abandoning is not None:
            self._step(upload, abandoning, len(drafts) - len(sound))
        had_connection = upload.stream is not None
        upload.end()
        upload.end()
        if had_connection:
            self._connect()

    def _step(self, upload: Uploading, errand: Errand, count: int = 0) -> None:
        """One of its steps, for which it needs the connection that it has kept."""
        if upload.stream is not None:
            self._carry(errand, partial(self._codes, count))

    def _count(self, _name: str, _amount: int) -> None:
        """Counted by nobody."""

    def _judge(self, codes: list[Code]) -> None:
        assert all(isinstance(code, Code) for code in codes)
        assert all(target.is_whole() for target in self._targets), "bytes beside the buffers"
        self._targets.clear()

    def step(self) -> None:
        """The client asks something."""
        self._choices.one_of((self.fetch, self.upload, self.probe))()


def run(data: bytes) -> None:
    """Let the bytes decide what is asked and what is answered."""
    choices = Choices(data)
    scene = CarrierScene(choices)
    while choices:
        scene.step()
