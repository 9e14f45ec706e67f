"""Ask the meta service to have a rank give its objects to others, and how that goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mmc.actors.client.calls import Replies, Until
from mmc.errors import CacheError, Code, NotFound, error_for, told_code
from mmc.wire import replies, requests
from mmc.wire.operations import DrainAct, DrainState

if TYPE_CHECKING:
    from mmc.actors.client.calls import Operation
    from mmc.actors.client.service import ClientActor


_AGAIN_S = 0.02


class DrainStatus(NamedTuple):
    """How the drain of a rank is.

    Attributes:
        rank: whose objects go to other ranks.
        job: the drain's name: the same for as long as the rank has its segment.
        state: ``running``; ``blocked``, what is left fits nowhere, and is tried again; ``drained``, nothing
            is left, and the rank may be stopped without loss; ``cancelled``; ``gone``, the rank is no member.
        moved_objects: copied to another rank.
        moved_bytes: of these.
        discarded_objects: let go of without a copy, as was asked for.
        discarded_bytes: of these.
        left_objects: still on the rank.
        left_bytes: of these.
        refused_objects: of a drain that is blocked: for so many no rank has room.
    """

    rank: int
    job: str
    state: str
    moved_objects: int = 0
    moved_bytes: int = 0
    discarded_objects: int = 0
    discarded_bytes: int = 0
    left_objects: int = 0
    left_bytes: int = 0
    refused_objects: int = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing changes any more by itself."""
        return self.state in ("drained", "cancelled", "gone")


_COUNTERS = DrainStatus._fields[3:]


def ask(client: ClientActor, deadline: float, *, rank: int, act: DrainAct) -> Operation[DrainStatus]:
    """Begin or cancel a drain, or ask about it.

    Raises:
        CacheError: -3018 no such rank; -3016 no other rank takes objects; -3007 it does not drain; -3017 no
            answer.
    """
    while True:
        ticket = client.ask_meta(requests.Drain(rank, int(act)), deadline)
        yield Replies([ticket])
        if ticket.code != Code.UNKNOWN_SEQUENCE or client.now + _AGAIN_S >= deadline:
            break
        yield Until(client.now + _AGAIN_S)  # asked twice it is the same
    match ticket.reply:
        case replies.DrainReport(told, segment, state, counters):
            known = dict(counters)
            name = DrainState(state).name.lower() if state in set(DrainState) else "unknown"
            counts = [known.get(counter, 0) for counter in _COUNTERS]
            return DrainStatus(told, f"{told}-{segment:016x}", name, *counts)
        case replies.Failure(code, sentence):
            raise (NotFound(sentence) if code == Code.NOT_FOUND else CacheError(sentence, told_code(code)))
        case _:
            raise error_for(ticket.code, f"drain of rank {rank}")


def rank_of_job(job: str) -> int | None:
    """The rank of a drain's name; None if it is no such name."""
    rank, _, segment = job.partition("-")
    is_name = rank.isdecimal() and len(segment) == len(f"{0:016x}")
    return int(rank) if is_name else None
