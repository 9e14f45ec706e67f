"""One connection of a client of another host, from the data server's side.

Reading: the record is looked at, its bytes are handed to the kernel, and its generation is looked at again;
nothing is pinned.  Writing: the blocks of one *Begin* at a time are this connection's.  Whatever ends the
conversation abandons those that are not published, when nothing is received into them any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Protocol

from xxhash import xxh3_64

from mmc.actors.client.calls import Call
from mmc.actors.client.draft import Draft
from mmc.errors import Code, RemoteProtocolError
from mmc.identifiers import ObjectVersion, key_hash
from mmc.segments import records
from mmc.segments.reader import Hit, find, has_passed, hit_at, touch
from mmc.transfer.stream import message_bytes
from mmc.wire import blocks, replies
from mmc.wire.blocks import EARLY_BYTES
from mmc.wire.codec import Header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.actors.client.proxy import Proxy
    from mmc.limits import DataLimits
    from mmc.segments.layout import Segment
    from mmc.segments.mapping import BufferMemory
    from mmc.transfer.stream import Stream
    from mmc.wire.operations import Message

_LONGEST_S = 600.0
_CLOCK_PER_S = 16
_VERSION_BITS = 32
"""Of an object version's birth and position, which share a word of its record."""
_HELD_BACK_BYTES = 1 << 14
"""So many of the last bytes are copied before they are sent: then all have been read, and it can be said with
them whether they are whole."""
Talk = Generator["int | Call[list[Draft]]", None, None]
"""A conversation: it yields what its socket is to be waited for, or a call of the proxy."""


class Host(Protocol):
    """What the connections of one thread share."""

    segment: Segment
    memory: BufferMemory
    limits: DataLimits
    now: Callable[[], float]
    counters: Counter[str]
    digests: dict[int, tuple[int, int]]
    """By record the generation that was whole last, and the digest of its bytes."""

    def proxy(self) -> Proxy:
        """Who writes here for other hosts."""
        ...


class Serving:
    """One connection; ``ends_at`` is when it is to be ended, should its conversation not have moved on.

    ``is_moving`` while bytes are to come or go, which must not stall.
    """

    def __init__(self, stream: Stream, host: Host) -> None:
        """Nothing has been asked."""
        self.stream = stream
        self._host = host
        self._limits = host.limits
        self._drafts: list[Draft] = []
        self._broken: set[Draft] = set()
        self._write_ends_at = 0.0
        self._call: Call[list[Draft]] | None = None
        self.is_moving = False
        self.ends_at = host.now() + self._limits.idle_ms / 1000

    def talk(self) -> Talk:
        """Answer until the connection ends.

        Raises:
            OSError: it did.
            RemoteProtocolError: the peer says what is no request.
        """
        try:
            while True:
                self._rest()
                header, message = yield from self.stream.receive_message()
                until = self._host.now() + min(header.deadline_ms / 1000, _LONGEST_S)
                self.ends_at = min(until, self._write_ends_at) if self._drafts else until
                self.is_moving = True
                yield from self._answer(header, message)
        finally:
            self._abandon_all()

    def _rest(self) -> None:
        """Wait for a request: with a write open until its deadline."""
        if all(draft.code is not None for draft in self._drafts):
            self._drafts, self._broken = [], set()
        self.is_moving = False
        idle = self._host.now() + self._limits.idle_ms / 1000
        self.ends_at = self._write_ends_at if self._drafts else idle

    def _abandon_all(self) -> None:
        host = self._host
        if self._call is not None:
            host.proxy().cancel(self._call, host.now())
        if self._drafts:
            host.proxy().abandon(self._drafts, host.now())
            self._drafts = []

    def _answer(self, header: Header, message: Message) -> Talk:
        match message:
            case blocks.Fetch() as fetch:
                yield from self._fetch(header, fetch)
            case blocks.Seek() as seek:
                yield from self._seek(header, seek)
            case blocks.Probe() as probe:
                yield from self._reply(header, self._probe(probe))
            case blocks.Begin() as begin:
                yield from self._begin(header, begin)
            case blocks.Publish(term, chosen):
                yield from self._reply(header, self._publish(term, chosen))
                self._host.proxy().refill(self._drafts, self._host.now())
            case blocks.Abandon(chosen):
                yield from self._reply(header, self._abandon(chosen))
            case _:
                raise RemoteProtocolError(f"{type(message).__name__} is not asked of a data server")

    def _reply(self, header: Header, message: Message) -> Talk:
        yield from self.stream.send_message(_answering(header), message)

    def _is_refused(self, segment: int, count: int) -> replies.Failure | None:
        if count > self._limits.blocks_per_request:
            return replies.Failure(int(Code.TOO_LARGE), "more blocks than data.blocks_per_request")
        if segment != self._host.segment.id:
            return replies.Failure(int(Code.NO_SUCH_RANK), "another rank has this address now")
        return None

    # Reading

    def _find(self, record: int, generation: int) -> Hit | None:
        """The published object of this generation; where its bytes lie is true as long as that stays."""
        segment = self._host.segment
        if record >= segment.layout.records or generation & 1 or not generation:
            return None
        if not records.is_published(segment, record):
            return None
        if not records.is_of_this_term(segment, record):
            return None
        return hit_at(segment, record, generation)

    def _look_for(self, key: bytes) -> Hit | None:
        """The published object of this key, while this rank is known to be trusted with it."""
        segment = self._host.segment
        hit = find(segment, key, key_hash(key))
        if hit is None:
            return None
        term = records.term_of(segment, hit.record)
        return hit if segment.serves(term, segment.id, self._host.now()) else None

    def _probe(self, probe: blocks.Probe) -> Message:
        refusal = self._is_refused(probe.segment, len(probe.records))
        if refusal is not None:
            return refusal
        found = map(self._find, probe.records, probe.generations)
        return replies.Codes(tuple(int(Code.OK if hit else Code.NOT_FOUND) for hit in found))

    def _fetch(self, header: Header, fetch: blocks.Fetch) -> Talk:
        refusal = self._is_refused(fetch.segment, len(fetch.records))
        if refusal is not None:
            yield from self._reply(header, refusal)
            return
        codes: list[Code] = []
        hits: list[Hit] = []
        for record, generation, size in zip(fetch.records, fetch.generations, fetch.sizes, strict=True):
            hit = self._find(record, generation)
            if hit is None:
                codes.append(Code.NOT_FOUND)
            elif hit.size != size:
                codes.append(Code.WRONG_SIZE)
            else:
                codes.append(Code.OK)
                hits.append(hit)
        yield from self._send(header, blocks.Sending(tuple(codes)), hits)

    def _seek(self, header: Header, seek: blocks.Seek) -> Talk:
        refusal = self._is_refused(seek.segment, len(seek.keys))
        if refusal is not None:
            yield from self._reply(header, refusal)
            return
        left = seek.most
        found: list[Hit | None] = []
        for key, size in zip(seek.keys, seek.sizes, strict=True):
            hit = self._look_for(key)
            if hit is not None and (size not in (0, hit.size) or hit.size > left):
                hit = None
            left -= hit.size if hit is not None else 0
            found.append(hit)
        sought = blocks.Sought(
            tuple([int(Code.OK if hit is not None else Code.NOT_FOUND) for hit in found]),
            tuple([hit.record if hit is not None else 0 for hit in found]),
            tuple([hit.generation if hit is not None else 0 for hit in found]),
            tuple([hit.size if hit is not None else 0 for hit in found]),
        )
        yield from self._send(header, sought, [hit for hit in found if hit is not None])

    def _send(self, header: Header, message: Message, hits: Sequence[Hit]) -> Talk:
        """Send a message, objects, and what became of them.

        What was never sent is hashed behind the kernel's copy of it, while that travels.
        """
        opening = message_bytes(_answering(header), message)
        step = self._limits.step_bytes
        outcomes: list[int] = []
        digests: list[int] = []
        ending = b""
        for number, hit in enumerate(hits, 1):
            known = self._known_digest(hit)
            digest = None if known is not None else xxh3_64()
            whole = self._host.memory.view(hit.at, hit.size)
            held_back = min(_HELD_BACK_BYTES, hit.size) if number == len(hits) else 0
            for at in range(0, hit.size - held_back, step):
                part = whole[at : min(at + step, hit.size - held_back)]
                yield from self.stream.send_parts((opening, part))
                opening = b""
                if digest is not None:
                    digest.update(part)
            ending = bytes(whole[hit.size - held_back :])
            if digest is not None:
                digest.update(ending)
                known = digest.intdigest()
            is_whole = not has_passed(hit)
            if is_whole:
                self._host.digests[hit.record] = hit.generation, known or 0
            outcomes.append(int(Code.OK if is_whole else Code.NOT_FOUND))
            digests.append(known or 0)
            touch(hit.segment, hit.word, int(self._host.now() * _CLOCK_PER_S))
            self._host.counters["remote_read_bytes"] += hit.size
        sent = message_bytes(_answering(header), blocks.Sent(tuple(outcomes), tuple(digests)))
        yield from self.stream.send_parts((opening, ending, sent))

    def _known_digest(self, hit: Hit) -> int | None:
        """The digest of an object that was sent or received here before: it never changes."""
        generation, digest = self._host.digests.get(hit.record, (0, 0))
        return digest if generation == hit.generation else None

    # Writing

    def _begin(self, header: Header, begin: blocks.Begin) -> Talk:
        if self._drafts:
            raise RemoteProtocolError("a write is open already")
        if not begin.sizes or min(begin.sizes) < 1:
            raise RemoteProtocolError("objects have bytes")
        if max(begin.birth, *begin.positions) >> _VERSION_BITS:
            raise RemoteProtocolError("no record holds such an object version")
        refusal = self._is_refused(begin.segment, len(begin.keys))
        if refusal is not None:
            yield from self._reply(header, refusal)
            yield from self.stream.drop(min(EARLY_BYTES, begin.sizes[0]))
            return
        versions = (ObjectVersion(begin.birth, begin.client, begin.counter, at) for at in begin.positions)
        drafts = list(map(Draft, begin.keys, versions, begin.sizes))
        self._write_ends_at = self.ends_at
        self._drafts = drafts
        yield from self._reserve(drafts)
        places = [draft.replicas[0] if draft.code is None else None for draft in drafts]
        begun = blocks.Begun(
            tuple(int(draft.code or Code.OK) for draft in drafts),
            tuple(place.record if place else 0 for place in places),
            tuple(place.generation if place else 0 for place in places),
        )
        yield from self._reply(header, begun)
        if places[0] is None:
            yield from self.stream.drop(min(EARLY_BYTES, drafts[0].size))
        if any(places):
            yield from self._land()

    def _reserve(self, drafts: list[Draft]) -> Talk:
        """Have records for the drafts, or codes that say why not; the socket is not looked at meanwhile."""
        self.is_moving = False
        self._call = self._host.proxy().begin(drafts, self.ends_at, self._host.now())
        if not self._call.done:
            yield self._call
        self._call.result()
        self._call = None
        self.is_moving = True

    def _land(self) -> Talk:
        """Receive the bytes of what was granted, and see whether they are those that were sent."""
        host, digests = self._host, []
        granted = [draft for draft in self._drafts if draft.code is None]
        for draft in granted:
            digest = xxh3_64()
            target = host.memory.window(draft.replicas[0].at, draft.size)
            yield from self.stream.fill(target, digest)
            digests.append(digest.intdigest())
            host.counters["remote_written_bytes"] += draft.size
        _, landed = yield from self.stream.receive_message(at_once=True)
        if not isinstance(landed, blocks.Landed) or len(landed.digests) != len(granted):
            raise RemoteProtocolError("bytes are followed by their digests")
        for draft, ours, theirs in zip(granted, digests, landed.digests, strict=True):
            replica = draft.replicas[0]
            host.digests[replica.record] = replica.generation, ours
            if ours != theirs:
                host.counters["remote_damaged"] += 1
                self._broken.add(draft)

    def _chosen(self, chosen: tuple[int, ...]) -> list[Draft]:
        """The open blocks at these places, each once; any other place is a fault of the peer."""
        if len(set(chosen)) != len(chosen) or max(chosen, default=0) >= len(self._drafts):
            raise RemoteProtocolError("there are no such blocks in the write")
        return [self._drafts[at] for at in chosen]

    def _publish(self, term: int, chosen: tuple[int, ...]) -> Message:
        host, drafts = self._host, self._chosen(chosen)
        codes = dict.fromkeys(drafts, Code.NO_SUCH_RANK)
        sound = [draft for draft in drafts if draft.code is None and draft not in self._broken]
        if sound:
            codes.update(zip(sound, host.proxy().publish(sound, term, host.now()), strict=True))
        for draft in drafts:
            if draft in self._broken:
                codes[draft] = Code.UNREACHABLE
                host.proxy().abandon([draft], host.now())
        return replies.Codes(tuple(int(codes[draft]) for draft in drafts))

    def _abandon(self, chosen: tuple[int, ...]) -> Message:
        drafts = [draft for draft in self._chosen(chosen) if draft.code is None]
        self._host.proxy().abandon(drafts, self._host.now())
        return replies.Codes((int(Code.OK),) * len(chosen))


def _answering(header: Header) -> Header:
    """The header of an answer; the operation is the message's."""
    return Header(0, sequence=header.sequence)
