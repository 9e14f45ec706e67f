"""A reader of a segment whose every word may be anything, and may change between any two loads.

It finds an object or does not; what it finds lies in the payload; nothing is read outside the memory, and
nothing goes on for ever, since the choices end.
"""

from __future__ import annotations

from mmc.errors import Code
from mmc.identifiers import ObjectVersion, key_hash
from mmc.segments import columns, extents, index, pins, records
from mmc.segments.extents import Extent
from mmc.segments.layout import (
    AT_FORMAT,
    AT_TERM,
    FORMAT,
    RECORD_WORDS,
    WORD,
    Segment,
    format_segment,
    open_segment,
    plan_layout,
)
from mmc.segments.reader import Hit, Reader, fetch, fetch_bytes
from mmc.segments.survey import survey
from tests.fuzz.choices import Choices, Known
from tests.fuzz.hostile_memory import HostileMemory, damaged, scribble_somewhere

_LAYOUT = plan_layout(1 << 18, 8, 2, 4)
_TERM = 7
_KEYS = (b"key", b"k" * 255, b"large", b"missing")
_SIZES = (10, 4096, 100_000)
_SUPERBLOCK = 13
_ROWS_MOST = 8
_KEY_BYTES_MOST = RECORD_WORDS * WORD


def run(data: bytes) -> None:
    """Damage a segment as the bytes have it, open it, and read it in every way."""
    choices = Choices(data)
    known = Known((0, 1, 2, _TERM, 8, _LAYOUT.capacity, _LAYOUT.total), _KEYS)
    memory = _written()
    for _ in range(choices.below(8)):
        scribble_somewhere(memory, _LAYOUT, choices, known)
    if choices.is_rare(2):
        at = choices.below(_SUPERBLOCK)
        memory.scribble(at, damaged(memory.words[at], choices, known))
        memory.scribble(AT_FORMAT, FORMAT)
    segment = open_segment(memory, len(memory))
    if segment is None:
        return
    assert segment.layout.total == len(memory)
    _look_at_rows(segment)
    if choices.is_rare(2):
        memory.haunt(choices, known)
    reader = Reader({0: segment, 1: Segment(memory, segment.layout)}, 8, 3)
    for _ in range(2):
        _read(reader, choices)
    several = Reader({rank: Segment(memory, segment.layout) for rank in range(3)}, 8, 3)
    assert len(several.has_each(_KEYS, 10)) == len(_KEYS)
    _look_at_all(segment)
    memory.rest()


def _written() -> HostileMemory:
    """The memory of a segment with three objects."""
    memory = HostileMemory(_LAYOUT.total)
    segment = format_segment(memory, _LAYOUT, 5, 6, keep=False)
    memory.scribble(AT_TERM, _TERM)
    offset = 0
    for record, (key, size) in enumerate(zip(_KEYS, _SIZES, strict=False)):
        extents.write_extent(segment, record, Extent(offset, size, 0))
        generation = records.begin_write(segment, record, ObjectVersion(1, 2, 3, record))
        records.describe(segment, record, key, key_hash(key), size)
        records.publish(segment, record, generation, _TERM, 0)
        assert index.insert(segment, key_hash(key), record)
        offset += size + -size % 4096
    return memory


def _read(reader: Reader, choices: Choices) -> None:
    for key in _KEYS:
        hit = reader.locate(key)
        if hit is not None:
            _fetch(hit, choices)
        reader.has(key, 9)
    assert len(reader.has_each(_KEYS, 10)) == len(_KEYS)


def _fetch(hit: Hit, choices: Choices) -> None:
    """Copy what was found, into buffers too, and look at it in place."""
    layout = hit.segment.layout
    assert layout.payload_at <= hit.at <= hit.at + hit.size <= layout.total
    content = fetch_bytes(hit, 3)
    assert content is None or len(content) == hit.size
    parts = [bytearray(hit.size // 2), bytearray(hit.size - hit.size // 2)]
    assert fetch(hit, [memoryview(part) for part in parts], 4) in (Code.OK, Code.NOT_FOUND)
    assert fetch(hit, [memoryview(bytearray(hit.size + 1))], 4) == Code.WRONG_SIZE
    if hit.size:
        assert hit.segment.memory.view(hit.at, hit.size).nbytes == hit.size
    for row in range(min(layout.clients, _ROWS_MOST)):
        slot = pins.slots_of(hit.segment, row).start
        if pins.pin(hit.segment, slot, hit.record, hit.generation):
            pins.unpin(hit.segment, slot)
    pins.pinned_records(hit.segment, range(choices.below(min(layout.clients, _ROWS_MOST) + 1)))


def _look_at_rows(segment: Segment) -> None:
    """A client's slots, whatever its row is, lie in the memory, and are no more than memory has words."""
    for row in (0, segment.layout.clients - 1):
        slots = pins.slots_of(segment, row)
        assert 0 <= slots.start <= slots.stop <= segment.layout.total // 8
        own, asked = pins.own_slots(segment, row), pins.asked_slots(segment, row)
        assert len(own) + len(asked) == len(slots)


def _look_at_all(segment: Segment) -> None:
    """What a rank reads of all its records at once."""
    wanted = list(range(segment.layout.records))
    described = columns.describe_all(segment, wanted)
    assert all(len(key) <= _KEY_BYTES_MOST for key in described.keys)
    published = columns.published_among(segment, wanted)
    columns.unsound_among(segment, published, [4096] * len(published))
    survey(segment, records.access_clocks(segment).argsort())
    assert len(extents.all_extents(segment)) == segment.layout.records
