"""Get: copy from a replica on this host, found by hints, or by the word of the meta service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.actors.client.asking import greet_rank, locate
from mmc.actors.client.calls import Outside, Replies, Until
from mmc.cache.membership import MemberState
from mmc.errors import Code
from mmc.segments.reader import Hit, fetch, fetch_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.actors.client.calls import Operation
    from mmc.actors.client.service import ClientActor
    from mmc.segments.reader import Reader

_AGAIN_S = 0.001
_WAIT_S = 0.01


class Want:
    """One object to be read: into buffers, or as bytes; ``code`` is its outcome, None while unknown."""

    __slots__ = ("_clock", "code", "content", "hit", "key", "targets")

    def __init__(self, key: bytes, targets: Sequence[memoryview] | None) -> None:
        """``targets`` None: the content is wanted as new bytes."""
        self.key = key
        self.targets = targets
        self.content: bytes | None = None
        self.hit: Hit | None = None
        self.code: Code | None = None
        self._clock = 0

    def perform(self) -> None:
        """Copy from the hit; the outcome stays unknown when the replica passed away meanwhile."""
        assert self.hit is not None
        if self.targets is None:
            self.content = fetch_bytes(self.hit, self._clock)
            code = Code.OK if self.content is not None else Code.NOT_FOUND
        else:
            code = fetch(self.hit, self.targets, self._clock)
        self.code = None if code == Code.NOT_FOUND else code

    def try_hints(self, reader: Reader, clock: int) -> bool:
        """Read without a message, if the hints lead to a replica; ``clock`` is the access clock."""
        self._clock = clock
        self.hit = reader.locate(self.key)
        if self.hit is not None:
            self.perform()
        return self.code is not None


def read(client: ClientActor, wants: Sequence[Want], deadline: float) -> Operation[None]:
    """Read what hints did not lead to."""
    pending = list(wants)
    while pending:
        hits = yield from locate(client, [want.key for want in pending], deadline)
        found = []
        for want, hit in zip(pending, hits, strict=True):
            if isinstance(hit, Code):
                want.code = hit
            else:
                want.hit = hit
                found.append(want)
        if found:
            yield Outside(found)
        pending = [want for want in found if want.code is None]
        if pending and client.now + _AGAIN_S >= deadline:
            for want in pending:
                want.code = Code.TIMED_OUT
            return
        if pending:
            yield Until(client.now + _AGAIN_S)


def hold(client: ClientActor, key: bytes, deadline: float) -> Operation[Hit | Code]:
    """Find an object for a view, on a rank that has given this client slots for pins."""
    hit = client.reader.locate(key)
    if hit is None:
        found = yield from locate(client, [key], deadline)
        if isinstance(found[0], Code):
            return found[0]
        hit = found[0]
    for rank, handle in client.ranks.items():
        if handle.segment is hit.segment:
            code = yield from greet_rank(client, rank, deadline)
            return hit if code == Code.OK else code
    return Code.NO_SUCH_RANK


def await_ranks(client: ClientActor, deadline: float, *, count: int) -> Operation[Code]:
    """Wait until so many ranks of this host are there to be used; -3018 at the deadline."""
    while True:
        ticket = client.refresh_members(max(0.0, deadline - client.now))
        yield Replies([ticket])
        if ticket.code != Code.OK:
            return ticket.code
        live = [rank for rank in client.ranks if client.members[rank].state == MemberState.LIVE]
        if len(live) >= count:
            return Code.OK
        if client.now + _WAIT_S >= deadline:
            return Code.NO_SUCH_RANK
        yield Until(client.now + _WAIT_S)
