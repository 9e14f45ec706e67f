"""Put: reserve, write the version, claim while copying, publish, check, confirm.

For each object, in this order, and each step for a reason:

1. Records with space are *reserved* on the ranks that placement names (or idle reserves taken).
2. The record turns odd and gets its *object version* before the claim is sent, so that its rank can always
   say: published, pending, or gone.
3. The *claim* travels while the bytes are copied.  Granted, the record is *published* under the term that
   the reply names.  A readable object of that name: -3006, and the reserve is kept.  Pending: what was
   granted is published first, then the rest is asked for again, until the deadline (-3101).
4. After publishing: **fence**, then check that the segment is still what the claim was granted for.  The rank
   stores ``closing``, fences, and then looks at records; so either it saw the record published, or
   the writer sees its ``closing``.  In that case, and when the rank is beyond its time to serve (it may
   have been given up), and when the claim's outcome is unknown (-3010), the put *settles*: it asks
   whether the name holds its version.  It never puts a second time.
5. A version is zeroed before a put gives up, whatever the reason; from then on its claim is void.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mmc.actors.client.asking import lookup
from mmc.actors.client.calls import Copy, Operation, Outside, Replies, Until
from mmc.actors.client.draft import Draft, Replica
from mmc.actors.client.parts import in_parts
from mmc.actors.client.reserving import reserve_all
from mmc.actors.client.service import ClientActor
from mmc.errors import Code, told_code
from mmc.identifiers import ObjectVersion
from mmc.segments import index, records
from mmc.wire import replies, requests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.actors.client.ranks import RankHandle
    from mmc.actors.client.writer import Writer
    from mmc.actors.link import Ticket

_CHUNK_SHARE = 4

OnGranted = Callable[[ClientActor, list[Draft], float], Operation[None]]
"""What is done with drafts whose names were granted."""


def put(
    client: ClientActor,
    keys: Sequence[bytes],
    values: Sequence[Sequence[memoryview]],
    replicas: int,
    preferred: Sequence[int],
    deadline: float,
) -> Operation[list[Code]]:
    """Put objects, each given as pieces that follow one another.

    Returns:
        One code per key: 0; -3006 exists; -3101 pending until the deadline; -3013 larger than the pool;
        -3016 no space; -3018 no such rank; -3017, -3004 no answer; -3010 outcome unknown.  A key that
        stands in the batch twice gets the outcome of its first.
    """
    drafts: dict[bytes, Draft] = {}
    pieces: dict[bytes, Sequence[memoryview]] = {}
    counter = client.next_put()
    for key, value in zip(keys, values, strict=True):
        if key not in drafts:
            version = ObjectVersion(client.epoch, client.client, counter, len(drafts))
            drafts[key] = Draft(key, version, sum([piece.nbytes for piece in value]))
            pieces[key] = value
    for chunk in chunks(client, list(drafts.values())):
        try:
            yield from _put_chunk(client, chunk, pieces, replicas, preferred, deadline)
        finally:
            for draft in chunk:
                give_up(client, draft, Code.INTERNAL)
    return [drafts[key].code or Code.OK for key in keys]


def chunks(client: ClientActor, drafts: list[Draft]) -> list[list[Draft]]:
    """Parts of a batch that fit in a message, and in a fraction of the smallest rank's bytes and records."""
    if len(drafts) == 1:
        return [drafts]
    layouts = [handle.segment.layout for handle in client.ranks.values()]
    most_bytes = min((layout.capacity for layout in layouts), default=0) // _CHUNK_SHARE
    most_records = min((layout.records for layout in layouts), default=0) // _CHUNK_SHARE
    most = max(1, min(client.limits.keys_per_message, most_records))
    return in_parts([(draft, draft.size) for draft in drafts], most, most_bytes)


def _put_chunk(
    client: ClientActor,
    chunk: list[Draft],
    pieces: dict[bytes, Sequence[memoryview]],
    replicas: int,
    preferred: Sequence[int],
    deadline: float,
) -> Operation[None]:
    drafts = yield from begin(client, chunk, replicas, preferred, deadline)
    if not drafts:
        return
    ticket = claim(client, drafts, deadline)
    _refill(client, drafts)
    yield Outside(
        [
            Copy(replica.handle.segment.memory, replica.at, draft.size, pieces[draft.key])
            for draft in drafts
            for replica in draft.replicas
        ]
    )
    yield from follow_claim(client, drafts, ticket, deadline, publish)


def _refill(client: ClientActor, drafts: list[Draft]) -> None:
    """Have the next put like this one find its reserves here: its rank sees to that while this one copies."""
    used: dict[RankHandle, list[int]] = {}
    for draft in drafts:
        for replica in draft.replicas:
            used.setdefault(replica.handle, []).append(draft.size)
    for handle, sizes in used.items():
        handle.refill(sizes[-1], len(sizes), client.now)


def begin(
    client: Writer, drafts: list[Draft], replicas: int, preferred: Sequence[int], deadline: float
) -> Operation[list[Draft]]:
    """Reserve records and write versions into them; returns the drafts that got theirs.

    -3018 where a rank's tables say of a record that its bytes lie outside of the payload.
    """
    yield from reserve_all(client, drafts, replicas, preferred, deadline)
    for draft in drafts:
        for replica in draft.replicas:
            if not replica.find_place(draft.size):
                give_up(client, draft, Code.NO_SUCH_RANK)
                break
    begun = [draft for draft in drafts if draft.code is None]
    for draft in begun:
        for replica in draft.replicas:
            segment, record = replica.handle.segment, replica.record
            replica.generation = records.begin_write(segment, record, draft.version)
            records.describe(segment, record, draft.key, draft.hashed, draft.size)
    return begun


def follow_claim(
    client: ClientActor, drafts: list[Draft], ticket: Ticket, deadline: float, on_granted: OnGranted
) -> Operation[None]:
    """See a claim through, asking again for what is pending, until the deadline."""
    pause = client.limits.pending_ms / 1000
    while drafts:
        yield Replies([ticket])
        drafts = yield from _take_claimed(client, drafts, ticket, deadline, on_granted)
        if not drafts:
            return
        if client.now + pause >= deadline:
            for draft in drafts:
                give_up(client, draft, Code.WRONG_STATE)
            return
        yield Until(client.now + pause)
        pause = min(2 * pause, client.limits.pending_max_ms / 1000)
        ticket = claim(client, drafts, deadline)


def claim(client: ClientActor, drafts: list[Draft], deadline: float) -> Ticket:
    """Ask for the names of drafts of one put."""
    version = drafts[0].version
    message = requests.Claim(
        version.epoch,
        version.counter,
        tuple([draft.version.position for draft in drafts]),
        tuple([draft.key for draft in drafts]),
        tuple([draft.size for draft in drafts]),
        tuple([tuple([(r.rank, r.record, r.generation) for r in draft.replicas]) for draft in drafts]),
    )
    return client.ask_meta(message, deadline)


def _take_claimed(
    client: ClientActor, drafts: list[Draft], ticket: Ticket, deadline: float, on_granted: OnGranted
) -> Operation[list[Draft]]:
    """Act on the answer to a claim; returns the drafts to be claimed again."""
    claimed = ticket.reply
    if not isinstance(claimed, replies.Claimed) or len(claimed.codes) != len(drafts):
        if ticket.code != Code.UNKNOWN_SEQUENCE:
            for draft in drafts:
                give_up(client, draft, ticket.code or Code.INTERNAL)
            return []
        return (yield from _settle_claims(client, drafts, deadline))
    client.saw_view(claimed.view)
    terms = dict(claimed.terms)
    pending = []
    granted = []
    for draft, code in zip(drafts, claimed.codes, strict=True):
        if code == Code.OK:
            draft.terms = terms
            granted.append(draft)
        elif code == Code.WRONG_STATE:
            pending.append(draft)
        else:
            give_up(client, draft, told_code(code))
    yield from on_granted(client, granted, deadline)
    return pending


def publish(client: ClientActor, granted: list[Draft], deadline: float) -> Operation[None]:
    """Make drafts readable under the terms that their names were granted for, and see whether they stand."""
    make_readable(granted, client.clock())
    doubtful = []
    for draft in granted:
        for replica in draft.replicas:
            if stands(draft, replica, client.now):
                _succeed(client, draft)
                break
        else:
            doubtful.append(draft)
    if doubtful:
        yield from settle_published(client, doubtful, deadline)


def make_readable(granted: Sequence[Draft], clock: int) -> None:
    """Publish the drafts' records of this host, and fence: their segments are seen as they are now.

    The first replica of each draft is on this host.
    """
    for draft in granted:
        for replica in draft.replicas:
            if not replica.is_here:
                continue
            segment = replica.handle.segment
            term = draft.terms.get(replica.handle.rank, 0)
            records.publish(segment, replica.record, replica.generation, term, clock)
            index.insert(segment, draft.hashed, replica.record)
        draft.is_published = True
    if granted:
        granted[0].replicas[0].handle.segment.memory.fence()


def stands(draft: Draft, replica: Replica, now: float) -> bool:
    """Whether the replica's segment is still what the name was granted for."""
    handle = replica.handle
    return handle.segment.serves(draft.terms.get(handle.rank, 0), handle.member.segment, now)


def _succeed(client: ClientActor, draft: Draft) -> None:
    draft.code = Code.OK
    for replica in draft.replicas:
        replica.confirm(client.now)


def _settle_claims(client: ClientActor, drafts: list[Draft], deadline: float) -> Operation[list[Draft]]:
    """The claim may or may not have run: those that hold our version are claimed again under it."""
    rows = yield from lookup(client, [draft.key for draft in drafts], deadline)
    again = []
    for draft, row in zip(drafts, rows, strict=True):
        if row.version == draft.version and row.places:
            again.append(draft)
        else:
            give_up(client, draft, Code.UNKNOWN_SEQUENCE)
    return again


def settle_published(client: ClientActor, drafts: list[Draft], deadline: float) -> Operation[None]:
    """Published while its rank changed terms: a success if the name holds our version, readable."""
    pause = client.limits.pending_ms / 1000
    while drafts:
        rows = yield from lookup(client, [draft.key for draft in drafts], deadline)
        again = []
        for draft, row in zip(drafts, rows, strict=True):
            mine = row.version == draft.version
            if mine and row.code in (Code.OK, Code.NOT_FOUND):
                _succeed(client, draft)
            elif (mine or row.code == Code.UNREACHABLE) and client.now + pause < deadline:
                again.append(draft)
            else:
                _withdraw(draft)
        drafts = again
        if drafts:
            yield Until(client.now + pause)
            pause = min(2 * pause, client.limits.pending_max_ms / 1000)


def _withdraw(draft: Draft) -> None:
    """Published in vain: the rank is to invalidate what it has not taken over."""
    draft.code = Code.UNKNOWN_SEQUENCE
    for replica in draft.replicas:
        replica.withdraw()


def give_up(client: Writer, draft: Draft, code: Code) -> None:
    """End a draft that was not published; its records are idle reserves again."""
    if draft.code is None:
        draft.code = code
    if draft.is_published:
        if draft.code == Code.INTERNAL:
            _withdraw(draft)
        return
    for replica in draft.replicas:
        replica.abandon(client.now)
    draft.replicas = []
