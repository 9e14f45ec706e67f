"""Reserving records for drafts, on the ranks that placement names.

A key's ranks follow from its hash (or from the caller's preference), so that readers on this host look in
the right segment first.  When a rank has no space or does not answer for a second, and the caller did not
insist on it, the key's next rank is tried.  Where the session was lost, what it granted is forfeited and the
same rank is asked in the next session.  All drafts wait for their ranks at the same time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.actors.client.calls import Replies, Until
from mmc.actors.client.draft import Draft, Replica
from mmc.cache.placement import home_order, place
from mmc.errors import CacheError, Code
from mmc.wire import replies

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.actors.client.calls import Operation
    from mmc.actors.client.ranks import RankHandle
    from mmc.actors.client.writer import Writer
    from mmc.actors.link import Ticket

_AGAIN_S = 0.02
_PATIENCE_S = 1.0
"""So long a rank is waited for that may be dead, or full, where others may take the object."""
_TRY_ELSEWHERE = (Code.NO_SPACE, Code.NO_SUCH_RANK, Code.TIMED_OUT, Code.NOT_SERVING)

Need = tuple[Draft, int]
"""A draft, and a rank on which it still needs a record."""


def reserve_all(
    client: Writer,
    drafts: list[Draft],
    replicas: int,
    preferred: Sequence[int],
    deadline: float,
) -> Operation[None]:
    """Give every draft its records, or the code that says why not."""
    ranks = client.writable_ranks
    if not ranks:
        for draft in drafts:
            draft.code = Code.NO_SUCH_RANK
        return
    needs: list[Need] = []
    for draft in drafts:
        try:
            needs += [
                (draft, rank) for rank in place(draft.hashed, ranks, replicas, preferred, client.home_rank)
            ]
        except CacheError as error:
            draft.code = error.code
    tried: dict[bytes, list[int]] = {}
    while needs:
        untried = len(ranks) - 1 - (max(map(len, tried.values())) if tried else 0)
        has_others = not preferred and replicas == 1 and (untried > 0 or client.has_elsewhere)
        patience = min((deadline - client.now) / 2, _PATIENCE_S)
        until = client.now + patience if has_others else deadline
        failed = yield from _reserve_once(client, needs, until)
        if not failed:
            return
        needs = []
        is_early = False
        for draft, rank, code in failed:
            other = None
            if code == Code.UNKNOWN_SEQUENCE and rank in client.ranks:
                other = rank
            elif not preferred and replicas == 1 and code in _TRY_ELSEWHERE:
                tried.setdefault(draft.key, []).append(rank)
                other = _next_rank(client, draft, tried[draft.key])
            if other is None and code == Code.NOT_SERVING and rank in client.ranks:
                other, is_early = rank, True
            if other is None or client.now >= deadline:
                _fail(client, draft, code)
            else:
                needs.append((draft, other))
        needs = [(draft, rank) for draft, rank in needs if draft.code is None]
        if is_early:
            yield Until(min(deadline, client.now + _AGAIN_S))


def _next_rank(client: Writer, draft: Draft, tried: list[int]) -> int | None:
    order = home_order(draft.hashed, client.writable_ranks)
    return next((rank for rank in order if rank not in tried), None)


def _fail(client: Writer, draft: Draft, code: Code) -> None:
    draft.code = code
    for replica in draft.replicas:
        replica.handle.keep(replica.record, replica.capacity, client.now)
    draft.replicas = []


def _reserve_once(
    client: Writer, needs: list[Need], deadline: float
) -> Operation[list[tuple[Draft, int, Code]]]:
    """Serve needs from idle reserves and by asking each rank once; returns those that failed."""
    failed: list[tuple[Draft, int, Code]] = []
    asked: dict[int, list[Draft]] = {}
    for draft, rank in needs:
        handle = client.ranks.get(rank)
        if handle is None:
            failed.append((draft, rank, Code.NO_SUCH_RANK))
            continue
        reserve = handle.take(draft.size)
        if reserve is None:
            asked.setdefault(rank, []).append(draft)
        else:
            draft.replicas.append(Replica(handle, reserve.record, reserve.capacity))
    if not asked:
        return failed
    tickets: list[tuple[RankHandle, list[Draft], Ticket]] = []
    for rank, wanting in asked.items():
        handle = client.ranks[rank]
        sizes = [draft.size for draft in wanting]
        tickets.append((handle, wanting, handle.ask(sizes, deadline, client.now)))
    yield from _await_owned([(handle, ticket) for handle, _, ticket in tickets])
    taken = [
        (handle, wanting, _take_granted(client, handle, wanting, ticket))
        for handle, wanting, ticket in tickets
    ]  # all of them before waiting again: a caller that goes away meanwhile leaves no grant behind
    for handle, wanting, first in taken:
        code = first
        if code == Code.NO_SPACE and handle.idle_reserves():
            code = yield from _retry_without_idle(client, handle, wanting, deadline)
        if code != Code.OK:
            failed += [(draft, handle.rank, code) for draft in wanting]
    return failed


def _await_owned(asked: list[tuple[RankHandle, Ticket]]) -> Operation[None]:
    """Wait for grants; should the caller go away meanwhile, what is granted is idle."""
    arrived = False
    try:
        yield Replies([ticket for _, ticket in asked])
        arrived = True
    finally:
        if not arrived:
            for handle, ticket in asked:
                handle.disown(ticket)


def _take_granted(client: Writer, handle: RankHandle, wanting: list[Draft], ticket: Ticket) -> Code:
    reserved = ticket.reply
    if not isinstance(reserved, replies.Reserved):
        return ticket.code if ticket.code != Code.OK else Code.INTERNAL
    granted = list(zip(reserved.records, reserved.capacities, strict=True))
    for draft, (record, capacity) in zip(wanting, granted, strict=False):
        draft.replicas.append(Replica(handle, record, capacity))
    for record, capacity in granted[len(wanting) :]:
        handle.keep(record, capacity, client.now)
    return Code.OK


def _retry_without_idle(
    client: Writer, handle: RankHandle, wanting: list[Draft], deadline: float
) -> Operation[Code]:
    """The rank is full, and part of it is our own idle reserves: return them and ask again."""
    handle.give_back_idle(client.now)
    handle.expire(client.now)
    yield Until(min(deadline, client.now + _AGAIN_S))
    ticket = handle.ask([draft.size for draft in wanting], deadline, client.now)
    yield from _await_owned([(handle, ticket)])
    return _take_granted(client, handle, wanting, ticket)
