"""Operations that ask: where keys are, what they are, remove, lease.

Every operation takes a list of keys and gives one answer per key, by its deadline.  Lists longer than a
message may be travel in several, all at once.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from mmc.actors.client.calls import Outside, Replies, Until
from mmc.actors.client.far import Block, Far, Place, nearest_first
from mmc.actors.client.fetching import by_rank
from mmc.errors import Code, told_code
from mmc.identifiers import Location, ObjectVersion, key_hash
from mmc.segments.reader import Hit, check
from mmc.wire import replies, requests

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mmc.actors.client.calls import Operation
    from mmc.actors.client.ranks import RankHandle
    from mmc.actors.client.service import ClientActor
    from mmc.actors.link import Ticket
    from mmc.segments.layout import Segment
    from mmc.wire.operations import Message

_AGAIN_S = 0.001
_LONGEST_AGAIN_S = 0.1
_HOLDER_SHARE = 0.99


class Row(NamedTuple):
    """What the meta service says of one key."""

    code: Code
    version: ObjectVersion
    size: int
    leased: bool
    places: tuple[Location, ...]


_NO_VERSION = ObjectVersion(0, 0, 0, 0)
_ABSENT = Row(Code.NOT_FOUND, _NO_VERSION, 0, leased=False, places=())


class ObjectInfo(NamedTuple):
    """What is known of one object.

    Attributes:
        size: bytes.
        leased: whether it is under an explicit lease.
        places: where its readable replicas lie; ``ranks`` has the rank of each.
    """

    size: int
    leased: bool
    places: tuple[Location, ...]

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks of the replicas."""
        return tuple(place.rank for place in self.places)


def ask_in_parts(
    client: ClientActor,
    keys: Sequence[bytes],
    message: Callable[[tuple[bytes, ...]], Message],
    deadline: float,
) -> Operation[list[tuple[Sequence[bytes], Ticket]]]:
    """Send one message per part of the keys; returns each part with its done ticket."""
    step = client.limits.keys_per_message
    if len(keys) <= step:
        ticket = client.ask_meta(message(tuple(keys)), deadline)
        yield Replies((ticket,))
        return [(keys, ticket)]
    parts = [keys[at : at + step] for at in range(0, len(keys), step)]
    tickets = [client.ask_meta(message(tuple(part)), deadline) for part in parts]
    yield Replies(tickets)
    return list(zip(parts, tickets, strict=True))


def lookup(client: ClientActor, keys: Sequence[bytes], deadline: float) -> Operation[list[Row]]:
    """What the meta service knows of these keys."""
    rows: list[Row] = []
    answers = yield from ask_in_parts(client, keys, requests.Lookup, deadline)
    for part, ticket in answers:
        found = ticket.reply
        if not isinstance(found, replies.Found) or len(found.codes) != len(part):
            rows += [Row(_failed(ticket), _NO_VERSION, 0, leased=False, places=())] * len(part)
            continue
        client.saw_view(found.view)
        for code, version, size, leased, places in zip(
            found.codes, found.versions, found.sizes, found.leased, found.places, strict=True
        ):
            if code == Code.NOT_FOUND and version == _NO_VERSION:
                rows.append(_ABSENT)
                continue
            where = tuple(Location(*place) for place in places)
            rows.append(Row(told_code(code), ObjectVersion(*version), size, bool(leased), where))
    return rows


def _failed(ticket: Ticket) -> Code:
    return ticket.code if ticket.code != Code.OK else Code.INTERNAL


def locate(client: ClientActor, keys: Sequence[bytes], deadline: float) -> Operation[list[Hit | Far | Code]]:
    """Readable replicas of these keys, on this host if there are any, by the word of the meta service.

    The record itself decides: of a key that is claimed but not published there is no object yet, and
    where a listed record has just passed away, the meta service is asked again.
    """
    rows = yield from lookup(client, keys, deadline)
    codes = [row.code for row in rows]
    if Code.OK not in codes and Code.WRONG_STATE not in codes:
        return list(codes)
    answers: dict[int, Hit | Far | Code] = {}
    pending = list(range(len(keys)))
    pause = _AGAIN_S
    while pending:
        refreshed = False
        again = []
        claimed: list[tuple[int, Far, bool]] = []
        for position, row in zip(pending, rows, strict=True):
            if row.code not in (Code.OK, Code.WRONG_STATE):
                answers[position] = row.code
                continue
            if not refreshed and not any(_is_within_reach(client, place.rank) for place in row.places):
                refreshed = True
                yield Replies([client.refresh_members(max(0.0, deadline - client.now))])
            answer: Hit | Far | Code | None = _read_place(client, keys[position], row)
            if answer == Code.UNREACHABLE and (far := _elsewhere(client, row)):
                if row.code == Code.WRONG_STATE:
                    within = all(_can_tell(client, place) for place in row.places)
                    claimed.append((position, far, within))
                    continue
                answer = far
            if answer is None:
                again.append(position)
            else:
                answers[position] = answer
        for position, answer in (yield from _probe(client, claimed, deadline)):
            if answer is None:
                again.append(position)
            else:
                answers[position] = answer
        if again and client.now + pause >= deadline:
            answers.update(dict.fromkeys(again, Code.UNREACHABLE))
            break
        if again:
            yield Until(client.now + pause)
            pause = min(2 * pause, _LONGEST_AGAIN_S)
            rows = yield from lookup(client, [keys[i] for i in again], deadline)
        pending = again
    return [answers[position] for position in range(len(keys))]


def _is_within_reach(client: ClientActor, rank: int) -> bool:
    return rank in client.ranks or (client.is_view_current and client.far_member(rank) is not None)


def _can_tell(client: ClientActor, place: Location) -> bool:
    """Whether it can be seen if a record is published: not in a segment of this host that is dead."""
    handle = client.ranks.get(place.rank)
    return _is_in(handle.segment, place.record) if handle else _is_within_reach(client, place.rank)


def _elsewhere(client: ClientActor, row: Row) -> Far | None:
    """The replicas of other hosts."""
    there = [
        Place(member, place.record, place.generation, row.size)
        for place in row.places
        if (member := client.far_member(place.rank)) is not None
    ]
    if not there:
        return None
    assert client.carrier is not None
    return nearest_first(there, client.carrier.distance, hash((client.client, row.version)))


def _probe(
    client: ClientActor, claimed: list[tuple[int, Far, bool]], deadline: float
) -> Operation[list[tuple[int, Far | Code | None]]]:
    """What the records of other hosts say of claimed names: published, -3007 not, -3014, or ask again.

    Each name comes with whether all of its places are within reach.
    """
    if not claimed:
        return []
    assert client.carrier is not None
    blocks = [[Block(place, ()) for place in far.places] for _, far, _ in claimed]
    every = [block for group in blocks for block in group]
    yield Outside(client.carrier.together(by_rank(every, partial(client.carrier.probe, until=deadline))))
    answers: list[tuple[int, Far | Code | None]] = []
    for (position, far, within), group in zip(claimed, blocks, strict=True):
        codes = [block.code for block in group]
        if Code.OK in codes:
            first = codes.index(Code.OK)
            answers.append((position, Far(far.places[first:])))
        elif not within and client.is_view_current:
            answers.append((position, Code.UNREACHABLE))
        elif set(codes) == {Code.NOT_FOUND}:
            answers.append((position, Code.NOT_FOUND if client.is_view_current else None))
        else:
            known = [code for code in codes if code not in (Code.NOT_FOUND, Code.NO_SUCH_RANK)]
            answers.append((position, known[0] if known else None))
    return answers


def _read_place(client: ClientActor, key: bytes, row: Row) -> Hit | Code | None:
    """A hit; -3007 claimed and seen not to be published; -3014 out of sight of this host; None: ask again.

    Of what is not published, only a segment that is the rank's in the membership of the answer can tell.
    """
    hashed = key_hash(key)
    here = [
        place
        for place in row.places
        if place.rank in client.ranks and _is_in(client.ranks[place.rank].segment, place.record)
    ]
    for place in here:
        hit = check(client.ranks[place.rank].segment, place.record, key, hashed)
        if hit is not None and hit.generation == place.generation:
            client.reader.remember(key, hit)
            return hit
    if row.code == Code.WRONG_STATE and len(here) == len(row.places):
        return Code.NOT_FOUND if client.is_view_current else None
    return None if here and row.code == Code.OK else Code.UNREACHABLE


def _is_in(segment: Segment, record: int) -> bool:
    """Whether there is such a record, in a segment that is to be believed: clients claim any numbers."""
    return record < segment.layout.records and not segment.is_dead


def query(client: ClientActor, keys: Sequence[bytes], deadline: float) -> Operation[list[ObjectInfo | Code]]:
    """What is known of these keys."""
    rows = yield from lookup(client, keys, deadline)
    infos: list[ObjectInfo | Code] = []
    claimed = [i for i, row in enumerate(rows) if row.code == Code.WRONG_STATE]
    hits = yield from locate(client, [keys[i] for i in claimed], deadline)
    decided = dict(zip(claimed, hits, strict=True))
    for position, row in enumerate(rows):
        code = decided.get(position, row.code)
        if not isinstance(code, Code) or code == Code.OK:
            infos.append(ObjectInfo(row.size, row.leased, row.places))
        else:
            infos.append(code)
    return infos


def codes_for(
    client: ClientActor,
    keys: Sequence[bytes],
    message: Callable[[tuple[bytes, ...]], Message],
    deadline: float,
) -> Operation[list[Code]]:
    """One code per key, from a request that answers so: remove, lease, unlease."""
    codes: list[Code] = []
    answers = yield from ask_in_parts(client, keys, message, deadline)
    for part, ticket in answers:
        reply = ticket.reply
        if isinstance(reply, replies.Codes) and len(reply.codes) == len(part):
            codes += [told_code(code) for code in reply.codes]
        else:
            codes += [_failed(ticket)] * len(part)
    return codes


def remove(client: ClientActor, keys: Sequence[bytes], deadline: float) -> Operation[list[Code]]:
    """Remove keys: 0, -3007 missing, -3104 leased, -3018 a rank is unsound, -3004 undecided."""
    return codes_for(client, keys, requests.Remove, deadline)


def lease(client: ClientActor, keys: Sequence[bytes], ttl_ms: int, deadline: float) -> Operation[list[Code]]:
    """Lease keys for ``ttl_ms`` (0: the configured default), counted from now."""
    return codes_for(client, keys, lambda part: requests.Lease(part, ttl_ms), deadline)


def counts_until(client: ClientActor, sent: float, ttl_ms: int) -> float:
    """Until when the holder of a lease may count on it that was first sent at a time, by this clock.

    From the sending, since nobody knows how long the answer took; and one per cent less than was asked,
    while ranks keep it one per cent longer: clocks may differ by that much.
    """
    return sent + (ttl_ms or client.lease_ttl_ms) / 1000 * _HOLDER_SHARE


def unlease(
    client: ClientActor, keys: Sequence[bytes], deadline: float, *, abandoned: bool = False
) -> Operation[list[Code]]:
    """End this client's leases early; ``abandoned``: also those of clients that were closed."""
    return codes_for(client, keys, lambda part: requests.Unlease(part, abandoned), deadline)


def status(client: ClientActor, deadline: float) -> Operation[replies.StatusReport | Code]:
    """The counters of the meta service and of each rank."""
    ticket = client.ask_meta(requests.StatusQuery(), deadline)
    yield Replies([ticket])
    return ticket.reply if isinstance(ticket.reply, replies.StatusReport) else _failed(ticket)


def greet_rank(client: ClientActor, rank: int, deadline: float) -> Operation[Code]:
    """See to it that a rank knows this client, so that it has slots for pins."""
    handle = client.ranks.get(rank)
    if handle is None:
        return Code.NO_SUCH_RANK
    if handle.slots is not None:
        return Code.OK
    ticket = handle.link.request(requests.KeepAlive(), deadline, client.now, lambda _: None)
    yield Replies([ticket])
    return ticket.code


def pin_by_message(
    client: ClientActor, hit: Hit, handle: RankHandle, slot: int, deadline: float
) -> Operation[Code]:
    """Have the rank pin a record, where this client cannot by itself, through a slot that the rank writes.

    The slot is free again when the rank says that it has pinned nothing; when nobody says so, not before it
    has heard that the pin has ended.
    """
    message = handle.pin_message(slot, hit.record, hit.generation)
    ticket = handle.link.request(message, deadline, client.now, lambda _: None)
    code = None
    try:
        yield Replies([ticket])
        if isinstance(ticket.reply, replies.Codes) and ticket.reply.codes:
            code = told_code(ticket.reply.codes[0])
    finally:
        if code is None:
            handle.unpin_soon(slot)
        elif code != Code.OK:
            handle.asked.append(slot)
    return _failed(ticket) if code is None else code
