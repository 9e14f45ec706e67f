"""Many keys looked up at once: the same answers as one after the other."""

from hypothesis import given
from hypothesis import strategies as st

from mmc.identifiers import key_hash
from mmc.segments import index, records
from mmc.segments.layout import AT_CLOSING, AT_DEAD
from mmc.segments.reader import Reader
from tests.heap import TERM, heap_segment, store

CLOCK = 77
ONE_BY_ONE, AT_ONCE = 1000, 1
KEYS = [b"key %d" % number for number in range(12)]
STATES = st.sampled_from(("stored", "odd", "free", "older", "next", "unhinted", "absent"))
SIZES = st.lists(st.sampled_from((16, 16, 16, 100)), min_size=1, max_size=6)
"""Records of each segment: segments of one layout are looked through together."""


@given(states=st.lists(STATES, min_size=12, max_size=12), is_dead=st.booleans(), sizes=SIZES)
def test_at_once_is_one_by_one(states: list[str], is_dead: bool, sizes: list[int]) -> None:
    """Whatever the records are, and on whichever segment: found are the same, and they are touched."""
    segments = {rank: heap_segment(records=size) for rank, size in enumerate(sizes)}
    ranks = len(sizes)
    for number, (key, state) in enumerate(zip(KEYS, states, strict=True)):
        segment = segments[number % ranks]
        if state == "absent":
            continue
        store(segment, number, key)
        if state != "unhinted":
            index.insert(segment, key_hash(key), number)
        if state == "odd":
            records.begin_invalidate(segment, number)
        elif state == "free":
            records.abandon(segment, number)
        elif state in ("older", "next"):
            segment.words[AT_CLOSING] = TERM + 1
            records.restamp(segment, number, TERM - 1 if state == "older" else TERM + 1)
    segments[0].words[AT_DEAD] = int(is_dead)
    one_by_one = Reader(segments, 0, ONE_BY_ONE)
    at_once = Reader(segments, 0, AT_ONCE)
    expected = [one_by_one.has(key, 0) for key in KEYS]
    assert at_once.has_each(KEYS, CLOCK) == expected
    for number, was_found in enumerate(expected):
        segment = segments[number % ranks]
        assert records.match(segment, number, key_hash(KEYS[number])) > 0 or not was_found
        assert (records.access_clocks(segment)[number] == CLOCK) == was_found
