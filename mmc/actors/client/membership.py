"""What a client knows of the ranks, after it was told."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mmc.identifiers import Member
    from mmc.wire.replies import Membership


def changed_by(members: Mapping[int, Member], told: Membership) -> list[Member]:
    """The members of a view, by what has changed since one that was known."""
    known = {**members, **{member.rank: member for member in told.members}}
    gone = set(told.gone)
    return [member for rank, member in known.items() if rank not in gone]


def completed(members: Iterable[Member], known: Mapping[int, Member]) -> dict[int, Member]:
    """By rank: a restarted meta service knows the segment of a rank before it knows its addresses again."""
    complete = {}
    for member in members:
        before = known.get(member.rank)
        if member.path or before is None or before.segment != member.segment:
            complete[member.rank] = member
        else:
            complete[member.rank] = before._replace(state=member.state)
    return complete
