"""The layout of a segment, and its superblock.

    superblock | extents | holders | pins | index | records | payload

All tables are arrays of shared 64-bit words, and every word has one writer at a time:

1. *Superblock*, *extents* and *holders* are written by the rank alone.
2. *Extents* is the reservation table: per record, where its bytes lie (``offset``) and, in one word,
   how many there are and which holder's they are (``capacity << 16 | holder``); then the number of the
   grant by which the holder asked for them.  Capacity 0: the record is free.  Holder > 0: reserved
   by the client of row ``holder - 1``, whose it is to write until the rank has seen it published.  The
   rank writes it before the client learns of it, so that nothing is ownerless whoever dies when.
3. *Holders* names the client id of each row; *pins* gives each row a page of slots that this client
   alone writes (the rank clears them once the client is known dead).
4. *Index* is a hint that anyone may overwrite: see :mod:`mmc.segments.index`.
5. *Records* are written by their holder, or without one by the rank: see
   :mod:`mmc.segments.records`.  ``leased_until`` and ``clock`` are words of their own: the first is
   the rank's, the second any reader's.

Times are milliseconds, clocks 1/16 s, both of this host since its boot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mmc.segments.memory import Memory

FORMAT = 0x4D4D4353_00000001
"""Magic and version of this layout; the first word, written last."""

PAGE = 4096
WORD = 8
RECORD_WORDS = 48
EXTENT_WORDS = 4
BUCKET_ENTRIES = 8
HOLDER_BITS = 16
_VERSION_BITS = 32

# Words of the superblock.
(
    AT_FORMAT,
    AT_ID,
    AT_BOOT,
    AT_TERM,
    AT_CLOSING,
    AT_SERVE_UNTIL,
    AT_DEAD,
    AT_RANK,
    AT_CAPACITY,
    AT_RECORDS,
    AT_CLIENTS,
    AT_PINS,
    AT_KEEP,
) = range(13)

# Words of a record.
(
    GENERATION,
    STATE,
    HASH,
    TERM,
    SIZE,
    CLIENT,
    COUNTER,
    BIRTH_INDEX,
    LEASED_UNTIL,
    CLOCK,
    CHECKSUM,
    KEY_LENGTH,
    KEY,
) = range(13)


class Layout(NamedTuple):
    """Where everything is, in bytes from the start; follows from the first four numbers."""

    capacity: int
    records: int
    clients: int
    pins: int
    buckets: int
    extents_at: int
    holders_at: int
    pins_at: int
    index_at: int
    records_at: int
    payload_at: int
    total: int


def plan_layout(capacity: int, records: int, clients: int, pins: int) -> Layout:
    """The layout for ``capacity`` bytes of payload and so many records, client rows and pins a row."""
    entries = max(2 * records, 2 * BUCKET_ENTRIES)
    buckets = 1 << ((entries - 1) // BUCKET_ENTRIES).bit_length()
    extents_at = PAGE
    holders_at = _page_up(extents_at + records * EXTENT_WORDS * WORD)
    pins_at = _page_up(holders_at + clients * WORD)
    index_at = _page_up(pins_at + clients * pins * WORD)
    records_at = _page_up(index_at + buckets * BUCKET_ENTRIES * WORD)
    payload_at = _page_up(records_at + records * RECORD_WORDS * WORD)
    return Layout(
        capacity,
        records,
        clients,
        pins,
        buckets,
        extents_at,
        holders_at,
        pins_at,
        index_at,
        records_at,
        payload_at,
        _page_up(payload_at + capacity),
    )


def _page_up(at: int) -> int:
    return at + -at % PAGE


class Segment:
    """A segment's memory with its layout: the handle that every other module takes.

    Word positions (``*_word``) are what the hot paths use; they never change.
    """

    def __init__(self, memory: Memory, layout: Layout) -> None:
        """Memory that is formatted, or about to be by :func:`format_segment`.

        ``is_lost``: its file was found truncated; whoever touches the memory is ended.
        """
        self.memory = memory
        self.is_lost = False
        self.words = memory.words
        self.layout = layout
        self.extents_word = layout.extents_at // WORD
        self.holders_word = layout.holders_at // WORD
        self.pins_word = layout.pins_at // WORD
        self.index_word = layout.index_at // WORD
        self.bucket_mask = layout.buckets - 1
        self.records_word = layout.records_at // WORD
        self.payload_at = layout.payload_at

    def record_word(self, record: int) -> int:
        """The first word of a record."""
        return self.records_word + record * RECORD_WORDS

    def find_lost(self) -> bool:
        """Look whether the file behind the memory was truncated."""
        self.is_lost = self.is_lost or not self.memory.is_whole()
        return self.is_lost

    @property
    def id(self) -> int:
        """The random id of this life of the segment."""
        return self.words[AT_ID]

    @property
    def term(self) -> int:
        """The packed term of the rank's last admission."""
        return self.words[AT_TERM]

    @property
    def is_dead(self) -> bool:
        """Whether its service has given it up for another one: nothing in it is to be believed."""
        return self.words[AT_DEAD] != 0

    def serves(self, term: int, identity: int, now: float) -> bool:
        """Whether the segment still is what a claim was granted for (fence before asking).

        A rank that serves beyond its time (seconds of the host's clock) may have been given up.
        """
        words = self.words
        return (
            words[AT_CLOSING] == 0
            and words[AT_TERM] == term
            and not self.is_dead
            and words[AT_ID] == identity
            and words[AT_SERVE_UNTIL] >= now * 1000
        )


def format_segment(memory: Memory, layout: Layout, identity: int, boot: int, *, keep: bool) -> Segment:
    """Make zeroed memory a segment; ``keep``: it outlives its service for a warm restart."""
    words = memory.words
    words[AT_ID] = identity
    words[AT_BOOT] = boot
    words[AT_CAPACITY] = layout.capacity
    words[AT_RECORDS] = layout.records
    words[AT_CLIENTS] = layout.clients
    words[AT_PINS] = layout.pins
    words[AT_KEEP] = int(keep)
    words[AT_FORMAT] = FORMAT
    return Segment(memory, layout)


def open_segment(memory: Memory, size: int) -> Segment | None:
    """The segment in this memory of ``size`` bytes, or None when it is none of this format."""
    if size < PAGE or memory.words[AT_FORMAT] != FORMAT:
        return None
    layout = _written_layout(memory, size)
    return Segment(memory, layout) if layout is not None and layout.total == size else None


def _written_layout(memory: Memory, size: int) -> Layout | None:
    """What the superblock says; None where ``size`` bytes cannot hold that."""
    words = memory.words
    capacity, records = words[AT_CAPACITY], words[AT_RECORDS]
    clients, pins = words[AT_CLIENTS], words[AT_PINS]
    if max(capacity, clients, pins, records * RECORD_WORDS * WORD) > size or not records * clients * pins:
        return None
    return plan_layout(capacity, records, clients, pins)


def flaw_of(memory: Memory, size: int) -> str:
    """Why this memory of ``size`` bytes is no segment that can be opened; "": it is one."""
    written = memory.words[AT_FORMAT]
    if written != FORMAT:
        if written >> _VERSION_BITS == FORMAT >> _VERSION_BITS:
            version = written & ((1 << _VERSION_BITS) - 1)
            return f"its layout is version {version}, of another version of mmc"
        return "it is no segment, or its first page is damaged"
    layout = _written_layout(memory, size)
    if layout is None or layout.total != size:
        return f"it has {size} bytes, which is not what its first page says: it was truncated or damaged"
    return ""


def difference(found: Layout, wanted: Layout) -> str:
    """Which settings make another layout than the one found, and what they were."""
    pairs = (
        ("local.dram", found.capacity, wanted.capacity),
        ("records, by local.dram / local.bytes_per_record,", found.records, wanted.records),
        ("local.clients_max", found.clients, wanted.clients),
        ("local.pins_per_client", found.pins, wanted.pins),
    )
    changed = [f"{name} was {old} and is {new}" for name, old, new in pairs if old != new]
    return "settings were changed: " + ", ".join(changed) if changed else ""
