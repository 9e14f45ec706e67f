"""Sequence windows, rule by rule."""

import pytest

from mmc.wire.sequence import ReplyWindow, Verdict

WIDTH = 8


@pytest.fixture
def window() -> ReplyWindow:
    """A window of eight numbers and 100 bytes."""
    return ReplyWindow(WIDTH, 100)


def admit(window: ReplyWindow, number: int, *, retry: bool = False, acknowledged_below: int = 1) -> Verdict:
    """Judge a number as a sender that still awaits number 1 would send it."""
    return window.admit(number, retry=retry, acknowledged_below=acknowledged_below)


@pytest.mark.parametrize("retry", [False, True])
def test_a_new_number_is_executed_with_the_retry_flag_or_without(window: ReplyWindow, *, retry: bool) -> None:
    """A number never seen is executed even as a retry, since its first copy may have been lost."""
    assert admit(window, 1, retry=retry) is Verdict.EXECUTE


def test_a_number_in_flight_seen_again_is_a_duplicate(window: ReplyWindow) -> None:
    """A number in flight that comes again without the retry flag is refused."""
    admit(window, 1)
    assert admit(window, 1) is Verdict.DUPLICATE


def test_a_finished_number_seen_again_is_a_duplicate(window: ReplyWindow) -> None:
    """A finished number that comes again without the retry flag is refused."""
    admit(window, 1)
    window.finish(1, (b"reply",))
    assert admit(window, 1) is Verdict.DUPLICATE


def test_a_retry_of_a_number_in_flight_joins_it(window: ReplyWindow) -> None:
    """A retry of what is in flight is not executed a second time."""
    admit(window, 1)
    assert admit(window, 1, retry=True) is Verdict.JOIN


def test_a_retry_of_a_finished_number_gets_the_stored_reply(window: ReplyWindow) -> None:
    """A retry of what is finished gets the same frames again, every time."""
    reply = (b"header", b"body", b"raw")
    admit(window, 1)
    window.finish(1, reply)
    for _ in range(3):
        assert admit(window, 1, retry=True) is Verdict.REPLAY
        assert window.stored(1) is reply


def test_a_read_is_executed_again(window: ReplyWindow) -> None:
    """A retry of what was finished without a stored reply is executed again."""
    admit(window, 1)
    window.finish(1, None)
    assert admit(window, 1, retry=True) is Verdict.EXECUTE
    assert admit(window, 1, retry=True) is Verdict.JOIN


@pytest.mark.parametrize("retry", [False, True])
def test_an_acknowledged_number_is_unknown(window: ReplyWindow, *, retry: bool) -> None:
    """What the sender acknowledged is forgotten, and not executed should it come again."""
    admit(window, 1)
    window.finish(1, (b"reply",))
    admit(window, 2, acknowledged_below=2)
    assert admit(window, 1, retry=retry) is Verdict.UNKNOWN


def test_a_number_skipped_and_acknowledged_is_never_executed(window: ReplyWindow) -> None:
    """A number that its sender gave up is not executed when it arrives late."""
    admit(window, 3, acknowledged_below=3)
    assert admit(window, 2, retry=True) is Verdict.UNKNOWN


def test_numbers_beyond_the_window_are_unknown(window: ReplyWindow) -> None:
    """The window ends one width above the lowest number that is not acknowledged."""
    admit(window, 1)
    assert admit(window, WIDTH) is Verdict.EXECUTE
    assert admit(window, WIDTH + 1) is Verdict.UNKNOWN
    assert admit(window, WIDTH + 1, acknowledged_below=2) is Verdict.EXECUTE


def test_at_most_a_width_of_numbers_may_be_skipped(window: ReplyWindow) -> None:
    """A number further above the highest seen than a width is unknown, whatever it acknowledges."""
    admit(window, 1)
    assert admit(window, WIDTH + 2, acknowledged_below=WIDTH + 2) is Verdict.UNKNOWN
    assert admit(window, WIDTH + 1, acknowledged_below=WIDTH + 1) is Verdict.EXECUTE


def test_a_refused_number_acknowledges_nothing(window: ReplyWindow) -> None:
    """A number that is refused for being out of reach leaves the window as it was."""
    admit(window, 1)
    window.finish(1, (b"reply",))
    admit(window, 1 << 63, acknowledged_below=1 << 62)
    admit(window, 1, acknowledged_below=5)
    assert admit(window, 1, retry=True) is Verdict.REPLAY


def test_a_number_cannot_acknowledge_itself(window: ReplyWindow) -> None:
    """A message that acknowledges its own number contradicts itself and is not executed."""
    assert admit(window, 1, acknowledged_below=2) is Verdict.UNKNOWN


def test_zero_is_no_number(window: ReplyWindow) -> None:
    """Numbers begin with 1."""
    assert admit(window, 0, acknowledged_below=0) is Verdict.UNKNOWN


def test_the_oldest_replies_are_forgotten_first(window: ReplyWindow) -> None:
    """Beyond the byte limit the lowest numbers lose their replies; a retry of them is unknown."""
    for number in range(1, 5):
        admit(window, number)
        window.finish(number, (bytes(40),))
    window.check()
    verdicts = [admit(window, number, retry=True) for number in range(1, 5)]
    assert verdicts == [Verdict.UNKNOWN, Verdict.UNKNOWN, Verdict.REPLAY, Verdict.REPLAY]


def test_replies_are_kept_up_to_the_very_limit(window: ReplyWindow) -> None:
    """Replies that fill the byte limit are all kept; for one byte more only the lowest goes."""
    for number in (1, 2):
        admit(window, number)
        window.finish(number, (bytes(50),))
    assert admit(window, 1, retry=True) is Verdict.REPLAY
    admit(window, 3)
    window.finish(3, (bytes(50),))
    verdicts = [admit(window, number, retry=True) for number in (1, 2, 3)]
    assert verdicts == [Verdict.UNKNOWN, Verdict.REPLAY, Verdict.REPLAY]


def test_as_many_replies_are_forgotten_as_it_takes(window: ReplyWindow) -> None:
    """A large reply makes several small ones go."""
    for number, size in ((1, 30), (2, 30), (3, 30), (4, 60)):
        admit(window, number)
        window.finish(number, (bytes(size),))
    window.check()
    verdicts = [admit(window, number, retry=True) for number in range(1, 5)]
    assert verdicts == [Verdict.UNKNOWN, Verdict.UNKNOWN, Verdict.REPLAY, Verdict.REPLAY]


def test_a_forgotten_reply_is_still_a_duplicate(window: ReplyWindow) -> None:
    """A number whose reply was forgotten is still known to have been used."""
    admit(window, 1)
    window.finish(1, (bytes(101),))
    assert admit(window, 1) is Verdict.DUPLICATE
    assert admit(window, 1, retry=True) is Verdict.UNKNOWN


def test_acknowledging_gives_bytes_back(window: ReplyWindow) -> None:
    """Replies that were acknowledged count no more against the byte limit."""
    admit(window, 1)
    window.finish(1, (bytes(90),))
    admit(window, 2, acknowledged_below=2)
    window.finish(2, (bytes(90),))
    window.check()
    assert admit(window, 2, retry=True, acknowledged_below=2) is Verdict.REPLAY


def test_only_a_number_in_flight_can_be_finished(window: ReplyWindow) -> None:
    """Finishing what is unknown, or finished already, changes nothing."""
    window.finish(1, (b"never asked",))
    assert admit(window, 1) is Verdict.EXECUTE
    window.finish(1, (b"first",))
    window.finish(1, (b"second",))
    assert admit(window, 1, retry=True) is Verdict.REPLAY
    assert window.stored(1) == (b"first",)
