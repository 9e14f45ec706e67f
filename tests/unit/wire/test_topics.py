"""Topics, and the numbers that show a gap."""

from mmc.wire.topics import MEMBER, GapDetector, evict_topic, lease_topic


def test_the_first_number_of_an_epoch_sets_the_start() -> None:
    """Whoever begins to listen has missed nothing."""
    gaps = GapDetector()
    assert not gaps.saw(1, 41)
    assert not gaps.saw(1, 42)
    assert not gaps.saw(2, 7)
    assert gaps.gaps == 0


def test_a_gap_is_told_once() -> None:
    """A number that leaves out others is a gap; those that follow it are not."""
    gaps = GapDetector()
    gaps.saw(1, 1)
    assert gaps.saw(1, 3)
    assert not gaps.saw(1, 4)
    assert gaps.gaps == 1


def test_late_and_repeated_events_are_no_gap() -> None:
    """What was seen before, or comes after what follows it, says nothing new."""
    gaps = GapDetector()
    gaps.saw(1, 1)
    gaps.saw(1, 3)
    assert not gaps.saw(1, 2)
    assert not gaps.saw(1, 3)
    assert not gaps.saw(1, 4)
    assert gaps.gaps == 1


def test_the_publisher_s_word_shows_what_was_lost_at_the_end() -> None:
    """A publisher that has sent more than arrived shows a gap, once."""
    gaps = GapDetector()
    gaps.saw(1, 1)
    assert not gaps.behind(1, 1)
    assert gaps.behind(1, 2)
    assert not gaps.behind(1, 2)
    assert not gaps.saw(1, 2)
    assert gaps.gaps == 1


def test_a_word_older_than_what_arrived_shows_nothing() -> None:
    """An answer that an event overtook is not believed over the event."""
    gaps = GapDetector()
    gaps.saw(1, 1)
    gaps.saw(1, 2)
    assert not gaps.behind(1, 1)
    assert not gaps.saw(1, 3)
    assert gaps.gaps == 0


def test_the_first_word_of_an_epoch_shows_what_was_published_unheard() -> None:
    """Whoever hears nothing but that something was published has missed it; nothing is no gap."""
    assert GapDetector().behind(1, 1)
    assert not GapDetector().behind(1, 0)


def test_the_word_of_a_new_epoch_is_not_measured_by_the_last() -> None:
    """What was seen in an earlier epoch does not hide what was missed in this one."""
    gaps = GapDetector()
    gaps.saw(1, 10)
    assert gaps.behind(2, 3)
    assert not gaps.behind(2, 3)
    gaps.behind(3, 0)
    assert gaps.saw(3, 2)


def test_after_the_first_word_of_an_epoch_numbers_go_on_from_there() -> None:
    """What follows the publisher's word is no gap."""
    gaps = GapDetector()
    gaps.behind(1, 3)
    assert not gaps.saw(1, 4)
    assert gaps.saw(1, 6)
    other = GapDetector()
    other.behind(1, 3)
    assert other.saw(1, 5)


def test_no_topic_is_the_beginning_of_another() -> None:
    """A subscription matches by prefix, and must match its own topic only."""
    topics = [MEMBER, *(topic(rank) for rank in range(120) for topic in (evict_topic, lease_topic))]
    assert len(set(topics)) == len(topics)
    assert [(a, b) for a in topics for b in topics if a != b and a.startswith(b)] == []
