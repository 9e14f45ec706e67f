"""Objects on other hosts, and what carries their bytes: the actor decides, a carrier moves.

What is to be done over the network is an *errand*.  The carrier makes works of errands, to be done outside of
any lock; each ends by its deadline, and its outcome stands in what it was made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from mmc.actors.client.draft import Replica
from mmc.cache.membership import MemberState
from mmc.errors import Code
from mmc.identifiers import key_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mmc.actors.client.calls import Work
    from mmc.actors.client.draft import Draft
    from mmc.identifiers import Member


class Place(NamedTuple):
    """One replica on another host: its segment, record and generation name one object for ever."""

    member: Member
    record: int
    generation: int
    size: int


class Far(NamedTuple):
    """A readable object of which no replica is on this host; the nearest place first."""

    places: tuple[Place, ...]


def nearest_first(places: Sequence[Place], distance: Callable[[Member], int], chooser: int) -> Far:
    """Places in the order in which they are asked: of sound ranks before suspects, and of those the nearest.

    Among ranks of one distance each client prefers others for other objects, by ``chooser``, which stands for
    both: what many read is read from all of its replicas.
    """
    if len(places) == 1:
        return Far((places[0],))
    return Far(
        tuple(
            sorted(
                places,
                key=lambda place: (
                    place.member.state == MemberState.SUSPECT,
                    distance(place.member),
                    key_hash(b"%d %d" % (chooser, place.member.rank)),
                ),
            )
        )
    )


class Block:
    """One object on its way here: ``code`` is 0 once ``targets`` hold it, and says before why not.

    -3007: it is not there any more; -3103: its size is another; -3014, -3004: its rank was not reached, or
    not in time; -3018: another rank has the address.
    """

    __slots__ = ("code", "place", "targets")

    def __init__(self, place: Place, targets: Sequence[memoryview]) -> None:
        """``targets`` have the object's size together; of a block that is only looked for there are none."""
        self.place = place
        self.targets = targets
        self.code = Code.UNREACHABLE


class Guess(Block):
    """One object that may lie on a rank; once it is there, ``place`` says where.

    ``size``: its bytes, 0 if they are not known.  ``buffers`` gives what holds so many.
    """

    __slots__ = ("buffers", "key", "size")

    def __init__(
        self, member: Member, key: bytes, size: int, buffers: Callable[[int], Sequence[memoryview]]
    ) -> None:
        super().__init__(Place(member, 0, 0, size), ())
        self.key = key
        self.size = size
        self.buffers = buffers

    def found(self, record: int, generation: int, size: int) -> None:
        """It is there, and comes."""
        self.place = Place(self.place.member, record, generation, size)
        self.targets = self.buffers(size)


Errand = object
"""Something to be done with one rank of another host, which its carrier alone understands."""


class Upload(Protocol):
    """Objects on their way to one rank of another host, over a connection of their own.

    ``codes`` are what became of each so far: 0 as long as nothing is in the way; -3010, it is not known
    whether it was published.
    """

    codes: list[Code]
    places: list[tuple[int, int]]
    """Record and generation of each, once it is begun."""

    def beginning(self, until: float) -> Errand:
        """Have records reserved, by a time, and versions stored in them."""
        ...

    def landing(self) -> Errand | None:
        """Send the bytes of what was granted; None if nothing was."""
        ...

    def publishing(self, positions: Sequence[int], term: int) -> Errand:
        """Have some of them published; ``codes`` say whether they are."""
        ...

    def abandoning(self) -> Errand | None:
        """Have what was not published given up; None if there is nothing."""
        ...

    def end(self) -> None:
        """What is open is abandoned, without waiting for it; nothing happens the second time."""
        ...


class Carrier(Protocol):
    """Moves bytes between hosts."""

    def may_reach(self, member: Member) -> bool:
        """Whether a rank whose segment is not mapped here is to be reached over the network."""
        ...

    def distance(self, member: Member) -> int:
        """How far away a rank is, 0 if it is near or was never reached; of equal ones none is nearer."""
        ...

    def fetch(self, member: Member, blocks: Sequence[Block], until: float) -> Sequence[Errand]:
        """Have blocks brought here, by a time."""
        ...

    def seek(self, member: Member, guesses: Sequence[Guess], until: float) -> Sequence[Errand]:
        """Have objects brought here that may be there: -3007 those that are not."""
        ...

    def probe(self, member: Member, blocks: Sequence[Block], until: float) -> Sequence[Errand]:
        """Have it said which blocks are published: their codes, without their bytes."""
        ...

    def upload(
        self, member: Member, drafts: Sequence[Draft], pieces: dict[bytes, Sequence[memoryview]], until: float
    ) -> Upload:
        """Begin to bring drafts there; they hold the connection until they are ended."""
        ...

    def upload_limits(self, member: Member) -> tuple[int, int, int]:
        """Blocks and bytes of one upload, and how many uploads to one rank there may be side by side."""
        ...

    def together(self, errands: Sequence[Errand]) -> Sequence[Work]:
        """The works that run all of these at once."""
        ...


class FarReplica(Replica):
    """A replica on another host: the upload's to publish, confirm and abandon."""

    __slots__ = ("position", "upload")
    is_here = False

    def __init__(self, rank: int, upload: Upload, position: int) -> None:
        """Block ``position`` of an upload that was begun."""
        self.rank = rank
        self.upload = upload
        self.position = position
        self.record, self.generation = upload.places[position]

    def confirm(self, now: float) -> None:
        """Its rank's data server does."""

    def withdraw(self) -> None:
        """Its rank's data server does."""

    def abandon(self, now: float) -> None:
        """Its upload does when it ends."""
