"""Answers that need nobody's word but the tables': lookups, claims, confirmations."""

from __future__ import annotations

from itertools import chain, starmap
from operator import itemgetter
from typing import TYPE_CHECKING

from mmc.cache.names import NameState
from mmc.errors import Code, InvalidArgument, error_for
from mmc.identifiers import Location, pack_versions
from mmc.wire import replies
from mmc.wire.shapes import MAX_KEYS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mmc.actors.meta.naming import Naming
    from mmc.cache.membership import MembershipTable, Peer
    from mmc.wire.operations import Message
    from mmc.wire.requests import Claim, Confirmed, ListKeys, Replicate

_OK = Code.OK
_CODES = {
    NameState.ABSENT: Code.NOT_FOUND,
    NameState.CLAIMED: Code.WRONG_STATE,
    NameState.READABLE: Code.OK,
    NameState.LEAVING: Code.NOT_FOUND,
}
_UNSURE = {state: Code.OK if state is NameState.READABLE else Code.UNREACHABLE for state in NameState}


def lookup(naming: Naming, members: MembershipTable, keys: tuple[bytes, ...], now: float) -> Message:
    """Where keys are.  While a member has not reported, nobody can tell that a key is missing.

    Neither can the record of a claim tell that then: the member may have an object of that name.
    """
    naming.leases.expire(now)
    codes = _CODES if members.all_reported() else _UNSURE
    entries = naming.names.find(keys)
    return replies.PackedFound(
        [codes[entry.state] for entry in entries],
        [entry.version for entry in entries],
        [entry.size for entry in entries],
        naming.leased(keys),
        [entry.packed_replicas for entry in entries],
        members.view,
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
    ranks = dict.fromkeys(map(itemgetter(0), chain.from_iterable(claim.places)))
    peers = {rank: members.peer(rank) for rank in ranks}
    refused = {rank: code for rank, peer in peers.items() if (code := _refusal_of(peer))}
    versions = pack_versions((claim.birth, client, claim.counter, position) for position in claim.positions)
    codes: dict[bytes, Code] = {}
    for key, version, size, places in zip(claim.keys, versions, claim.sizes, claim.places, strict=True):
        if key in codes:
            continue
        where = tuple(starmap(Location, places))
        code = _refusal(where, refused) if refused or len(where) != 1 else _OK
        codes[key] = code or naming.claim(key, version, size, where, now)
    return replies.Claimed(
        tuple(map(codes.__getitem__, claim.keys)),
        tuple((rank, peer.member.term) for rank, peer in peers.items() if peer is not None),
        members.view,
    )


def _refusal_of(peer: Peer | None) -> Code:
    """Why nothing can be claimed on a rank; 0 if it can."""
    if peer is None:
        return Code.NO_SUCH_RANK
    if peer.drained:
        return Code.NO_SPACE
    return Code.WRONG_STATE if peer.wipes else Code.OK


def _refusal(places: tuple[Location, ...], refused: Mapping[int, Code]) -> Code:
    """What is wrong with the places of a claim; 0 if nothing is."""
    ranks = {place.rank for place in places}
    if not places or len(ranks) != len(places):
        return Code.INVALID_ARGUMENT
    codes = {refused.get(rank, Code.OK) for rank in ranks}
    return next(
        (code for code in (Code.NO_SUCH_RANK, Code.NO_SPACE, Code.WRONG_STATE) if code in codes), Code.OK
    )


def grant_copies(naming: Naming, members: MembershipTable, copies: Replicate, now: float) -> replies.Claimed:
    """Grant places to copies of readable objects, on ranks that take objects."""
    peers = {rank: members.peer(rank) for rank in dict.fromkeys(copies.ranks)}
    codes = []
    places = map(Location, copies.ranks, copies.records, copies.generations)
    for key, version, place in zip(copies.keys, pack_versions(copies.versions), places, strict=True):
        peer = peers[place.rank]
        code = _refusal_of(peer)
        if peer is not None and not code and not peer.takes_objects:
            code = Code.NO_SPACE
        codes.append(int(code or naming.replicate(key, version, place, now)))
    terms = tuple((rank, peer.member.term) for rank, peer in peers.items() if peer is not None)
    return replies.Claimed(tuple(codes), terms, members.view)


def confirm_records(naming: Naming, rank: int, confirmed: Confirmed, now: float) -> replies.Codes:
    """A rank has seen records published: 0 where they are listed, -3007 where it must invalidate them."""
    versions = pack_versions(confirmed.versions)
    rows = zip(confirmed.records, confirmed.generations, versions, strict=True)
    return replies.Codes(
        tuple(
            [naming.confirm(Location(rank, record, number), version, now) for record, number, version in rows]
        )
    )
