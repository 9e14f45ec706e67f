"""What is asked of the meta service, and of a rank.

Everything is batched: the lists of one message that belong together have one length, and answers
come in the order of the questions.  Times on the wire are durations in milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmc.wire.operations import Message, Operation
from mmc.wire.shapes import (
    Bool,
    Codes_,
    Counters,
    Keys,
    Places,
    RawBytes,
    Text,
    Uint,
    Uints,
    Versions,
)


@dataclass(slots=True)
class Hello(Message):
    """Opens a session for a client id, to whose lock file a rank looks for signs of life.

    ``target`` is the segment of the rank that is meant, or 0: an address may have passed to another.
    ``left`` is the client's session before this one, or 0: it ends, so that nothing late runs in it.
    """

    operation = Operation.HELLO
    client: Uint
    kind: Uint
    oldest_version: Uint
    newest_version: Uint
    target: Uint
    left: Uint = 0


@dataclass(slots=True)
class Lookup(Message):
    """Which replicas do these keys have?"""

    operation = Operation.LOOKUP
    aligned = ("keys",)
    keys: Keys


@dataclass(slots=True)
class Claim(Message):
    """Takes names for records that already hold the object version (birth, sender, counter, position)."""

    operation = Operation.CLAIM
    aligned = ("positions", "keys", "sizes", "places")
    mutates = True
    birth: Uint
    counter: Uint
    positions: Uints
    keys: Keys
    sizes: Uints
    places: Places


@dataclass(slots=True)
class Remove(Message):
    """Removes objects; answered when each holding rank has invalidated its record."""

    operation = Operation.REMOVE
    aligned = ("keys",)
    mutates = True
    keys: Keys


@dataclass(slots=True)
class Lease(Message):
    """Explicit leases; answered when each holding rank has stored them."""

    operation = Operation.LEASE
    aligned = ("keys",)
    mutates = True
    keys: Keys
    ttl_ms: Uint


@dataclass(slots=True)
class Unlease(Message):
    """Ends this session's leases early; ``abandoned``: also those of sessions that have said goodbye."""

    operation = Operation.UNLEASE
    aligned = ("keys",)
    mutates = True
    keys: Keys
    abandoned: Bool = False


@dataclass(slots=True)
class MembersQuery(Message):
    """Which ranks are there?  ``view`` is the view of this epoch that the asker knows, 0 if none."""

    operation = Operation.MEMBERS
    view: Uint


@dataclass(slots=True)
class StatusQuery(Message):
    """How is the cluster?"""

    operation = Operation.STATUS


@dataclass(slots=True)
class Goodbye(Message):
    """Ends the session."""

    operation = Operation.GOODBYE
    mutates = True


@dataclass(slots=True)
class KeepAlive(Message):
    """Keeps the session.

    ``counters`` are totals since the client began, of which the meta service keeps the latest: ``gets``,
    objects asked for, and ``hits``, those that were there.  A name that is missing is not changed.
    """

    operation = Operation.KEEP_ALIVE
    counters: Counters = ()


@dataclass(slots=True)
class ListKeys(Message):
    """Which readable keys are there, from a cursor on?  It begins with (0, 0).

    At most ``count`` records are looked at.  Nothing is kept between pages: a key that is readable in one
    place from the first page to the last is told at least once, in no order; replicas repeat it.  -3014
    while a member has not reported.
    """

    operation = Operation.LIST_KEYS
    rank: Uint
    record: Uint
    count: Uint


@dataclass(slots=True)
class Replicate(Message):
    """Takes places for copies of readable objects of these versions: their bytes are there, unpublished.

    Answered by a ``Claimed``: 0 granted; -3007 no readable object of this version; -3006 the rank has a
    replica; -3101 another copy is on its way; -3000 too many replicas; -3018 no such rank or record; -3016
    the rank takes no copies.
    """

    operation = Operation.REPLICATE
    aligned = ("keys", "versions", "ranks", "records", "generations")
    mutates = True
    keys: Keys
    versions: Versions
    ranks: Uints
    records: Uints
    generations: Uints


@dataclass(slots=True)
class CopiesWanted(Message):
    """What is to be copied from this rank to others?  At most ``count`` objects, ``bytes`` together.

    ``keys`` and ``codes`` are what could not be copied of the last answer, and why not.
    """

    operation = Operation.COPIES_WANTED
    aligned = ("keys", "codes")
    mutates = True
    rank: Uint
    count: Uint
    bytes: Uint
    keys: Keys
    codes: Codes_


@dataclass(slots=True)
class Drain(Message):
    """Begins or cancels the drain of a rank, or asks about it, as ``act`` says (the drain acts below).

    -3018, no such rank; -3016, no other rank could take anything; -3007, it does not drain.
    """

    operation = Operation.DRAIN
    mutates = True
    rank: Uint
    act: Uint


@dataclass(slots=True)
class Join(Message):
    """A rank brings its segment; ``term`` is the last that the segment knew, 0 when fresh.

    ``world`` is how many ranks its cluster may have and ``pool`` that cluster's number, on which all ranks
    agree; ``world`` 0 leaves both unsaid.  ``data_url`` is where other hosts reach its bytes, "" if nowhere.
    """

    operation = Operation.JOIN
    mutates = True
    rank: Uint
    term: Uint
    segment: Uint
    boot: Uint
    capacity: Uint
    records: Uint
    path: Text
    control_url: Text
    world: Uint
    pool: Uint
    data_url: Text = ""


@dataclass(slots=True)
class Report(Message):
    """Published records of a rank, in as many messages as it takes; ``last`` ends the report.

    ``term`` is the one that the rank was admitted to: parts of an earlier report are not of this one.
    """

    operation = Operation.REPORT
    aligned = ("records", "generations", "versions", "sizes", "keys", "leased_ms")
    mutates = True
    records: Uints
    generations: Uints
    versions: Versions
    sizes: Uints
    keys: Keys
    leased_ms: Uints
    term: Uint
    last: Bool


@dataclass(slots=True)
class Heartbeat(Message):
    """A rank lives; its counters, for status and metrics."""

    operation = Operation.HEARTBEAT
    counters: Counters


@dataclass(slots=True)
class Confirmed(Message):
    """A rank has seen these records published."""

    operation = Operation.CONFIRMED
    aligned = ("records", "generations", "versions")
    mutates = True
    records: Uints
    generations: Uints
    versions: Versions


@dataclass(slots=True)
class Acknowledge(Message):
    """A rank has carried out commands, with the outcome of each."""

    operation = Operation.ACKNOWLEDGE
    aligned = ("ids", "codes")
    mutates = True
    ids: Uints
    codes: Codes_


@dataclass(slots=True)
class Pressure(Message):
    """A rank needs this much evicted, and of it the records that it ``named``.

    Named records lie side by side, where the rank makes room for an object that no free extent holds; what
    is evicted of them counts towards what is wanted.  The raw frames are little-endian uint32 arrays: records
    read since the last such message, and their access clocks in 1/16 s.

    The codes that answer are one for the whole, -3016 when nothing evictable was met, and one for each
    named record: 0 it leaves, -3104 leased, -3101 not confirmed yet, -3007 unknown.
    """

    operation = Operation.PRESSURE
    mutates = True
    bytes_wanted: Uint
    records_wanted: Uint
    named: Uints
    touched: RawBytes
    clocks: RawBytes


@dataclass(slots=True)
class Resync(Message):
    """A rank missed events: which commands are outstanding?"""

    operation = Operation.RESYNC


@dataclass(slots=True)
class Leave(Message):
    """A rank leaves for good; its replicas are gone."""

    operation = Operation.LEAVE
    mutates = True


@dataclass(slots=True)
class Reserve(Message):
    """Records with space for objects of these sizes; the first ``needed`` are waited for.

    Of the others, which are for puts to come, as many are granted as limits allow, perhaps none.
    ``grant`` is the client's number of this grant, which never repeats.
    """

    operation = Operation.RESERVE
    aligned = ("sizes",)
    mutates = True
    grant: Uint
    needed: Uint
    sizes: Uints


@dataclass(slots=True)
class Return(Message):
    """Gives reserved records back; generations say which use of them is meant."""

    operation = Operation.RETURN
    aligned = ("records", "generations")
    mutates = True
    records: Uints
    generations: Uints


@dataclass(slots=True)
class Forfeit(Message):
    """The client never learned what these reserves granted: they come back, now or when they run."""

    operation = Operation.FORFEIT
    mutates = True
    grants: Uints


@dataclass(slots=True)
class Confirm(Message):
    """The client has published these records."""

    operation = Operation.CONFIRM
    aligned = ("records", "generations")
    mutates = True
    records: Uints
    generations: Uints


@dataclass(slots=True)
class Pin(Message):
    """Pins records on behalf of a client that cannot write its slots or has none free.

    ``slots`` are slots of the client's row, counted from its first, that the rank writes.  The client uses
    one again only when it was told that nothing is pinned by it: then nothing late can be executed either.
    """

    operation = Operation.PIN
    aligned = ("slots", "records", "generations")
    mutates = True
    slots: Uints
    records: Uints
    generations: Uints


@dataclass(slots=True)
class Unpin(Message):
    """Ends pins that were asked for by message, or that may have been; ``slots`` as there."""

    operation = Operation.UNPIN
    mutates = True
    slots: Uints


REQUESTS_TO_META = (
    Hello, Lookup, Claim, Remove, Lease, Unlease, MembersQuery, StatusQuery, Goodbye,
    KeepAlive, ListKeys, Replicate, CopiesWanted, Drain,
    Join, Report, Heartbeat, Confirmed, Acknowledge, Pressure, Resync, Leave,
)  # fmt: skip
REQUESTS_TO_RANK = (
    Hello, Reserve, Return, Forfeit, Confirm, Pin, Unpin, Goodbye, KeepAlive,
)  # fmt: skip
