"""Answers, and the events that nobody asked for.  Lists are in the order of the questions."""

from __future__ import annotations

from dataclasses import dataclass

from mmc.errors import Code
from mmc.identifiers import PackedVersion
from mmc.wire.operations import Message, Operation
from mmc.wire.shapes import (
    Bool,
    Code_,
    Codes_,
    Counters,
    Keys,
    Members,
    Places,
    RankCounters,
    Terms,
    Text,
    Uint,
    Uints,
    Versions,
)


@dataclass(slots=True)
class Welcome(Message):
    """A session number never given before in the epoch of the header.

    ``row`` is the client's row in the tables of a rank's segment (0 from the meta service); ``lease_ttl_ms``
    is how long a lease lasts whose time is not given (0 from a rank).
    """

    operation = Operation.WELCOME
    session: Uint
    version: Uint
    window: Uint
    row: Uint
    events_url: Text
    view: Uint
    members: Members
    lease_ttl_ms: Uint = 0


@dataclass(slots=True)
class Found(Message):
    """0 readable; -3101 claimed or leaving (the record decides); -3007; -3014 nobody can tell yet.

    ``leased`` is 1 under an explicit lease.
    """

    operation = Operation.FOUND
    aligned = ("codes", "versions", "sizes", "leased", "places")
    codes: Codes_
    versions: Versions
    sizes: Uints
    leased: Uints
    places: Places
    view: Uint


@dataclass(slots=True)
class PackedFound(Message):
    """A :class:`Found` as the meta service makes it: versions and places stand there as they are sent."""

    operation = Operation.FOUND
    codes: list[Code]
    versions: list[PackedVersion]
    sizes: list[int]
    leased: list[int]
    places: list[bytes]
    view: int


@dataclass(slots=True)
class Claimed(Message):
    """0 granted; -3006 a readable object has the name; -3101 pending; with the ranks' terms."""

    operation = Operation.CLAIMED
    aligned = ("codes",)
    codes: Codes_
    terms: Terms
    view: Uint


@dataclass(slots=True)
class Codes(Message):
    """One code per question."""

    operation = Operation.CODES
    codes: Codes_


@dataclass(slots=True)
class Membership(Message):
    """The number of this view, and what it has that view ``since`` had not; all of it since 0.

    ``members`` have come or changed, those of the ranks ``gone`` are none any more.
    """

    operation = Operation.MEMBERSHIP
    view: Uint
    since: Uint
    members: Members
    gone: Uints


@dataclass(slots=True)
class StatusReport(Message):
    """Counters of the meta service and of each rank."""

    operation = Operation.STATUS_REPORT
    counters: Counters
    ranks: RankCounters


@dataclass(slots=True)
class Admitted(Message):
    """The rank's number and new term; ``wipe`` when it had been given up.

    A rank fuller than ``high_percent`` asks for eviction down to ``low_percent``.
    """

    operation = Operation.ADMITTED
    rank: Uint
    term: Uint
    wipe: Bool
    serve_ms: Uint
    high_percent: Uint
    low_percent: Uint


@dataclass(slots=True)
class Pulse(Message):
    """Answer to a heartbeat: serve this long; events published so far on the rank's topics.

    ``draining``: the rank is to take no new objects; ``copying``: some of its objects are to be copied.
    """

    operation = Operation.PULSE
    serve_ms: Uint
    evict_number: Uint
    lease_number: Uint
    draining: Bool = False
    copying: Bool = False


@dataclass(slots=True)
class Reserved(Message):
    """The granted records and the bytes that each can hold."""

    operation = Operation.RESERVED
    aligned = ("records", "capacities")
    records: Uints
    capacities: Uints


@dataclass(slots=True)
class KeyPage(Message):
    """Readable keys with their sizes in bytes, and the next cursor; (0, 0) after the last page."""

    operation = Operation.KEY_PAGE
    aligned = ("keys", "sizes")
    keys: Keys
    sizes: Uints
    next_rank: Uint
    next_record: Uint


@dataclass(slots=True)
class CopyPlan(Message):
    """Objects to be copied, with all their places; the first of each is the source.

    ``draining`` of each is 1 where the source is to go afterwards.
    """

    operation = Operation.COPY_PLAN
    aligned = ("keys", "versions", "sizes", "places", "draining")
    keys: Keys
    versions: Versions
    sizes: Uints
    places: Places
    draining: Uints
    view: Uint


@dataclass(slots=True)
class DrainReport(Message):
    """How the drain of a rank is: its ``state`` (drain states below), and counts of objects and bytes."""

    operation = Operation.DRAIN_REPORT
    rank: Uint
    segment: Uint
    state: Uint
    counters: Counters


@dataclass(slots=True)
class Failure(Message):
    """The request as a whole was refused."""

    operation = Operation.FAILURE
    code: Code_
    sentence: Text


@dataclass(slots=True)
class Commands(Message):
    """Event on ``evict/<rank>`` or ``lease/<rank>``: commands, repeated until acknowledged.

    A rank acts only where rank, term, record, generation and version are all equal to its own.
    ``number`` counts the events of the topic in this epoch; 0 in the answer to a resync.
    """

    operation = Operation.COMMANDS
    aligned = ("ids", "kinds", "records", "generations", "versions", "arguments")
    rank: Uint
    term: Uint
    number: Uint
    ids: Uints
    kinds: Uints
    records: Uints
    generations: Uints
    versions: Versions
    arguments: Uints


@dataclass(slots=True)
class MemberChange(Message):
    """Event on ``member``: the membership now has this view; repeated every second."""

    operation = Operation.MEMBER_CHANGE
    number: Uint
    view: Uint


REPLIES = (
    Welcome, Found, Claimed, Codes, Membership, StatusReport, Admitted, Pulse, Reserved, KeyPage,
    CopyPlan, DrainReport, Commands, Failure,
)  # fmt: skip
EVENTS = (Commands, MemberChange)
