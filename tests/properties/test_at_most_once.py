"""At most once (S5), for every schedule of loss, repetition, reordering, delay, retries and restarts.

What a session promises about a request that mutates:

1. It is executed at most once, ever, and only in the life of the receiver that gave out its session:
   session numbers are given once, and no request passes into another session by itself.
2. Told of success, it was executed exactly once, after it was asked and before it was told; so the order of
   the ledger is one that every caller can have seen.
3. Of the copies of one number, one is executed.  Those without the retry flag answer -3009, those with it
   nothing while it is being executed, and then the first reply, byte for byte.
4. -3010 says of the *copy* that it is not executed.  A caller that is told so knows of its *request*: it was
   not executed in the life that said so, and is in no later one; in an earlier life it may have been, its
   reply lost.  With that an owner can settle.  A receiver that had to forget promises less: one that ended
   the session for its silence may have executed the request in the same life, but will not any more; one
   whose stored replies outgrew ``window_bytes`` may also execute other requests of that session late, until
   the hello arrives by which its client leaves it.
5. A caller given up on at its deadline (-3004, -3017) knows nothing: the request runs once, now or later, or
   never.  Every caller is told something by its deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

import pytest
from hypothesis import HealthCheck, Phase, example, find, given, settings
from hypothesis import strategies as st

from mmc.actors.contract import Effect, Send
from mmc.actors.link import Link
from mmc.actors.reception import Reception, Request, Session
from mmc.wire.codec import Header, decode_body, decode_header, encode, encode_header
from mmc.wire.operations import Operation
from mmc.wire.replies import Codes, Failure
from mmc.wire.requests import Hello, Remove
from mmc.wire.sequence import Frames, ReplyWindow, Verdict
from tests.conversation import IDLE_S
from tests.properties.ledger import AMPLE_BYTES, CLIENTS, Story

TIMEOUTS = (10.0, 2.0, 0.5, 0.1)
PAUSES = (0.2, 1.0, 5.0, IDLE_S + 1)
WIDTHS = (2, 3, 5)
WINDOW_BYTES = (AMPLE_BYTES, 60, 0)
EXAMPLES = 6 * settings().max_examples
SEARCH = settings(max_examples=3000, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


class Move(Enum):
    """What may happen next; first what shrinks best."""

    NOTHING = auto()
    ASK = auto()
    UP = auto()
    DOWN = auto()
    ANSWER = auto()
    DUE = auto()
    EVERYTHING = auto()
    LOSE_UP = auto()
    LOSE_DOWN = auto()
    REPEAT_UP = auto()
    REPEAT_DOWN = auto()
    WAIT = auto()
    BROKER = auto()
    EPOCH = auto()
    CRASH = auto()
    AMNESIA = auto()


Step = tuple[Move, int]
Schedule = tuple[int, int, list[Step]]
OFTEN = [Move.ASK, Move.UP, Move.DOWN, Move.ANSWER, Move.DUE]
FAULTS = [Move.LOSE_UP, Move.LOSE_DOWN, Move.REPEAT_UP, Move.REPEAT_DOWN, Move.EVERYTHING]
COMMON = [Move.NOTHING, *OFTEN * 8, *FAULTS * 3, *Move]
STEPS = st.tuples(st.sampled_from(COMMON), st.integers(0, 11))
SCHEDULES = st.tuples(
    st.sampled_from(WIDTHS), st.sampled_from(WINDOW_BYTES), st.lists(STEPS, min_size=20, max_size=80)
)


def _move(story: Story, move: Move, pick: int) -> None:
    """One step; what cannot happen now does not."""
    receiver = story.receiver
    way = story.up if move in (Move.UP, Move.LOSE_UP, Move.REPEAT_UP) else story.down
    at = pick % max(1, len(receiver.waiting) if move is Move.ANSWER else len(way))
    match move:
        case Move.ASK:
            story.ask(pick % CLIENTS, TIMEOUTS[pick // CLIENTS % len(TIMEOUTS)])
        case Move.UP if way:
            story.deliver_up(at)
        case Move.DOWN if way:
            story.deliver_down(at)
        case Move.ANSWER if receiver.waiting:
            story.answer(at)
        case Move.DUE:
            story.wait_until_due()
        case Move.EVERYTHING:
            story.deliver_all()
        case Move.LOSE_UP | Move.LOSE_DOWN if way:
            del way[at]
        case Move.REPEAT_UP | Move.REPEAT_DOWN if way:
            way.append(way[at])
        case Move.WAIT:
            story.pass_time(PAUSES[pick % len(PAUSES)])
        case Move.BROKER:
            story.restart_broker()
        case Move.EPOCH | Move.CRASH | Move.AMNESIA:
            receiver.begin_life(is_process=move is not Move.EPOCH, remembers_epoch=move is not Move.AMNESIA)


def tell(schedule: Schedule) -> Story:
    """Let a schedule happen, and then let the network be well."""
    width, window_bytes, steps = schedule
    story = Story(width, window_bytes)
    story.meet()
    for move, pick in steps:
        _move(story, move, pick)
        story.receiver.reception.check()
    story.heal()
    return story


def check(schedule: Schedule) -> None:
    """Whatever fails on the way says what does not hold."""
    tell(schedule)


LATE_REPLY: Schedule = (
    3,
    AMPLE_BYTES,
    [
        *[(Move.ASK, 0), (Move.UP, 0), (Move.ANSWER, 0), (Move.AMNESIA, 0)],
        *[(Move.ASK, 0), (Move.UP, 0), (Move.DOWN, 1), (Move.UP, 0), (Move.DOWN, 1)],
        *[(Move.ASK, 0), (Move.ASK, 0), (Move.DOWN, 0)],
    ],
)
"""The reply to the second request of a session comes while the second of the next is awaited."""


@settings(max_examples=EXAMPLES)
@example(LATE_REPLY)
@given(SCHEDULES)
def test_every_schedule_has_a_history_without_faults(schedule: Schedule) -> None:
    """Requests are executed at most once, callers are told the truth of it, and in time."""
    tell(schedule)


@pytest.mark.parametrize(
    "goal",
    [
        "joined", "replayed", "duplicate", "refused", "refused, and executed earlier",
        "given up", "given up, and executed", "executed after it was given up",
    ],
)  # fmt: skip
def test_the_schedules_reach_what_the_promises_are_about(goal: str) -> None:
    """Each case that the promises distinguish happens in some schedule, so that it is checked."""
    find(SCHEDULES, lambda schedule: goal in tell(schedule).receiver.seen, settings=SEARCH)


def test_a_window_that_forgets_lets_another_request_run_after_its_caller_was_told() -> None:
    """What rule 4 excepts is so: one reply was forgotten, and with it two requests run that were refused."""
    two_asked = [(Move.ASK, 0), (Move.ASK, 0)]
    second_reply_lost = [(Move.UP, 1), (Move.ANSWER, 0), (Move.LOSE_DOWN, 0)]
    second_refused = [(Move.DUE, 0), (Move.DUE, 0), (Move.UP, 2), (Move.DOWN, 0)]
    story = tell((3, 0, [*two_asked, *second_reply_lost, *second_refused, (Move.UP, 0)]))
    assert story.receiver.seen >= {"refused where it was executed", "executed after -3010"}


def test_nothing_runs_in_a_session_that_its_client_has_left() -> None:
    """Once the next hello has arrived, a late request of the session before it answers -3010."""
    story = Story(2, AMPLE_BYTES)
    story.meet()
    reception = story.receiver.reception
    first = story.links[0]._session  # noqa: SLF001 - the number of its session
    executed = len(story.receiver.ledger)
    late = encode(Header(Operation.REMOVE, first, 9, epoch=reception.epoch), Remove((b"9",)))
    hello = Hello(story.links[0]._client, 0, 1, 1, 0, first)  # noqa: SLF001 - its id
    story.receiver.receive(b"route", encode(Header(Operation.HELLO, sequence=9), hello), story.now)
    (answer,) = story.receiver.receive(b"route", late, story.now)
    assert isinstance(answer, Send)
    assert isinstance(decode_body(decode_header(answer.frames), answer.frames), Failure)
    assert len(story.receiver.ledger) == executed


@given(st.integers(5 * 10**9, 63 * 10**9))
def test_a_link_that_is_woken_when_it_is_due_has_nothing_due_any_more(began_ns: int) -> None:
    """Whoever sleeps until the next deadline and then does what is due can sleep again (L2)."""
    story = Story(2, AMPLE_BYTES)
    story.now = began_ns / 1e9
    story.meet()
    link = story.links[0]
    due = link.next_deadline()
    assert due is not None
    link.expire(due)
    later = link.next_deadline()
    assert later is not None
    assert later > due


# Faults planted in product code: a property that misses one is worth nothing.

Plant = Callable[[pytest.MonkeyPatch], None]


def _admits(careless: Callable[[ReplyWindow, int, bool, Verdict], Verdict]) -> Plant:
    original = ReplyWindow.admit

    def admit(window: ReplyWindow, number: int, *, retry: bool, acknowledged_below: int) -> Verdict:
        verdict = original(window, number, retry=retry, acknowledged_below=acknowledged_below)
        return careless(window, number, retry, verdict)

    return lambda patch: patch.setattr(ReplyWindow, "admit", admit)


def _retry_executed(_window: ReplyWindow, _number: int, retry: bool, verdict: Verdict) -> Verdict:
    return Verdict.EXECUTE if retry and verdict in (Verdict.REPLAY, Verdict.JOIN) else verdict


def _duplicate_executed(_window: ReplyWindow, _number: int, _retry: bool, verdict: Verdict) -> Verdict:
    return Verdict.EXECUTE if verdict is Verdict.DUPLICATE else verdict


def _acknowledged_executed(window: ReplyWindow, number: int, _retry: bool, verdict: Verdict) -> Verdict:
    return Verdict.EXECUTE if number < window._floor else verdict  # noqa: SLF001 - that is the fault


def _first_refused(_window: ReplyWindow, _number: int, retry: bool, verdict: Verdict) -> Verdict:
    return Verdict.DUPLICATE if verdict is Verdict.EXECUTE and retry else verdict


def _sessions_of_another_life(patch: pytest.MonkeyPatch) -> None:
    """A session that is not known is taken for one that is."""
    original = Reception.receive

    def receive(
        reception: Reception, source: bytes, frames: Frames, now: float
    ) -> tuple[Request | None, list[Effect]]:
        header = decode_header(frames)
        if header.session and header.session not in reception._sessions:  # noqa: SLF001 - that is the fault
            window = ReplyWindow(5, AMPLE_BYTES)
            session = Session(header.session, Hello(0, 0, 1, 1, 0), window, now)
            reception._sessions[header.session] = session  # noqa: SLF001 - that is the fault
        if header.operation != Operation.HELLO:
            frames = (encode_header(header._replace(epoch=reception.epoch)), *frames[1:])
        return original(reception, source, frames, now)

    patch.setattr(Reception, "receive", receive)


def _asked_again_in_the_next_session(patch: pytest.MonkeyPatch) -> None:
    """A request whose session was lost is sent again in the next."""
    patch.setattr(Remove, "mutates", False)


def _another_session_s_reply(patch: pytest.MonkeyPatch) -> None:
    """A reply is taken for that to the same number of another session."""
    original = Link.receive

    def receive(link: Link, frames: Frames, now: float) -> None:
        header = decode_header(frames)
        if header.operation == Operation.CODES:
            header = header._replace(session=link._session)  # noqa: SLF001 - that is the fault
        original(link, (encode_header(header), *frames[1:]), now)

    patch.setattr(Link, "receive", receive)


def _reply_made_anew(patch: pytest.MonkeyPatch) -> None:
    """A retry is answered with a reply like the first."""
    original = ReplyWindow.stored

    def stored(window: ReplyWindow, number: int) -> Frames:
        frames = original(window, number)
        return encode(decode_header(frames), Codes((1,)))

    patch.setattr(ReplyWindow, "stored", stored)


def _replies_not_kept(patch: pytest.MonkeyPatch) -> None:
    """Replies are forgotten though there is space for them."""
    original = ReplyWindow.__init__
    patch.setattr(ReplyWindow, "__init__", lambda window, width, _bytes: original(window, width, 0))


def _deadline_overlooked(patch: pytest.MonkeyPatch) -> None:
    """A caller is kept waiting for longer than it wants."""
    patch.setattr(Link, "_end_of", lambda _link, ticket: ticket.deadline + 1)


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        (_admits(_retry_executed), "executed twice"),
        (_admits(_duplicate_executed), "executed twice"),
        (_admits(_acknowledged_executed), "executed twice"),
        (_admits(_first_refused), "a retry taken for a copy"),
        (_sessions_of_another_life, "executed (twice|for a session of another life)"),
        (_asked_again_in_the_next_session, "executed twice"),
        (_reply_made_anew, "another reply"),
        (_replies_not_kept, "executed where it was refused"),
        (_deadline_overlooked, "not told by the deadline"),
    ],
)
def test_planted_faults_are_caught(plant: Plant, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault planted in the link, the reception or the window is found, and called what it is."""
    plant(monkeypatch)
    with pytest.raises(AssertionError, match=said):
        settings(SEARCH)(given(SCHEDULES)(check))()


def test_a_planted_mix_up_of_sessions_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reply taken for that of another session is found, by the one schedule in thousands that shows it."""
    check(LATE_REPLY)
    _another_session_s_reply(monkeypatch)
    with pytest.raises(AssertionError, match="told of success, and never executed"):
        check(LATE_REPLY)
