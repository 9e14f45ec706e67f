"""Reading what lies on other hosts: from one replica after the other, each with its share of the time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from mmc.actors.client.calls import Outside
from mmc.actors.client.far import Block, Far, Guess
from mmc.cache.membership import MemberState
from mmc.errors import Code
from mmc.identifiers import home_of, key_hash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.actors.client.calls import Operation
    from mmc.actors.client.far import Errand, Place
    from mmc.actors.client.reading import Want
    from mmc.actors.client.service import ClientActor
    from mmc.identifiers import Member


B = TypeVar("B", bound=Block)
_PASSED = (Code.NOT_FOUND, Code.WRONG_SIZE, Code.NO_SUCH_RANK)
"""What is there is not what was looked for: where it is now is to be asked again."""


def fetch_remembered(client: ClientActor, wants: Sequence[Want], deadline: float) -> Operation[None]:
    """Read from where objects of other hosts were before; what is not there stays without a code.

    It takes at most half of the time, so that a rank which has gone silent is not all that is asked.
    """
    known: list[tuple[Want, Far]] = []
    for want in wants:
        far = client.remembered.get(want.key)
        if far is None:
            continue
        place = far.places[0]
        member = client.far_member(place.member.rank)
        if member is None or member.segment != place.member.segment:
            del client.remembered[want.key]
        elif want.fits(place.size):
            known.append((want, far))
    if known:
        yield from fetch(client, known, client.now + (deadline - client.now) / 2)
        for want, _ in known:
            if want.code != Code.OK:
                want.code = None
                client.remembered.pop(want.key, None)


def fetch(client: ClientActor, wanted: Sequence[tuple[Want, Far]], deadline: float) -> Operation[None]:
    """Read objects from other hosts: 0; -3103 its size is another; -3014, -3004 no replica was reached.

    Of one that has passed away meanwhile the outcome stays unknown.
    """
    assert client.carrier is not None
    left: list[tuple[Want, tuple[Place, ...]]] = []
    for want, far in wanted:
        if want.fits(far.places[0].size):
            left.append((want, far.places))
        else:
            want.code = Code.WRONG_SIZE
    while left:
        until = client.now + (deadline - client.now) / max(len(places) for _, places in left)
        blocks = [Block(places[0], want.buffers(places[0].size)) for want, places in left]
        errands = by_rank(blocks, partial(client.carrier.fetch, until=until))
        yield Outside(client.carrier.together(errands))
        again = []
        for (want, places), block in zip(left, blocks, strict=True):
            if block.code == Code.OK:
                want.arrived()
                client.remember(want.key, Far(places))
            elif block.code not in _PASSED and len(places) > 1:
                again.append((want, places[1:]))
            elif block.code not in _PASSED:
                want.code = block.code
        left = again


def seek(client: ClientActor, wants: Sequence[Want], deadline: float) -> Operation[None]:
    """Read objects that were never read from where their keys prefer to lie; others stay without a code.

    What is not there, or somewhere else, the meta service knows.  It takes at most half of the time, and less
    where a rank is silent.
    """
    assert client.carrier is not None
    ranks = [rank for rank in client.far_ranks() if client.members[rank].state == MemberState.LIVE]
    wants = [want for want in wants if want.targets is None or want.room]
    if not ranks or not wants:
        return
    guesses = [
        Guess(client.members[home_of(key_hash(want.key), ranks)], want.key, want.room, want.buffers)
        for want in wants
    ]
    until = client.now + (deadline - client.now) / 2
    yield Outside(client.carrier.together(by_rank(guesses, partial(client.carrier.seek, until=until))))
    for want, guess in zip(wants, guesses, strict=True):
        if guess.code == Code.OK:
            want.arrived()
            client.remember(want.key, Far((guess.place,)))
    codes = [guess.code for guess in guesses]
    client.guessing.saw(codes.count(Code.OK), codes.count(Code.NOT_FOUND))
    if any(code not in (Code.OK, Code.NOT_FOUND) for code in codes):
        client.guessing.failed()


def by_rank(blocks: Sequence[B], make: Callable[[Member, list[B]], Sequence[Errand]]) -> list[Errand]:
    """The errands of blocks, which ``make`` makes for each rank."""
    sorted_out: dict[int, tuple[Member, list[B]]] = {}
    for block in blocks:
        member = block.place.member
        sorted_out.setdefault(member.rank, (member, []))[1].append(block)
    errands: list[Errand] = []
    for member, its in sorted_out.values():
        errands += make(member, its)
    return errands
