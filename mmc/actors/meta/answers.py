"""Answers that need nobody's word but the tables': lookups, claims, confirmations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.cache.names import NameState
from mmc.errors import Code, InvalidArgument, error_for
from mmc.identifiers import Location, ObjectVersion
from mmc.wire import replies
from mmc.wire.shapes import MAX_KEYS

if TYPE_CHECKING:
    from mmc.actors.meta.naming import Naming
    from mmc.cache.membership import MembershipTable
    from mmc.wire.requests import Claim, Confirmed, ListKeys

_NO_VERSION = ObjectVersion(0, 0, 0, 0)


def lookup(naming: Naming, members: MembershipTable, keys: tuple[bytes, ...], now: float) -> replies.Found:
    """Where keys are.  While a member has not reported, nobody can tell that a key is missing.

    Neither can the record of a claim tell that then: the member may have an object of that name.
    """
    naming.leases.expire(now)
    missing = Code.NOT_FOUND if members.all_reported() else Code.UNREACHABLE
    codes, versions, sizes, leased, places = [], [], [], [], []
    for key in keys:
        entry = naming.names.get(key)
        if entry is None or entry.state is NameState.LEAVING:
            code = missing
        elif entry.state is NameState.READABLE:
            code = Code.OK
        else:
            code = Code.WRONG_STATE if missing == Code.NOT_FOUND else missing
        codes.append(int(code))
        versions.append(_NO_VERSION if entry is None else entry.version)
        sizes.append(0 if entry is None else entry.size)
        leased.append(0 if entry is None else int(naming.is_leased(key)))
        places.append(() if entry is None else entry.replicas)
    return replies.Found(
        tuple(codes), tuple(versions), tuple(sizes), tuple(leased), tuple(places), members.view
    )


def list_keys(naming: Naming, members: MembershipTable, asked: ListKeys) -> replies.KeyPage:
    """A page of readable keys.

    Raises:
        CacheError: -3014 a member has not reported; -3000 a page of no records.
    """
    if not members.all_reported():
        raise error_for(Code.UNREACHABLE, "listing keys")
    if not asked.count:
        raise InvalidArgument("a page looks at one record at least")
    count = min(asked.count, MAX_KEYS)
    entries, next_rank, next_record = naming.names.page(asked.rank, asked.record, count)
    keys = tuple(entry.key for entry in entries)
    return replies.KeyPage(keys, tuple(entry.size for entry in entries), next_rank, next_record)


def claim_names(
    naming: Naming, members: MembershipTable, client: int, claim: Claim, now: float
) -> replies.Claimed:
    """Take names for a client.  A key that stands in a message twice gets the outcome of its first."""
    terms: dict[int, int | None] = {}
    wiping = {peer.member.rank for peer in members.peers() if peer.wipes}
    codes: dict[bytes, Code] = {}
    for position, key, size, places in zip(
        claim.positions, claim.keys, claim.sizes, claim.places, strict=True
    ):
        if key in codes:
            continue
        where = tuple(Location(*place) for place in places)
        for place in where:
            if place.rank not in terms:
                peer = members.peer(place.rank)
                terms[place.rank] = None if peer is None else peer.member.term
        if not where or len({place.rank for place in where}) != len(where):
            codes[key] = Code.INVALID_ARGUMENT
        elif any(terms[place.rank] is None for place in where):
            codes[key] = Code.NO_SUCH_RANK
        elif any(place.rank in wiping for place in where):
            codes[key] = Code.WRONG_STATE
        else:
            version = ObjectVersion(claim.birth, client, claim.counter, position)
            codes[key] = naming.claim(key, version, size, where, now)
    return replies.Claimed(
        tuple(int(codes[key]) for key in claim.keys),
        tuple((rank, term) for rank, term in terms.items() if term is not None),
        members.view,
    )


def confirm_records(naming: Naming, rank: int, confirmed: Confirmed) -> replies.Codes:
    """A rank has seen records published: 0 where they are listed, -3007 where it must invalidate them."""
    rows = zip(confirmed.records, confirmed.generations, confirmed.versions, strict=True)
    codes = (
        naming.confirm(Location(rank, record, generation), ObjectVersion(*version))
        for record, generation, version in rows
    )
    return replies.Codes(tuple(map(int, codes)))
