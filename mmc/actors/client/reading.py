"""Get: a copy from a replica on this host, found by hints or by the meta service's word; else from others."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmc.actors.client.asking import greet_rank, locate, pin_by_message
from mmc.actors.client.calls import Outside, Replies, Until
from mmc.actors.client.far import Far
from mmc.actors.client.fetching import fetch, fetch_remembered, seek
from mmc.cache.membership import MemberState
from mmc.errors import Code
from mmc.segments import pins
from mmc.segments.reader import Hit, Run, fetch_bytes, outcome, runs_of, touch
from mmc.segments.reader import fetch as fetch_here

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mmc.actors.client.calls import Operation
    from mmc.actors.client.ranks import RankHandle
    from mmc.actors.client.service import ClientActor
    from mmc.segments.layout import Segment
    from mmc.segments.reader import Reader

_AGAIN_S = 0.001
_LONGEST_AGAIN_S = 0.05
_WAIT_S = 0.01
_MANY_BYTES = 16 << 20
"""Of less than so much in small pieces, waiting for a helper takes what it saves."""
_SERVING = (MemberState.LIVE, MemberState.DRAINING)


class Want:
    """One object to be read: into buffers, or as bytes; ``code`` is its outcome, None while unknown."""

    __slots__ = ("_arriving", "_clock", "code", "content", "hit", "key", "targets")

    def __init__(self, key: bytes, targets: Sequence[memoryview] | None) -> None:
        """``targets`` None: the content is wanted as new bytes."""
        self.key = key
        self.targets = targets
        self.content: bytes | None = None
        self.hit: Hit | None = None
        self.code: Code | None = None
        self._clock = 0
        self._arriving = memoryview(b"")

    def perform(self) -> None:
        """Copy from the hit; the outcome stays unknown when the replica passed away meanwhile."""
        assert self.hit is not None
        if self.targets is None:
            self.content = fetch_bytes(self.hit, self._clock)
            code = Code.OK if self.content is not None else Code.NOT_FOUND
        else:
            code = fetch_here(self.hit, self.targets, self._clock)
        self._settle(code)

    def parts(self, least: int, total: int) -> Sequence[Run]:
        """The copy in parts of so many bytes; new bytes are made by one thread, as are few small pieces."""
        if self.hit is None or not self.targets:
            return ()
        is_in_pieces = len(self.targets) > self.hit.size // least + 1
        return () if is_in_pieces and total < _MANY_BYTES else runs_of(self.hit, self.targets, least)

    def finish(self) -> None:
        """All parts are copied."""
        assert self.hit is not None
        self._settle(outcome(self.hit, self._clock))

    def _settle(self, code: Code) -> None:
        self.code = None if code == Code.NOT_FOUND else code

    @property
    def size(self) -> int:
        """Bytes to be copied."""
        return self.hit.size if self.hit is not None else 0

    @property
    def room(self) -> int:
        """Bytes that the object has to have; 0, any number."""
        return sum([target.nbytes for target in self.targets]) if self.targets is not None else 0

    def fits(self, size: int) -> bool:
        """Whether an object of this size can be read."""
        return self.targets is None or self.room == size

    def buffers(self, size: int) -> Sequence[memoryview]:
        """Where an object of another host is to arrive."""
        if self.targets is not None:
            return self.targets
        self._arriving = np.empty(size, np.uint8).data
        return (self._arriving,)

    def arrived(self) -> None:
        """The buffers hold the object."""
        self.code = Code.OK
        if self.targets is None:
            self.content = bytes(self._arriving)
            self._arriving = memoryview(b"")

    def try_hints(self, reader: Reader, clock: int) -> bool:
        """Find it without a message, if the hints lead to a replica; ``clock`` is the access clock."""
        self._clock = clock
        self.hit = reader.locate(self.key)
        return self.hit is not None


def read(client: ClientActor, wants: Sequence[Want], deadline: float) -> Operation[None]:
    """Read what hints did not lead to."""
    unseen: Sequence[Want] = wants
    if client.remembered:
        unseen = [want for want in wants if want.key not in client.remembered]
        yield from fetch_remembered(client, wants, deadline)
    if unseen and client.has_elsewhere and client.guessing.may_guess():
        yield from seek(client, unseen, deadline)
    pending = [want for want in wants if want.code is None]
    pause = _AGAIN_S
    while pending:
        hits = yield from locate(client, [want.key for want in pending], deadline)
        found = []
        far = []
        for want, hit in zip(pending, hits, strict=True):
            if isinstance(hit, Code):
                want.code = hit
            elif isinstance(hit, Far):
                far.append((want, hit))
            else:
                want.hit = hit
                found.append(want)
        if found:
            yield Outside(found)
        if far:
            yield from fetch(client, far, deadline)
        pending = [want for want in pending if want.code is None]
        if pending and client.now + pause >= deadline:
            for want in pending:
                want.code = Code.TIMED_OUT
            return
        if pending:
            yield Until(client.now + pause)
            pause = min(2 * pause, _LONGEST_AGAIN_S)


class Pinned(NamedTuple):
    """A pinned object: the bytes of the hit stay what they are.

    ``is_asked``: through a slot that the rank writes.
    """

    hit: Hit
    handle: RankHandle
    slot: int
    is_asked: bool


def pin_known(client: ClientActor, key: bytes, clock: int) -> Pinned | None:
    """Pin an object that was found before, is still where it was, and whose rank gave slots to this client.

    Under no lock, from any thread.
    """
    hit = client.reader.recall(key)
    if hit is None:
        return None
    handle = _rank_of(client, hit.segment)
    if handle is None:
        return None
    pinned = pin_by_slot(hit, handle)
    if pinned is not None:
        touch(hit.segment, hit.word, clock)
    return pinned


def _rank_of(client: ClientActor, segment: Segment) -> RankHandle | None:
    """Whose segment this is; from any thread."""
    for handle in tuple(client.ranks.values()):
        if handle.segment is segment:
            return handle
    return None


def pin_by_slot(hit: Hit, handle: RankHandle) -> Pinned | None:
    """Pin through a free slot of one's own; None when there is none, or the replica has passed away."""
    slots = handle.slots
    if not slots:
        return None
    try:
        slot = slots.popleft()
    except IndexError:  # another thread took the last one
        return None
    if pins.pin(hit.segment, slot, hit.record, hit.generation):
        return Pinned(hit, handle, slot, is_asked=False)
    slots.append(slot)
    return None


def pin(client: ClientActor, key: bytes, deadline: float) -> Operation[Pinned | bytes | Code]:
    """Find and pin an object for a view; what is on another host is copied, and the copy is its reader's.

    Where its bytes lie was read before it is pinned: they are its own if the generation is still the
    same then, while from then on the record may be invalidated at any time.
    """
    while True:
        hit = client.reader.locate(key)
        if hit is None:
            found = yield from locate(client, [key], deadline)
            if isinstance(found[0], Code):
                return found[0]
            if isinstance(found[0], Far):
                want = Want(key, None)
                yield from read(client, [want], deadline)
                return want.content if want.content is not None else want.code or Code.INTERNAL
            hit = found[0]
        handle = _rank_of(client, hit.segment)
        if handle is None:
            return Code.NO_SUCH_RANK
        code = yield from greet_rank(client, handle.rank, deadline)
        if code != Code.OK:
            return code
        pinned = yield from _pin_at(client, hit, handle, deadline)
        if not isinstance(pinned, Code):
            touch(hit.segment, hit.word, client.clock())
            return pinned
        if pinned != Code.NOT_FOUND:
            return pinned
        if client.now + _AGAIN_S >= deadline:
            return Code.TIMED_OUT
        yield Until(client.now + _AGAIN_S)


def _pin_at(client: ClientActor, hit: Hit, handle: RankHandle, deadline: float) -> Operation[Pinned | Code]:
    """Pin through a free slot, or by the rank; -3007 when the replica has passed away."""
    if handle.slots:
        return pin_by_slot(hit, handle) or Code.NOT_FOUND
    if not handle.asked:
        return Code.NO_SPACE
    slot = handle.asked.popleft()
    code = yield from pin_by_message(client, hit, handle, slot, deadline)
    return Pinned(hit, handle, slot, is_asked=True) if code == Code.OK else code


def release(pinned: Pinned) -> None:
    """End a pin; from any thread, without waiting."""
    hit, handle, slot, is_asked = pinned
    if is_asked:
        handle.unpin_soon(slot)
        return
    if hit.segment.is_lost:
        return
    pins.unpin(hit.segment, slot)
    assert handle.slots is not None
    handle.slots.append(slot)


def await_rank(client: ClientActor, deadline: float, *, rank: int) -> Operation[Code]:
    """Wait until this rank of this host is there to be used; -3018 at the deadline."""
    return _await(client, deadline, lambda live: rank in live)


def await_ranks(client: ClientActor, deadline: float, *, count: int) -> Operation[Code]:
    """Wait until so many ranks of this host are there to be used; -3018 at the deadline."""
    return _await(client, deadline, lambda live: len(live) >= count)


def _await(client: ClientActor, deadline: float, suffice: Callable[[list[int]], bool]) -> Operation[Code]:
    has_answered = False
    while True:
        ticket = client.refresh_members(max(0.0, deadline - client.now))
        yield Replies([ticket])
        if ticket.code != Code.OK:
            return Code.NO_SUCH_RANK if has_answered and client.now >= deadline else ticket.code
        has_answered = True
        if suffice([rank for rank in client.ranks if client.members[rank].state in _SERVING]):
            return Code.OK
        if client.now + _WAIT_S >= deadline:
            return Code.NO_SUCH_RANK
        yield Until(client.now + _WAIT_S)
