"""Copy objects of one rank to others: what a rank's mover does, for a drain or a repair.

The steps are those of a put (:mod:`mmc.actors.client.putting`, :mod:`mmc.actors.client.sending`), and so are
their reasons, but for these:

1. The meta service says what is to be copied.  Each source is *pinned* while it is: its bytes stay.
2. The copy has the object version of its source, and its place is asked for when all its bytes are there
   (``Replicate``), for from the grant until it is published a removal of the key has to wait.
3. It goes where there is room below the high watermark: a copy evicts nothing.
4. Nothing is settled.  What was published in vain is given back; of what became of the rest the meta service
   asks the rank.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from mmc.actors.client import putting
from mmc.actors.client.asking import greet_rank
from mmc.actors.client.calls import Copy, Outside, Replies
from mmc.actors.client.draft import Draft
from mmc.actors.client.parts import in_parts
from mmc.actors.client.reading import pin_by_slot, release
from mmc.actors.client.room import look
from mmc.cache.membership import MemberState
from mmc.cache.placement import spread_order
from mmc.errors import Code, told_code
from mmc.identifiers import Location, ObjectVersion
from mmc.segments import records
from mmc.segments.layout import CLOCK
from mmc.segments.reader import hit_at
from mmc.wire import replies, requests

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mmc.actors.client.calls import Operation
    from mmc.actors.client.far import Errand, Upload
    from mmc.actors.client.ranks import RankHandle
    from mmc.actors.client.reading import Pinned
    from mmc.actors.client.sending import Pieces
    from mmc.actors.client.service import ClientActor
    from mmc.identifiers import Member

_MOST_BYTES = 1 << 40
_ATTEMPTS = 4


class Round(NamedTuple):
    """What came of one round: how many objects were to be copied, and of those that were not, why."""

    handed: int
    refused: dict[bytes, Code]


_NOTHING = Round(0, {})


def move(
    client: ClientActor, rank: int, percent: int, refused: Mapping[bytes, Code], deadline: float
) -> Operation[Round]:
    """Copy some objects of a rank of this host to other ranks, as the meta service says.

    Args:
        client: one that can write the rank's segment.
        rank: whose objects.
        percent: other ranks are filled up to this part of their capacity.
        refused: what the round before this one refused.
        deadline: when to give up.
    """
    if (yield from greet_rank(client, rank, deadline)) != Code.OK:
        return _NOTHING
    handle = client.ranks[rank]
    count = min(len(handle.slots or ()), client.limits.keys_per_message)
    keys = tuple(refused)[: client.limits.keys_per_message]
    codes = tuple(int(refused[key]) for key in keys)
    ticket = client.ask_meta(requests.CopiesWanted(rank, count, _MOST_BYTES, keys, codes), deadline)
    yield Replies([ticket])
    plan = ticket.reply
    if not isinstance(plan, replies.CopyPlan) or not plan.keys:
        return _NOTHING
    client.saw_view(plan.view)
    if not client.is_view_current:
        yield Replies([client.refresh_members(max(0.0, deadline - client.now))])
    yield from look(client, deadline)
    copying = _Copying(client, handle, percent, deadline)
    try:
        copying.take_up(plan)
        for _ in range(_ATTEMPTS):
            yield from copying.attempt()
    finally:
        copying.end()
    return Round(len(plan.keys), copying.refused)


class _Source(NamedTuple):
    """An object to be copied: its pinned replica, its draft, and where its other replicas are."""

    pinned: Pinned
    draft: Draft
    others: tuple[Location, ...]
    goes: bool


class _Copying:
    """Objects on their way from one rank to others."""

    def __init__(self, client: ClientActor, handle: RankHandle, percent: int, deadline: float) -> None:
        self._client = client
        self._handle = handle
        self._percent = percent
        self._deadline = deadline
        self._sources: dict[bytes, _Source] = {}
        self._full: dict[bytes, set[int]] = {}
        self._uploads: list[Upload] = []
        self.refused: dict[bytes, Code] = {}

    def take_up(self, plan: replies.CopyPlan) -> None:
        """Pin what is to be copied; what is not there any more is left out."""
        rows = zip(plan.keys, plan.versions, plan.sizes, plan.places, plan.draining, strict=True)
        for key, version, size, places, goes in rows:
            pinned = self._pin(places[0][1:], ObjectVersion(*version), size) if places else None
            if pinned is None:
                self.refused[key] = Code.NOT_FOUND
                continue
            draft = Draft(key, ObjectVersion(*version), size)
            others = tuple(Location(*place) for place in places[1:])
            self._sources[key] = _Source(pinned, draft, others, bool(goes))
            self._full[key] = set()

    def _pin(self, place: tuple[int, ...], version: ObjectVersion, size: int) -> Pinned | None:
        record, generation = place
        segment = self._handle.segment
        if record >= segment.layout.records:
            return None
        hit = hit_at(segment, record, generation)
        pinned = None if hit is None else pin_by_slot(hit, self._handle)
        if pinned is None:
            return None
        if pinned.hit.size == size and records.version_of(segment, record) == version:
            return pinned
        release(pinned)
        return None

    def end(self) -> None:
        """Nothing is copied any more; what was not published is given up."""
        for upload in self._uploads:
            upload.end()
        for source in self._sources.values():
            putting.give_up(self._client, source.draft, Code.INTERNAL)
            release(source.pinned)
            if source.draft.code != Code.OK:
                self.refused[source.draft.key] = source.draft.code or Code.INTERNAL
        self._sources.clear()

    # Where to

    def attempt(self) -> Operation[None]:
        """Copy what is not copied yet to the ranks that it prefers among those that were not full."""
        chosen: dict[int, list[Draft]] = {}
        for source in self._sources.values():
            draft = source.draft
            if draft.code not in (None, Code.NO_SPACE):
                continue
            rank = self._choose(source)
            draft.code = Code.NO_SPACE
            if rank is not None:
                draft.code = None
                self._client.room.take([rank], draft.size, self._client.now)
                chosen.setdefault(rank, []).append(draft)
        for rank, drafts in chosen.items():
            if rank in self._client.ranks:
                yield from self._copy_here(rank, drafts)
            else:
                member = self._client.far_member(rank)
                if member is not None:
                    yield from self._send(member, drafts)
            for draft in drafts:
                if draft.code == Code.NO_SPACE:
                    self._full[draft.key].add(rank)

    def _choose(self, source: _Source) -> int | None:
        """On another machine and address than other replicas, else on this host, else where there is room."""
        client, draft = self._client, source.draft
        holders = {place.rank for place in source.others} | {self._handle.rank}
        taken = self._full[draft.key] | holders
        able = [rank for rank in (*client.writable_ranks, *client.far_ranks()) if rank not in taken]
        live = [rank for rank in able if client.members[rank].state == MemberState.LIVE]
        room = client.room.below(live, self._percent, draft.size)
        staying = holders - ({self._handle.rank} if source.goes else set())
        hosts = [client.members[rank].host for rank in staying if rank in client.members]
        machines, addresses = Counter(host[0] for host in hosts), Counter(hosts)

        def nearness(rank: int) -> tuple[int, int, bool]:
            host = client.members[rank].host
            return machines[host[0]], addresses[host], rank not in client.ranks

        return min(spread_order(draft.hashed, room), key=nearness, default=None)

    # This host

    def _copy_here(self, rank: int, drafts: list[Draft]) -> Operation[None]:
        client = self._client
        begun = yield from putting.begin(client, drafts, 1, (rank,), self._deadline)
        if not begun:
            return
        yield Outside(
            [
                Copy(replica.handle.segment.memory, replica.at, draft.size, [self._bytes_of(draft)])
                for draft in begun
                for replica in draft.replicas
            ]
        )
        places = [(rank, draft.replicas[0].record, draft.replicas[0].generation) for draft in begun]
        for draft in (yield from self._ask_for_places(begun, places)):
            hit = self._sources[draft.key].pinned.hit
            putting.make_readable([draft], hit.segment.words[hit.word + CLOCK])
            replica = draft.replicas[0]
            if putting.stands(draft, replica, client.now):
                draft.code = Code.OK
                replica.confirm(client.now)
            else:
                draft.code = Code.UNKNOWN_SEQUENCE
                replica.withdraw()

    def _bytes_of(self, draft: Draft) -> memoryview:
        hit = self._sources[draft.key].pinned.hit
        return hit.segment.memory.view(hit.at, hit.size)

    def _ask_for_places(
        self, drafts: list[Draft], places: Sequence[tuple[int, int, int]]
    ) -> Operation[list[Draft]]:
        """Ask for places of these copies; returns those that were granted theirs, with the terms."""
        ranks, numbers, generations = zip(*places, strict=True)
        message = requests.Replicate(
            tuple(draft.key for draft in drafts),
            tuple(draft.version for draft in drafts),
            ranks,
            numbers,
            generations,
        )
        ticket = self._client.ask_meta(message, self._deadline)
        yield Replies([ticket])
        claimed = ticket.reply
        codes: Sequence[int] = [ticket.code or Code.INTERNAL] * len(drafts)
        terms: dict[int, int] = {}
        if isinstance(claimed, replies.Claimed) and len(claimed.codes) == len(drafts):
            codes, terms = claimed.codes, dict(claimed.terms)
        granted = []
        for draft, code in zip(drafts, codes, strict=True):
            if code == Code.OK:
                draft.terms = terms
                granted.append(draft)
            else:
                putting.give_up(self._client, draft, told_code(code))
        return granted

    # Other hosts

    def _send(self, member: Member, drafts: list[Draft]) -> Operation[None]:
        """Upload copies; those of one upload come from one put, whose number it names once."""
        carrier = self._client.carrier
        assert carrier is not None
        most, most_bytes, side_by_side = carrier.upload_limits(member)
        of_puts: dict[tuple[int, ...], list[tuple[Draft, int]]] = {}
        for draft in drafts:
            of_puts.setdefault(draft.version[:3], []).append((draft, draft.size))
        every = [part for its in of_puts.values() for part in in_parts(its, most, most_bytes)]
        for at in range(0, len(every), side_by_side):
            yield from self._send_wave(member, every[at : at + side_by_side])

    def _send_wave(self, member: Member, parts: Sequence[list[Draft]]) -> Operation[None]:
        carrier = self._client.carrier
        assert carrier is not None
        pieces: Pieces = {draft.key: [self._bytes_of(draft)] for part in parts for draft in part}
        uploads = [carrier.upload(member, part, pieces, self._deadline) for part in parts]
        self._uploads += uploads
        yield from self._do([upload.beginning(self._deadline) for upload in uploads])
        yield from self._do([errand for upload in uploads if (errand := upload.landing()) is not None])
        at = {
            draft.key: (upload, position)
            for upload, part in zip(uploads, parts, strict=True)
            for position, draft in enumerate(part)
        }
        begun = []
        for draft in (draft for part in parts for draft in part):
            upload, position = at[draft.key]
            draft.code = upload.codes[position] or None
            if draft.code is None:
                begun.append(draft)
        places = [(member.rank, *at[draft.key][0].places[at[draft.key][1]]) for draft in begun]
        granted = (yield from self._ask_for_places(begun, places)) if begun else []
        wanted: dict[int, tuple[Upload, int, list[int]]] = {}
        for draft in granted:
            upload, position = at[draft.key]
            wanted.setdefault(id(upload), (upload, draft.terms.get(member.rank, 0), []))[2].append(position)
        yield from self._do([upload.publishing(its, term) for upload, term, its in wanted.values()])
        for draft in granted:
            upload, position = at[draft.key]
            draft.code = upload.codes[position]
        for upload in uploads:
            upload.end()

    def _do(self, errands: Sequence[Errand]) -> Operation[None]:
        assert self._client.carrier is not None
        if errands:
            yield Outside(self._client.carrier.together(errands))
