"""What is asked of a rank's data server, and what it answers: the messages around the bytes of objects.

They travel over a connection of their own, one request at a time, and bytes follow some of them as they are:

- *Fetch* is answered by *Sending*, the bytes of every block whose code is 0, and *Sent*.
- *Seek* is answered by *Sought*, the bytes of every object whose code is 0, and *Sent*.
- *Begin* is followed by the first bytes of its first block, ``EARLY_BYTES`` or as many as it has, which are
  dropped if that block is refused.  It is answered by *Begun*, upon which the rest of
  the granted blocks follows, and *Landed*.
- *Publish* and *Abandon* end blocks of the last *Begin*, by their places in it.

Every request names the ``segment`` that is meant, since an address may pass to another rank.
"""

from __future__ import annotations

from dataclasses import dataclass

from mmc.wire.operations import Message, Operation
from mmc.wire.shapes import Codes_, Keys, Uint, Uints

EARLY_BYTES = 1 << 18


@dataclass(slots=True)
class Fetch(Message):
    """Send these objects: records in these generations, of these sizes in bytes."""

    operation = Operation.FETCH
    aligned = ("records", "generations", "sizes")
    segment: Uint
    records: Uints
    generations: Uints
    sizes: Uints


@dataclass(slots=True)
class Probe(Message):
    """Are these records published in these generations?  Codes: 0 or -3007."""

    operation = Operation.PROBE
    aligned = ("records", "generations")
    segment: Uint
    records: Uints
    generations: Uints


@dataclass(slots=True)
class Seek(Message):
    """Send the objects of these keys that are published here, of these sizes in bytes, or 0: of any size.

    All together have at most ``most`` bytes; what would be beyond is not sent.
    """

    operation = Operation.SEEK
    aligned = ("keys", "sizes")
    segment: Uint
    most: Uint
    keys: Keys
    sizes: Uints


@dataclass(slots=True)
class Begin(Message):
    """Reserves records for objects, and stores their versions (birth, client, counter, position)."""

    operation = Operation.BEGIN
    aligned = ("positions", "keys", "sizes")
    mutates = True
    segment: Uint
    birth: Uint
    client: Uint
    counter: Uint
    positions: Uints
    keys: Keys
    sizes: Uints


@dataclass(slots=True)
class Landed(Message):
    """Behind the bytes of granted blocks: the xxh3 of each, in their order.  Nothing answers it."""

    operation = Operation.LANDED
    digests: Uints


@dataclass(slots=True)
class Publish(Message):
    """Makes blocks readable under the rank's term that their names were granted for.

    Codes: 0 published; -3010 published while the rank may have changed terms, to be settled; -3014 its bytes
    did not arrive as they were sent, and it is not published; -3018 it has been ended before.
    """

    operation = Operation.PUBLISH
    mutates = True
    term: Uint
    blocks: Uints


@dataclass(slots=True)
class Abandon(Message):
    """Gives blocks up: from the answer on, the rank says that their versions are gone."""

    operation = Operation.ABANDON
    mutates = True
    blocks: Uints


@dataclass(slots=True)
class Sending(Message):
    """Per block 0, its bytes follow; -3007, the generation has passed; -3103, that is not its size."""

    operation = Operation.SENDING
    codes: Codes_


@dataclass(slots=True)
class Sent(Message):
    """Behind the bytes, for each block that was sent: 0 whole or -3007 torn, and the xxh3 of its bytes."""

    operation = Operation.SENT
    aligned = ("codes", "digests")
    codes: Codes_
    digests: Uints


@dataclass(slots=True)
class Sought(Message):
    """Per key 0, its bytes follow, and where they lie; or -3007, nothing like that is here."""

    operation = Operation.SOUGHT
    aligned = ("codes", "records", "generations", "sizes")
    codes: Codes_
    records: Uints
    generations: Uints
    sizes: Uints


@dataclass(slots=True)
class Begun(Message):
    """Per block 0 or why not, its record, and the generation that it will be published in."""

    operation = Operation.BEGUN
    aligned = ("codes", "records", "generations")
    codes: Codes_
    records: Uints
    generations: Uints


REQUESTS_TO_DATA = (Fetch, Probe, Seek, Begin, Landed, Publish, Abandon)
REPLIES_OF_DATA = (Sending, Sent, Begun, Sought)
