"""The numbers of messages, and what all messages declare.  docs/wire.md is the reference."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

WIRE_VERSION = 1
OLDEST_VERSION = 1
"""The wire versions spoken: this one and, once there is one, the previous."""


class Operation(IntEnum):
    """The number of a message in its header."""

    HELLO = 1
    LOOKUP = 2
    CLAIM = 3
    REMOVE = 4
    LEASE = 5
    UNLEASE = 6
    MEMBERS = 7
    STATUS = 8
    GOODBYE = 9
    KEEP_ALIVE = 10
    LIST_KEYS = 11
    REPLICATE = 12
    COPIES_WANTED = 13
    DRAIN = 14
    JOIN = 16
    REPORT = 17
    HEARTBEAT = 18
    CONFIRMED = 19
    ACKNOWLEDGE = 20
    PRESSURE = 21
    RESYNC = 22
    LEAVE = 23
    RESERVE = 32
    RETURN = 33
    CONFIRM = 34
    PIN = 35
    UNPIN = 36
    FORFEIT = 37
    FETCH = 48
    PROBE = 49
    BEGIN = 50
    LANDED = 51
    PUBLISH = 52
    ABANDON = 53
    SEEK = 54
    COMMANDS = 64
    MEMBER_CHANGE = 65
    WELCOME = 129
    FOUND = 130
    CLAIMED = 131
    CODES = 132
    MEMBERSHIP = 133
    STATUS_REPORT = 134
    ADMITTED = 135
    PULSE = 136
    RESERVED = 137
    KEY_PAGE = 138
    COPY_PLAN = 139
    DRAIN_REPORT = 140
    SENDING = 144
    SENT = 145
    BEGUN = 146
    SOUGHT = 147
    FAILURE = 255


class CommandKind(IntEnum):
    """What the meta service commands a rank to do with one record.

    *revoke*: remove what a void claim has published, leased or not.
    """

    EVICT = 1
    REMOVE = 2
    CHECK = 3
    LEASE = 4
    UNLEASE = 5
    REVOKE = 6


class DrainAct(IntEnum):
    """What is asked about the drain of a rank: discard is to begin it and discard what fits nowhere."""

    QUERY = 0
    BEGIN = 1
    DISCARD = 2
    CANCEL = 3


class DrainState(IntEnum):
    """How the drain of a rank is.

    *blocked*: what is left fits nowhere; *drained*: nothing is left; *cancelled*: it has normal duty again;
    *gone*: the rank is no member any more.
    """

    RUNNING = 1
    BLOCKED = 2
    DRAINED = 3
    CANCELLED = 4
    GONE = 5


class PeerKind(IntEnum):
    """Who says hello."""

    CLIENT = 0
    RANK = 1


class Message:
    """What all messages declare: their operation, lists of one length, and whether they mutate."""

    operation: ClassVar[Operation]
    aligned: ClassVar[tuple[str, ...]] = ()
    mutates: ClassVar[bool] = False
    __slots__ = ()
