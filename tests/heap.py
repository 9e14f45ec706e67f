"""Segments on this process's heap, for tests of what lies in them."""

from mmc.identifiers import ObjectVersion, key_hash
from mmc.segments.layout import AT_TERM, Segment, format_segment, plan_layout
from mmc.segments.mapping import heap_memory
from mmc.segments.records import begin_write, describe, publish

TERM = 5 << 32 | 1
IDENTITY = 0xABCDEF
BOOT = 0xB007


def heap_segment(records: int = 8, capacity: int = 65536, clients: int = 2, pins: int = 4) -> Segment:
    """A formatted segment of a rank in its first term."""
    layout = plan_layout(capacity, records, clients, pins)
    segment = format_segment(heap_memory(layout.total), layout, IDENTITY, BOOT, keep=False)
    segment.words[AT_TERM] = TERM
    return segment


def store(segment: Segment, record: int, key: bytes, size: int = 0, counter: int = 1) -> int:
    """Write and publish a record for a key; its generation."""
    generation = begin_write(segment, record, ObjectVersion(5, 77, counter, 0))
    describe(segment, record, key, key_hash(key), size)
    publish(segment, record, generation, segment.term, clock=3)
    return generation
