"""What a data server writes on behalf of clients of other hosts, as one more client of its own rank.

It has a client id and a session with the rank, and holds reserves like any client; only the names are not
its own: those who ask claim them, under object versions of theirs.  A write that is doubted after it was
published is theirs to settle.  It is returned here after a while: whatever the rank has taken over by then
stays, since nothing is returned that one does not hold.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

from mmc.actors.client.calls import Call
from mmc.actors.client.draft import Draft
from mmc.actors.client.putting import begin, give_up, make_readable, stands
from mmc.actors.client.ranks import RankHandle
from mmc.errors import Code
from mmc.identifiers import Member

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.actors.client.calls import Operation
    from mmc.actors.contract import Draw
    from mmc.limits import ClientLimits
    from mmc.segments.layout import Segment
    from mmc.wire.sequence import Frames

_RANK = 0
_CLOCK_PER_S = 16
_DOUBT_S = 5.0
T = TypeVar("T")


class Proxy:
    """A client of one rank, which writes what others have it write."""

    def __init__(
        self, segment: Segment, client: int, limits: ClientLimits, ahead_bytes: int, draw: Draw
    ) -> None:
        """``client`` names the lock file that this process holds beside the segment."""
        member = Member(_RANK, 0, 0, segment.id, 0, 0, "", "")
        self._handle = RankHandle(member, segment, client, limits, ahead_bytes, draw)
        self.ranks = {_RANK: self._handle}
        self.writable_ranks = [_RANK]
        self.home_rank: int | None = None
        self.has_elsewhere = False
        self.now = 0.0
        self._waiting: dict[Call[list[Draft]], None] = {}
        self._doubted: deque[tuple[float, Draft]] = deque()

    # Its session with the rank

    def receive(self, frames: Frames, now: float) -> None:
        """Take what the rank says."""
        self.now = now
        self._handle.link.receive(frames, now)

    def expire(self, now: float) -> None:
        """Confirm, return, retry: do what is due."""
        self.now = now
        while self._doubted and self._doubted[0][0] <= now:
            _, draft = self._doubted.popleft()
            for replica in draft.replicas:
                replica.withdraw()
        self._handle.expire(now)
        for call in self._waiting:
            if call.wake_at is not None and call.wake_at <= now:
                call.wake_at = None

    def next_deadline(self) -> float | None:
        """When :meth:`expire` has something to do."""
        times = [self._handle.next_deadline(), self._doubted[0][0] if self._doubted else None]
        times.extend(call.wake_at for call in self._waiting)
        return min((time for time in times if time is not None), default=None)

    def take_frames(self) -> list[Frames]:
        """What is to be sent to the rank."""
        return [effect.frames for effect in self._handle.link.take_effects()]  # type: ignore[union-attr] # a link only sends

    # Writing

    def begin(self, drafts: list[Draft], deadline: float, now: float) -> Call[list[Draft]]:
        """Reserve records for drafts and store their versions; the call returns those that got theirs."""
        return self._start(begin(self, drafts, 1, (), deadline), now)

    def _start(self, operation: Operation[list[Draft]], now: float) -> Call[list[Draft]]:
        self.now = now
        call = Call(operation)
        call.advance(now, begin=True)
        if not call.done:
            self._waiting[call] = None
        return call

    def take_done(self, now: float) -> list[Call[list[Draft]]]:
        """Go on with the calls that can; returns those that are done."""
        self.now = now
        for call in [call for call in self._waiting if call.can_advance]:
            call.advance(now)
        done = [call for call in self._waiting if call.done]
        for call in done:
            del self._waiting[call]
        return done

    def cancel(self, call: Call[list[Draft]], now: float) -> None:
        """Whoever wanted this is gone."""
        self.now = now
        self._waiting.pop(call, None)
        call.cancel()

    def publish(self, drafts: Sequence[Draft], term: int, now: float) -> list[Code]:
        """Make drafts readable under a term: 0, or -3010 where the rank may be another's by now."""
        self.now = now
        for draft in drafts:
            draft.terms = {_RANK: term}
        make_readable(drafts, int(now * _CLOCK_PER_S))
        codes = []
        for draft in drafts:
            if all(stands(draft, replica, now) for replica in draft.replicas):
                draft.code = Code.OK
                for replica in draft.replicas:
                    replica.confirm(now)
            else:
                draft.code = Code.UNKNOWN_SEQUENCE
                self._doubted.append((now + _DOUBT_S, draft))
            codes.append(draft.code)
        return codes

    def refill(self, drafts: Sequence[Draft], now: float) -> None:
        """Have the next write like this one find its reserves here."""
        self.now = now
        self._handle.refill(drafts[-1].size, len(drafts), now)

    def abandon(self, drafts: Sequence[Draft], now: float) -> None:
        """Give up drafts that were not published; of others nothing changes."""
        self.now = now
        for draft in drafts:
            give_up(self, draft, Code.UNKNOWN_SEQUENCE)
