"""What all records of a segment are, at one glance: whole columns of its tables as arrays.

The words of a column are loaded one by one while others store, so that a survey is no snapshot: it serves to
choose what to evict, and whoever acts on the choice looks again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmc.segments.layout import (
    CLOCK,
    EXTENT_WORDS,
    GENERATION,
    HOLDER_BITS,
    LEASED_UNTIL,
    RECORD_WORDS,
    STATE,
)
from mmc.segments.records import PUBLISHED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mmc.segments.layout import Segment

_HOLDER_MASK = np.uint64((1 << HOLDER_BITS) - 1)


class Survey(NamedTuple):
    """The records whose bytes are somebody's; arrays of one length.

    ``offsets`` and ``capacities`` are bytes of the payload; ``is_held``: a client may write the record;
    ``is_stored``: published, and nobody's to write.  Leases end at ``leased_until``, in this host's
    milliseconds, 0 without one; access ``clocks`` are 1/16 s.
    """

    records: NDArray[np.int64]
    offsets: NDArray[np.int64]
    capacities: NDArray[np.int64]
    is_held: NDArray[np.bool_]
    is_stored: NDArray[np.bool_]
    leased_until: NDArray[np.uint64]
    clocks: NDArray[np.uint64]


def survey(segment: Segment, order: NDArray[np.int64]) -> Survey:
    """Look at every record, in this order."""
    memory, count = segment.memory, segment.layout.records

    def column(word: int) -> NDArray[np.uint64]:
        return memory.array(segment.records_word + word, RECORD_WORDS, count)[used]

    packed = memory.array(segment.extents_word + 1, EXTENT_WORDS, count)
    used = order[packed[order] > _HOLDER_MASK]
    packed = packed[used]
    is_held = (packed & _HOLDER_MASK) != 0
    is_published = (column(STATE) == PUBLISHED) & (column(GENERATION) & np.uint64(1) == 0)
    return Survey(
        used,
        memory.array(segment.extents_word, EXTENT_WORDS, count)[used].astype(np.int64),
        (packed >> np.uint64(HOLDER_BITS)).astype(np.int64),
        is_held,
        is_published & ~is_held,
        column(LEASED_UNTIL),
        column(CLOCK),
    )
