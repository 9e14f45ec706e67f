"""Put to other hosts: what no rank of this one takes, or what is to lie there, too.

Replicas lie on distinct hosts where there are such: the first on this one, in its segment as ever, the others
behind uploads.  What was refused is spread over the ranks that have not refused it, by their room.

The steps are those of :mod:`mmc.actors.client.putting`, and so are their reasons; those that touch a record
are asked of its rank's data server over the upload's connection, and a step of many objects is one message.
What failed before anything of it was published is put again to the key's next rank, under another object
version: the claim that it may have is void, since its version is gone.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from mmc.actors.client import putting
from mmc.actors.client.calls import Copy, Outside
from mmc.actors.client.draft import Draft
from mmc.actors.client.far import FarReplica
from mmc.actors.client.parts import in_parts
from mmc.actors.client.putting import (
    claim,
    follow_claim,
    give_up,
    make_readable,
    settle_published,
    stands,
)
from mmc.actors.client.room import look
from mmc.cache.placement import home_order, place_widely
from mmc.errors import CacheError, Code
from mmc.identifiers import ObjectVersion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.actors.client.calls import Operation, Work
    from mmc.actors.client.far import Carrier, Errand, Upload
    from mmc.actors.client.service import ClientActor
    from mmc.identifiers import Member

_NOT_HERE = (Code.NO_SPACE, Code.NO_SUCH_RANK, Code.TOO_LARGE, Code.NOT_SERVING)
_TRY_ELSEWHERE = (*_NOT_HERE, Code.UNREACHABLE, Code.TIMED_OUT)
_SILENT = (Code.NO_SUCH_RANK, Code.UNREACHABLE, Code.TIMED_OUT)
_MOST_ATTEMPTS = 8
_NEAR_SHARE = 4

Pieces = dict[bytes, "Sequence[memoryview]"]


def put(
    client: ClientActor,
    keys: Sequence[bytes],
    values: Sequence[Sequence[memoryview]],
    replicas: int,
    preferred: Sequence[int],
    deadline: float,
) -> Operation[list[Code]]:
    """Put objects on this host, and on others what this one cannot take; codes as of ``putting.put``.

    -3014, -3004: no rank that could take it was reached.
    """
    if not client.has_elsewhere:
        return (yield from putting.put(client, keys, values, replicas, preferred, deadline))
    are_all_here = all(rank in client.ranks for rank in preferred)
    is_wide = replicas > 1 or not are_all_here
    codes = [Code.NO_SUCH_RANK] * len(keys)
    if not is_wide and (client.writable_ranks or not client.has_elsewhere):
        codes = yield from putting.put(client, keys, values, replicas, preferred, deadline)
        if not any(code in _NOT_HERE for code in codes):
            return codes
        if preferred and are_all_here:
            return codes
    drafts: dict[bytes, Draft] = {}
    pieces: Pieces = {}
    for key, value, code in zip(keys, values, codes, strict=True):
        if code in _NOT_HERE and key not in drafts:
            drafts[key] = Draft(key, ObjectVersion(0, 0, 0, 0), sum(piece.nbytes for piece in value))
            pieces[key] = value
    refused = [] if is_wide else client.writable_ranks
    sending = _Sending(client, list(drafts.values()), pieces, refused, deadline)
    yield from sending.run(replicas, preferred)
    return [
        code if key not in drafts else drafts[key].code or Code.OK
        for key, code in zip(keys, codes, strict=True)
    ]


class _Sending:
    """Drafts on their way to other hosts, and to this one where it holds some of their replicas."""

    def __init__(
        self,
        client: ClientActor,
        drafts: list[Draft],
        pieces: Pieces,
        refused: Sequence[int],
        deadline: float,
    ) -> None:
        """``refused`` are ranks that do not take them."""
        assert client.carrier is not None
        self._client = client
        self._carrier: Carrier = client.carrier
        self._drafts = drafts
        self._pieces = pieces
        self._deadline = deadline
        self._refused: dict[bytes, set[int]] = {draft.key: set(refused) for draft in drafts}
        self._silent: set[int] = set()

    def run(self, replicas: int, preferred: Sequence[int]) -> Operation[None]:
        """Give every draft its code."""
        left = self._drafts
        try:
            for _ in range(_MOST_ATTEMPTS):
                yield from self._attempt(left, replicas, preferred)
                left = [draft for draft in left if self._may_go_on(draft, replicas, preferred)]
                if not left:
                    return
        finally:
            for draft in self._drafts:
                give_up(self._client, draft, Code.INTERNAL)

    def _may_go_on(self, draft: Draft, replicas: int, preferred: Sequence[int]) -> bool:
        """Whether other ranks may take it: none has it, and the caller insists on none that does not."""
        client, refused = self._client, self._refused[draft.key]
        if draft.is_published or draft.code not in _TRY_ELSEWHERE or refused.intersection(preferred):
            return False
        untried = {*client.writable_ranks, *client.far_ranks()} - refused
        return len(untried) >= replicas and client.now < self._deadline

    def _attempt(self, drafts: list[Draft], replicas: int, preferred: Sequence[int]) -> Operation[None]:
        client = self._client
        if any(self._refused[draft.key] for draft in drafts):
            yield from look(client, self._deadline)
        counter = client.next_put()
        far = client.far_ranks()
        groups: dict[tuple[int, ...], list[Draft]] = {}
        for position, draft in enumerate(drafts):
            draft.version = ObjectVersion(client.epoch, client.client, counter, position)
            draft.code = None
            try:
                chosen = self._place(draft, far, replicas, preferred)
            except CacheError as error:
                draft.code = error.code
                continue
            client.room.take(chosen, draft.size, client.now)
            groups.setdefault(tuple(chosen), []).append(draft)
        planned = [self._planned(group, chosen, len(groups)) for chosen, group in groups.items()]
        yield from self._send_all(planned)

    def _place(self, draft: Draft, far: Sequence[int], replicas: int, preferred: Sequence[int]) -> list[int]:
        """The ranks that are to take it; what was refused is spread by the room there is."""
        client, refused = self._client, self._refused[draft.key]
        near = [rank for rank in home_order(draft.hashed, client.writable_ranks) if rank not in refused]
        if client.home_rank in near:
            near.sort(key=lambda rank: rank != client.home_rank)
        far = [rank for rank in far if rank not in refused]
        far = client.room.spread(draft.hashed, far) if refused else home_order(draft.hashed, far)
        return place_widely(near, far, replicas, preferred, lambda rank: client.members[rank].host)

    def _planned(self, drafts: list[Draft], ranks: tuple[int, ...], groups: int) -> list[list[_Part]]:
        """What goes to the same ranks, in waves: as much at a time as these have space for.

        What lies on this host is shared by all groups.
        """
        client = self._client
        near = [rank for rank in ranks if rank in client.ranks]
        members = [member for rank in ranks if (member := client.far_member(rank)) is not None]
        if len(near) + len(members) < len(ranks):
            for draft in drafts:
                draft.code = Code.NO_SUCH_RANK
            return []
        limits = [self._carrier.upload_limits(member) for member in members]
        layouts = [client.ranks[rank].segment.layout for rank in near]
        limits += [
            (max(1, layout.records // _NEAR_SHARE), layout.capacity // _NEAR_SHARE, 1) for layout in layouts
        ]
        most, most_bytes, side_by_side = map(min, zip(*limits, strict=True))
        if near:
            most, most_bytes = max(1, most // groups), most_bytes // groups
        most = min(most, max(1, client.limits.keys_per_message // side_by_side))
        parts = [
            _Part(part, near, members) for part in in_parts([(d, d.size) for d in drafts], most, most_bytes)
        ]
        return [parts[at : at + side_by_side] for at in range(0, len(parts), side_by_side)]

    def _send_all(self, planned: list[list[list[_Part]]]) -> Operation[None]:
        """Send everything, the next waves to all ranks at once; half of the time is for other ranks."""
        client = self._client
        for wave in zip_longest(*planned, fillvalue=()):
            parts = [part for group in wave for part in group if not self._leads_to_silent(part)]
            every = {*client.writable_ranks, *client.far_ranks()}
            until = self._deadline
            if any(every.difference(part.ranks) for part in parts):
                until = client.now + (self._deadline - client.now) / 2
            try:
                yield from self._send_wave(parts, until)
            finally:
                for part in parts:
                    for upload in part.uploads:
                        upload.end()

    def _leads_to_silent(self, part: _Part) -> bool:
        """Whether it goes to a rank that did not answer this put: then its drafts are refused as well."""
        silent = self._silent.intersection(part.ranks)
        for draft in part.drafts if silent else ():
            self._refused[draft.key] |= silent
            give_up(self._client, draft, Code.UNREACHABLE)
        return bool(silent)

    def _refuse(self, draft: Draft, rank: int, code: Code) -> None:
        self._refused[draft.key].add(rank)
        if code in _SILENT:
            self._silent.add(rank)

    def _send_wave(self, parts: list[_Part], until: float) -> Operation[None]:
        for part in parts:
            yield from self._begin_here(part, until)
            if part.drafts:
                part.uploads = [
                    self._carrier.upload(member, part.drafts, self._pieces, self._deadline)
                    for member in part.members
                ]
        every = [upload for part in parts for upload in part.uploads]
        yield from self._do([upload.beginning(until) for upload in every])
        begun = [draft for part in parts for draft in self._take_begun(part)]
        most = self._client.limits.keys_per_message
        claims = [begun[at : at + most] for at in range(0, len(begun), most)]
        tickets = [claim(self._client, drafts, self._deadline) for drafts in claims]
        if tickets:
            landing = [errand for upload in every if (errand := upload.landing()) is not None]
            yield from self._do(landing, self._copies(begun))
        for drafts, ticket in zip(claims, tickets, strict=True):
            yield from follow_claim(self._client, drafts, ticket, self._deadline, _publish)
        yield from self._do([errand for upload in every if (errand := upload.abandoning()) is not None])

    def _begin_here(self, part: _Part, until: float) -> Operation[None]:
        """Have records on this host for the replicas that are to lie here; what gets none leaves the part."""
        if not part.near:
            return
        wanted, part.drafts = part.drafts, []
        part.drafts = yield from putting.begin(self._client, wanted, len(part.near), part.near, until)
        for draft in wanted:
            for rank in part.near if draft.code is not None else ():
                self._refuse(draft, rank, draft.code or Code.OK)

    def _take_begun(self, part: _Part) -> list[Draft]:
        """The drafts that have a record in each of the uploads; others have the code that says why not."""
        begun = []
        for position, draft in enumerate(part.drafts):
            codes = [upload.codes[position] for upload in part.uploads]
            if any(codes):
                for member, code in zip(part.members, codes, strict=True):
                    if code:
                        self._refuse(draft, member.rank, code)
                give_up(self._client, draft, next(code for code in codes if code))
                continue
            draft.replicas += [
                FarReplica(member.rank, upload, position)
                for member, upload in zip(part.members, part.uploads, strict=True)
            ]
            begun.append(draft)
        return begun

    def _copies(self, drafts: Sequence[Draft]) -> list[Work]:
        return [
            Copy(replica.handle.segment.memory, replica.at, draft.size, self._pieces[draft.key])
            for draft in drafts
            for replica in draft.replicas
            if replica.is_here
        ]

    def _do(self, errands: Sequence[Errand], others: Sequence[Work] = ()) -> Operation[None]:
        works = [*(self._carrier.together(errands) if errands else ()), *others]
        if works:
            yield Outside(works)


class _Part:
    """Drafts that go to the same ranks together: to those of this host, and by an upload to each other."""

    __slots__ = ("drafts", "members", "near", "uploads")

    def __init__(self, drafts: list[Draft], near: list[int], members: list[Member]) -> None:
        self.drafts = drafts
        self.near = near
        self.members = members
        self.uploads: list[Upload] = []

    @property
    def ranks(self) -> list[int]:
        """All of them."""
        return [*self.near, *(member.rank for member in self.members)]


def _publish(client: ClientActor, granted: list[Draft], deadline: float) -> Operation[None]:
    """Have drafts published under the terms that their names were granted for; one replica is a success."""
    assert client.carrier is not None
    here = [draft for draft in granted if draft.replicas[0].is_here]
    make_readable(here, client.clock())
    sound_here = {draft.key for draft in here if _stands_here(draft, client.now)}
    wanted: dict[int, tuple[Upload, int, list[int]]] = {}
    for draft in granted:
        for replica in draft.replicas:
            if isinstance(replica, FarReplica):
                term = draft.terms.get(replica.rank, 0)
                wanted.setdefault(id(replica.upload), (replica.upload, term, []))[2].append(replica.position)
    errands = []
    for upload, term, positions in wanted.values():
        sound = [position for position in positions if upload.codes[position] == Code.OK]
        if sound:
            errands.append(upload.publishing(sound, term))
    for draft in granted:
        draft.is_published = True  # for all that is known from here on until there is an answer
    if errands:
        yield Outside(client.carrier.together(errands))
    doubtful = []
    for draft in granted:
        far = [replica for replica in draft.replicas if isinstance(replica, FarReplica)]
        codes = [replica.upload.codes[replica.position] for replica in far]
        if draft.key in sound_here or Code.OK in codes:
            draft.code = Code.OK
            for replica in draft.replicas:
                replica.confirm(client.now)
        elif Code.UNKNOWN_SEQUENCE in codes or len(far) < len(draft.replicas):
            doubtful.append(draft)
        else:
            draft.is_published = False
            give_up(client, draft, codes[0])
    yield from settle_published(client, doubtful, deadline)


def _stands_here(draft: Draft, now: float) -> bool:
    return any(stands(draft, replica, now) for replica in draft.replicas if replica.is_here)
