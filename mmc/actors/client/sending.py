"""Put to other hosts: what no rank of this one takes, or what is to lie there.

The steps are those of :mod:`mmc.actors.client.putting`, and so are their reasons; those that touch a record
are asked of its rank's data server over the upload's connection, and a step of many objects is one message.
What failed before anything of it was published is put again to the key's next rank, under another object
version: the claim that it may have is void, since its version is gone.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from mmc.actors.client import putting
from mmc.actors.client.calls import Outside
from mmc.actors.client.draft import Draft
from mmc.actors.client.far import FarReplica
from mmc.actors.client.putting import claim, follow_claim, give_up, settle_published
from mmc.cache.placement import place
from mmc.errors import CacheError, Code
from mmc.identifiers import ObjectVersion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.actors.client.calls import Operation
    from mmc.actors.client.far import Carrier, Errand, Upload
    from mmc.actors.client.service import ClientActor
    from mmc.identifiers import Member

_NOT_HERE = (Code.NO_SPACE, Code.NO_SUCH_RANK, Code.TOO_LARGE, Code.NOT_SERVING)
_TRY_ELSEWHERE = (*_NOT_HERE, Code.UNREACHABLE, Code.TIMED_OUT)
_MOST_ATTEMPTS = 8

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
    codes = yield from putting.put(client, keys, values, replicas, preferred, deadline)
    if not any(code in _NOT_HERE for code in codes) or not client.far_ranks():
        return codes
    drafts: dict[bytes, Draft] = {}
    pieces: Pieces = {}
    for key, value, code in zip(keys, values, codes, strict=True):
        if code in _NOT_HERE and key not in drafts:
            drafts[key] = Draft(key, ObjectVersion(0, 0, 0, 0), sum(piece.nbytes for piece in value))
            pieces[key] = value
    sending = _Sending(client, list(drafts.values()), pieces, deadline)
    yield from sending.run(replicas, preferred)
    return [
        code if key not in drafts else drafts[key].code or Code.OK
        for key, code in zip(keys, codes, strict=True)
    ]


class _Sending:
    """Drafts on their way to other hosts."""

    def __init__(self, client: ClientActor, drafts: list[Draft], pieces: Pieces, deadline: float) -> None:
        assert client.carrier is not None
        self._client = client
        self._carrier: Carrier = client.carrier
        self._drafts = drafts
        self._pieces = pieces
        self._deadline = deadline
        self._tried: dict[bytes, list[int]] = {draft.key: [] for draft in drafts}

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
        """Whether another rank may take it: none has it, and the caller insists on none."""
        client = self._client
        if draft.is_published or draft.code not in _TRY_ELSEWHERE or preferred:
            return False
        untried = len(set(client.far_ranks()).difference(self._tried[draft.key]))
        return untried >= replicas and client.now < self._deadline

    def _attempt(self, drafts: list[Draft], replicas: int, preferred: Sequence[int]) -> Operation[None]:
        client = self._client
        counter = client.next_put()
        groups: dict[tuple[int, ...], list[Draft]] = {}
        for position, draft in enumerate(drafts):
            draft.version = ObjectVersion(client.epoch, client.client, counter, position)
            draft.code = None
            tried = self._tried[draft.key]
            ranks = [rank for rank in client.far_ranks() if rank not in tried]
            try:
                chosen = place(draft.hashed, ranks, replicas, preferred)
            except CacheError as error:
                draft.code = error.code
                continue
            tried += chosen
            groups.setdefault(tuple(chosen), []).append(draft)
        yield from self._send_all([self._planned(group, chosen) for chosen, group in groups.items()])

    def _planned(self, drafts: list[Draft], ranks: tuple[int, ...]) -> list[list[_Part]]:
        """What goes to the same ranks, in waves: as much at a time as these have space for."""
        members = [member for rank in ranks if (member := self._client.far_member(rank)) is not None]
        if len(members) < len(ranks):
            for draft in drafts:
                draft.code = Code.NO_SUCH_RANK
            return []
        limits = [self._carrier.upload_limits(member) for member in members]
        most, most_bytes, side_by_side = map(min, zip(*limits, strict=True))
        most = min(most, max(1, self._client.limits.keys_per_message // side_by_side))
        parts = [_Part(part, members) for part in _in_parts(drafts, most, most_bytes)]
        return [parts[at : at + side_by_side] for at in range(0, len(parts), side_by_side)]

    def _send_all(self, planned: list[list[list[_Part]]]) -> Operation[None]:
        """Send everything, the next waves to all ranks at once; half of the time is for other ranks."""
        client = self._client
        for wave in zip_longest(*planned, fillvalue=()):
            parts = [part for group in wave for part in group]
            used = {member.rank for part in parts for member in part.members}
            until = self._deadline
            if set(client.far_ranks()) - used:
                until = client.now + (self._deadline - client.now) / 2
            for part in parts:
                part.uploads = [
                    self._carrier.upload(member, part.drafts, self._pieces, self._deadline)
                    for member in part.members
                ]
            try:
                yield from self._send_wave(parts, until)
            finally:
                for part in parts:
                    for upload in part.uploads:
                        upload.end()

    def _send_wave(self, parts: list[_Part], until: float) -> Operation[None]:
        every = [upload for part in parts for upload in part.uploads]
        yield from self._do([upload.beginning(until) for upload in every])
        begun = [draft for part in parts for draft in part.take_begun()]
        most = self._client.limits.keys_per_message
        claims = [begun[at : at + most] for at in range(0, len(begun), most)]
        tickets = [claim(self._client, drafts, self._deadline) for drafts in claims]
        if tickets:
            yield from self._do([upload.landing() for upload in every])
        for drafts, ticket in zip(claims, tickets, strict=True):
            yield from follow_claim(self._client, drafts, ticket, self._deadline, _publish)
        yield from self._do([errand for upload in every if (errand := upload.abandoning()) is not None])

    def _do(self, errands: Sequence[Errand]) -> Operation[None]:
        if errands:
            yield Outside(self._carrier.together(errands))


class _Part:
    """Drafts that go to the same ranks together: an upload to each of these."""

    __slots__ = ("drafts", "members", "uploads")

    def __init__(self, drafts: list[Draft], members: list[Member]) -> None:
        self.drafts = drafts
        self.members = members
        self.uploads: list[Upload] = []

    def take_begun(self) -> list[Draft]:
        """The drafts that have a record in each of the uploads; others have the code that says why not."""
        begun = []
        for position, draft in enumerate(self.drafts):
            codes = [upload.codes[position] for upload in self.uploads]
            if any(codes):
                draft.code = next(code for code in codes if code)
                continue
            draft.replicas = [
                FarReplica(member.rank, upload, position)
                for member, upload in zip(self.members, self.uploads, strict=True)
            ]
            begun.append(draft)
        return begun


def _publish(client: ClientActor, granted: list[Draft], deadline: float) -> Operation[None]:
    """Have drafts published under the terms that their names were granted for; one replica is a success."""
    assert client.carrier is not None
    wanted: dict[int, tuple[Upload, int, list[int]]] = {}
    for draft in granted:
        for replica in draft.replicas:
            assert isinstance(replica, FarReplica)
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
        codes = [replica.upload.codes[replica.position] for replica in draft.replicas]  # type: ignore[attr-defined]
        if Code.OK in codes:
            draft.code = Code.OK
        elif Code.UNKNOWN_SEQUENCE in codes:
            doubtful.append(draft)
        else:
            draft.is_published = False
            give_up(client, draft, codes[0])
    yield from settle_published(client, doubtful, deadline)


def _in_parts(drafts: list[Draft], most: int, most_bytes: int) -> Sequence[list[Draft]]:
    parts: list[list[Draft]] = []
    size = 0
    for draft in drafts:
        if not parts or len(parts[-1]) >= most or size + draft.size > most_bytes:
            parts.append([])
            size = 0
        parts[-1].append(draft)
        size += draft.size
    return parts
