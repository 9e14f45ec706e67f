"""Split writes: space and name of an object in one call, its bytes at leisure, its publication in another.

A put whose middle is the caller's.  Its steps are those of :mod:`mmc.actors.client.putting`, and so are their
reasons; what is added follows from the time that may pass between them:

1. The claim stays unconfirmed for as long as the write is open.  The meta service asks the rank, which finds
   the object version in the odd record and says *pending*: the name stays taken, and nobody can read it.
2. Before an open write is published its segment may have changed terms, or the meta service may have
   forgotten the claim with its own life.  So whatever no longer stands is claimed again, under the version
   that it has, and only then published.
3. Nobody but the caller ends an open write: its bytes may be written at any moment, by a device too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.actors.client.draft import Draft
from mmc.actors.client.putting import begin, chunks, claim, follow_claim, give_up, publish, stands
from mmc.errors import Code
from mmc.identifiers import ObjectVersion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.actors.client.calls import Operation
    from mmc.actors.client.service import ClientActor


def allocate(
    client: ClientActor, keys: Sequence[bytes], sizes: Sequence[int], deadline: float
) -> Operation[list[Draft | Code]]:
    """Space and names for objects of these sizes in bytes.

    Returns:
        Per key the open write, or a code as of a put; a key that stands in the batch twice is -3006 there.
    """
    counter = client.next_put()
    drafts: dict[bytes, Draft] = {}
    for key, size in zip(keys, sizes, strict=True):
        version = ObjectVersion(client.epoch, client.client, counter, len(drafts))
        drafts.setdefault(key, Draft(key, version, size))
    has_ended = False
    try:
        for chunk in chunks(client, list(drafts.values())):
            begun = yield from begin(client, chunk, 1, (), deadline)
            if begun:
                yield from follow_claim(client, begun, claim(client, begun, deadline), deadline, _hold)
        has_ended = True
    finally:
        for draft in drafts.values():
            if not has_ended or not draft.terms:
                give_up(client, draft, Code.INTERNAL)
    opened: list[Draft | Code] = []
    for key in keys:
        draft_of_key = drafts.pop(key, None)
        if draft_of_key is None:
            opened.append(Code.EXISTS)
        else:
            opened.append(draft_of_key if draft_of_key.code is None else draft_of_key.code)
    return opened


def _hold(_client: ClientActor, _granted: list[Draft], _deadline: float) -> Operation[None]:
    """The names are granted; the rest is for the caller."""
    yield from ()


def finish(client: ClientActor, drafts: Sequence[Draft], deadline: float) -> Operation[list[Code]]:
    """Publish open writes, whose bytes are complete.

    Returns:
        One code per write: 0; -3018 its rank is gone; others as of a put.  No write is open afterwards.
    """
    standing: list[Draft] = []
    again: dict[int, list[Draft]] = {}
    try:
        for draft in drafts:
            handle = draft.replicas[0].handle
            if client.ranks.get(handle.rank) is not handle:
                give_up(client, draft, Code.NO_SUCH_RANK)
            elif stands(draft, draft.replicas[0], client.now):
                standing.append(draft)
            else:
                again.setdefault(draft.version.counter, []).append(draft)
        yield from publish(client, standing, deadline)
        for part in again.values():
            yield from follow_claim(client, part, claim(client, part, deadline), deadline, publish)
    finally:
        for draft in drafts:
            give_up(client, draft, Code.INTERNAL)
    return [draft.code or Code.OK for draft in drafts]


def abandon(client: ClientActor, drafts: Sequence[Draft]) -> Operation[None]:
    """End open writes without publishing them; their space is free."""
    for draft in drafts:
        give_up(client, draft, Code.OK)
    yield from ()
