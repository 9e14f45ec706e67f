"""Records: writing, reading and invalidating, step by step."""

import pytest

from mmc.identifiers import ObjectVersion, key_hash
from mmc.segments import records
from mmc.segments.layout import AT_CLOSING, AT_DEAD, AT_TERM, KEY_LENGTH, Segment
from mmc.segments.reader import touch
from tests.heap import TERM, heap_segment, store

KEY = b"key"
HASHED = key_hash(KEY)
VERSION = ObjectVersion(5, (1 << 64) - 1, 1 << 40, 12345)


@pytest.fixture
def segment() -> Segment:
    """A segment whose records are all fresh."""
    return heap_segment()


def test_a_fresh_record_is_nobody_s(segment: Segment) -> None:
    """A record that was never written matches nothing, not even a hash of zero."""
    assert records.generation_of(segment, 0) == 0
    assert records.match(segment, 0, 0) == 0
    assert not records.is_published(segment, 0)


def test_a_published_record_says_all_that_was_written(segment: Segment) -> None:
    """Key, hash, size, version, term and clock are read as they were written."""
    generation = records.begin_write(segment, 1, VERSION)
    records.describe(segment, 1, KEY, HASHED, 1000)
    records.publish(segment, 1, generation, TERM, 99)
    assert generation == 2
    assert records.match(segment, 1, HASHED) == generation
    assert records.is_published(segment, 1)
    assert records.holds_key(segment, 1, KEY)
    assert records.key_of(segment, 1) == KEY
    assert records.hash_of(segment, 1) == HASHED
    assert records.version_of(segment, 1) == VERSION
    assert records.term_of(segment, 1) == TERM
    said = records.Published(generation, VERSION, HASHED, 1000, KEY, TERM, 99)
    assert records.published(segment, 1) == said
    assert records.lease_of(segment, 1) == 0
    assert records.unchanged(segment, 1, generation)


def test_the_version_stands_before_anything_else(segment: Segment) -> None:
    """From the first step on, the rank can say whose write is under way."""
    records.begin_write(segment, 0, VERSION)
    assert records.generation_of(segment, 0) & 1
    assert records.version_of(segment, 0) == VERSION


def test_nothing_is_readable_while_it_is_written(segment: Segment) -> None:
    """Until its generation is even again, a record being written matches nothing."""
    store(segment, 0, KEY)
    generation = records.begin_write(segment, 0, VERSION)
    assert records.match(segment, 0, HASHED) == 0
    assert not records.is_published(segment, 0)
    assert records.published(segment, 0) is None
    records.describe(segment, 0, KEY, HASHED, 10)
    assert records.match(segment, 0, HASHED) == 0
    records.publish(segment, 0, generation, TERM, 0)
    assert records.match(segment, 0, HASHED) == generation == 4


def test_an_invalidated_record_is_nobody_s(segment: Segment) -> None:
    """From the first step of its invalidation on, a record matches nothing."""
    generation = store(segment, 0, KEY)
    records.begin_invalidate(segment, 0)
    assert records.match(segment, 0, HASHED) == 0
    assert not records.unchanged(segment, 0, generation)
    records.end_invalidate(segment, 0)
    assert records.match(segment, 0, HASHED) == 0
    assert not records.is_published(segment, 0)
    assert records.generation_of(segment, 0) == generation + 2


def test_an_abandoned_write_leaves_no_version(segment: Segment) -> None:
    """A client that gave up its write is found to have done so."""
    records.begin_write(segment, 0, VERSION)
    records.abandon(segment, 0)
    assert records.version_of(segment, 0) == (0, 0, 0, 0)
    assert records.generation_of(segment, 0) == 2
    assert not records.is_published(segment, 0)
    assert records.begin_write(segment, 0, VERSION) == 4


def test_generations_only_grow(segment: Segment) -> None:
    """Whatever happens to a record, no generation stands for it twice."""
    seen = []
    for step in range(12):
        generation = records.begin_write(segment, 0, VERSION)
        assert records.begin_write(segment, 0, VERSION) == generation, "a write begun again"
        if step % 3:
            records.publish(segment, 0, generation, TERM, 0)
            seen.append(records.generation_of(segment, 0))
            records.begin_invalidate(segment, 0)
            records.end_invalidate(segment, 0)
        else:
            records.abandon(segment, 0)
        seen.append(records.generation_of(segment, 0))
    assert seen == sorted(set(seen))
    assert not any(generation & 1 for generation in seen)


def test_another_hash_does_not_match(segment: Segment) -> None:
    """A record is found under its own 64-bit hash only."""
    store(segment, 0, KEY)
    for bit in range(64):
        assert records.match(segment, 0, HASHED ^ 1 << bit) == 0


@pytest.mark.parametrize("key", [b"kez", b"ke", b"keyy", b"", KEY + b"\0"])
def test_another_key_is_not_held(segment: Segment, key: bytes) -> None:
    """Keys are told apart by every byte and by their length."""
    store(segment, 0, KEY)
    assert not records.holds_key(segment, 0, key)


def test_the_rest_of_a_longer_key_is_not_seen(segment: Segment) -> None:
    """A record that held a longer key before says its own and nothing more."""
    store(segment, 0, b"a much longer key than the next")
    store(segment, 0, KEY)
    assert records.key_of(segment, 0) == KEY
    assert records.holds_key(segment, 0, KEY)


def test_the_longest_key_stays_in_its_record(segment: Segment) -> None:
    """A key of 255 bytes touches no other record."""
    store(segment, 0, b"k" * 255)
    store(segment, 1, KEY)
    assert records.key_of(segment, 0) == b"k" * 255
    assert records.generation_of(segment, 1) == 2
    segment.words[segment.record_word(0) + KEY_LENGTH] = 1 << 60
    assert len(records.key_of(segment, 0)) <= 36 * 8


@pytest.mark.parametrize("term", [TERM - 1, TERM + 1, 1, (1 << 64) - 1])
def test_a_record_of_another_term_does_not_match(segment: Segment, term: int) -> None:
    """What was published in a term that has passed, or not begun, is not read."""
    generation = records.begin_write(segment, 0, VERSION)
    records.describe(segment, 0, KEY, HASHED, 0)
    records.publish(segment, 0, generation, term, 0)
    assert records.match(segment, 0, HASHED) == 0
    assert records.is_published(segment, 0)
    records.restamp(segment, 0, TERM)
    assert records.match(segment, 0, HASHED) == generation


def test_reads_go_on_while_a_term_begins(segment: Segment) -> None:
    """While records are restamped, those of the old and of the coming term are read."""
    old, new = store(segment, 0, KEY), store(segment, 1, KEY)
    segment.words[AT_CLOSING] = TERM + 1
    records.restamp(segment, 1, TERM + 1)
    assert records.match(segment, 0, HASHED) == old
    assert records.match(segment, 1, HASHED) == new
    segment.words[AT_TERM] = TERM + 1
    segment.words[AT_CLOSING] = 0
    assert records.match(segment, 0, HASHED) == 0
    assert records.match(segment, 1, HASHED) == new


def test_what_was_readable_is_so_until_it_changes(segment: Segment) -> None:
    """A remembered place holds while the generation and the term are what they were."""
    generation = store(segment, 0, KEY)
    assert records.still_readable(segment, segment.record_word(0), generation)
    assert not records.still_readable(segment, segment.record_word(0), generation + 2)
    records.begin_invalidate(segment, 0)
    assert not records.still_readable(segment, segment.record_word(0), generation)


@pytest.mark.parametrize(("at", "value"), [(AT_TERM, TERM + 1), (AT_DEAD, 1)])
def test_what_was_readable_is_not_so_in_another_term(segment: Segment, at: int, value: int) -> None:
    """A remembered place is not believed once its segment is dead, or in a term that it missed."""
    generation = store(segment, 0, KEY)
    segment.words[at] = value
    assert records.unchanged(segment, 0, generation)
    assert not records.still_readable(segment, segment.record_word(0), generation)


def test_nothing_of_a_dead_segment_matches(segment: Segment) -> None:
    """Readers that still map a dead segment stop believing it."""
    store(segment, 0, KEY)
    segment.words[AT_DEAD] = 1
    assert records.match(segment, 0, HASHED) == 0


def test_lease_and_clock_are_words_of_their_own(segment: Segment) -> None:
    """A lease and an access change neither each other nor the generation."""
    generation = store(segment, 0, KEY)
    records.store_lease(segment, 0, 123456)
    touch(segment, segment.record_word(0), 77)
    touch(segment, segment.record_word(0), 77)
    assert records.lease_of(segment, 0) == 123456
    assert records.match(segment, 0, HASHED) == generation
    assert records.access_clocks(segment).tolist() == [77] + [0] * 7


@pytest.mark.parametrize("scribbled", [(1 << 64) - 1, (1 << 64) - 2])
def test_the_largest_generation_is_followed_by_the_first(segment: Segment, scribbled: int) -> None:
    """Whatever a stranger stores as a generation, a record can be written, invalidated and written again."""
    at = segment.record_word(0)
    segment.words[at] = scribbled
    records.begin_invalidate(segment, 0)
    records.end_invalidate(segment, 0)
    assert segment.words[at] == 2
    segment.words[at] = scribbled
    assert store(segment, 0, KEY) == 2
    assert records.match(segment, 0, HASHED) == 2


def test_a_new_object_inherits_no_lease(segment: Segment) -> None:
    """What is written into a record is not protected by the lease of what was there before."""
    store(segment, 0, KEY)
    records.store_lease(segment, 0, 123456)
    store(segment, 0, b"other")
    assert records.lease_of(segment, 0) == 0
