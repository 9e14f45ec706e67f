"""The asking end, rule by rule; tests/stateful/test_session.py lets it meet a bad network."""

from dataclasses import replace
from itertools import count, pairwise

import pytest

from mmc.actors.contract import META, Send
from mmc.actors.link import Link, Ticket
from mmc.errors import Code
from mmc.wire.codec import RETRY, Header, decode_body, decode_header, encode
from mmc.wire.operations import WIRE_VERSION, Message
from mmc.wire.replies import Codes, Failure, Welcome
from mmc.wire.requests import Hello, KeepAlive, Lookup, Remove
from tests.conversation import CLIENT, CLIENT_LIMITS

EPOCH = 3
SESSION = 500
WINDOW = 4
RETRY_S = CLIENT_LIMITS.retry_ms / 1000
RETRY_MAX_S = CLIENT_LIMITS.retry_max_ms / 1000
QUESTION = Lookup((b"key",))
ORDER = Remove((b"key",))


class Peer:
    """A link, what it sends, and replies for it."""

    def __init__(self) -> None:
        """Nothing was said."""
        draws = count(1)
        self.opened: list[tuple[Welcome, float]] = []
        self.link = Link(
            META,
            CLIENT,
            0,
            CLIENT_LIMITS,
            lambda: next(draws),
            lambda welcome, now: self.opened.append((welcome, now)),
            Code.META_UNREACHABLE,
        )
        self.session = SESSION

    def sent(self) -> list[tuple[Header, Message]]:
        """What the link has sent since it was last looked at."""
        messages = []
        for effect in self.link.take_effects():
            assert isinstance(effect, Send)
            assert effect.to == META
            header = decode_header(effect.frames)
            messages.append((header, decode_body(header, effect.frames)))
        return messages

    def reply(
        self,
        sequence: int,
        message: Message,
        *,
        session: int | None = None,
        epoch: int = EPOCH,
        now: float = 0.0,
    ) -> None:
        """The service answers."""
        number = self.session if session is None else session
        self.link.receive(encode(Header(0, number, sequence, epoch=epoch), message), now)

    def refuse(self, sequence: int, code: int, *, session: int | None = None, now: float = 0.0) -> None:
        """The service refuses."""
        self.reply(sequence, Failure(code, "why"), session=session, now=now)

    def welcome(self, now: float = 0.0, window: int = WINDOW, epoch: int = EPOCH) -> None:
        """The service answers the hello that was sent last, with a new session."""
        hellos = [header for header, message in self.sent() if isinstance(message, Hello)]
        self.session += 1
        welcome = Welcome(self.session, WIRE_VERSION, window, 0, "", 0, ())
        self.reply(hellos[-1].sequence, welcome, session=0, epoch=epoch, now=now)

    def ask(
        self, message: Message = QUESTION, deadline: float = 10.0, now: float = 0.0
    ) -> tuple[Ticket, list[Ticket]]:
        """A request, and where its ticket appears when it is done."""
        done: list[Ticket] = []
        return self.link.request(message, deadline, now, done.append), done


@pytest.fixture
def peer() -> Peer:
    """A link that nobody has asked for anything."""
    return Peer()


@pytest.fixture
def open_peer(peer: Peer) -> Peer:
    """A link with an open session, and nothing in flight."""
    peer.link.greet(0.0)
    peer.welcome()
    return peer


def test_the_first_request_says_hello(peer: Peer) -> None:
    """Nothing is sent before a session is open but the hello that opens it."""
    peer.ask()
    ((header, hello),) = peer.sent()
    assert hello == Hello(CLIENT, 0, 1, WIRE_VERSION, 0)
    assert header.session == 0
    assert not peer.link.is_open
    peer.ask()
    peer.link.greet(0.0)
    assert peer.sent() == []


def test_a_hello_is_repeated_at_growing_intervals(peer: Peer) -> None:
    """An unanswered hello is sent again under its number, at intervals that double to a limit."""
    peer.link.greet(0.0)
    ((first, _),) = peer.sent()
    times = [0.0]
    for _ in range(8):
        due = peer.link.next_deadline()
        assert due is not None
        peer.link.expire(due)
        ((header, _),) = peer.sent()
        assert header == first
        times.append(due)
    intervals = [b - a for a, b in pairwise(times)]
    for number, interval in enumerate(intervals):
        nominal = min(RETRY_S * 2**number, RETRY_MAX_S)
        assert 0.75 * nominal <= interval <= 1.25 * nominal


def test_an_open_session_numbers_requests_from_one(peer: Peer) -> None:
    """What waited for the session is sent in its order, numbered 1, 2, 3."""
    for _ in range(3):
        peer.ask(deadline=5.0)
    peer.welcome(now=1.0)
    assert peer.link.is_open
    assert [opened_at for _, opened_at in peer.opened] == [1.0]
    sent = peer.sent()
    assert [header.sequence for header, _ in sent] == [1, 2, 3]
    assert {header.session for header, _ in sent} == {peer.session}
    assert {header.epoch for header, _ in sent} == {EPOCH}
    assert {header.flags for header, _ in sent} == {0}
    assert {header.acknowledged_below for header, _ in sent} == {1}


def test_the_peer_is_told_of_a_little_less_time_than_is_left(open_peer: Peer) -> None:
    """A deadline is told so that the peer's last word arrives before it."""
    open_peer.ask(deadline=5.0)
    open_peer.ask(deadline=0.1)
    open_peer.ask(deadline=-1.0)
    told = [header.deadline_ms for header, _ in open_peer.sent()]
    assert 4800 <= told[0] < 5000
    assert 50 <= told[1] < 100
    assert told[2] == 0


def test_a_second_welcome_opens_nothing(open_peer: Peer) -> None:
    """The answer to a repeated hello is another session, which nobody uses."""
    welcome = Welcome(999, WIRE_VERSION, WINDOW, 0, "", 0, ())
    open_peer.reply(1, welcome, session=0)
    open_peer.ask()
    assert [header.session for header, _ in open_peer.sent()] == [open_peer.session]
    assert open_peer.link.counters["unawaited replies"] == 1
    assert len(open_peer.opened) == 1


def test_a_ticket_is_done_with_its_own_answer(open_peer: Peer) -> None:
    """Answers find their requests by number, in whatever order they come."""
    (first, first_done), (second, second_done) = open_peer.ask(), open_peer.ask()
    open_peer.reply(2, Codes((2,)))
    assert (first.done, second.done) == (False, True)
    open_peer.reply(1, Codes((1,)))
    assert (first.reply, second.reply) == (Codes((1,)), Codes((2,)))
    assert (first_done, second_done) == ([first], [second])
    assert first.code is second.code is Code.OK


def test_a_ticket_is_done_once(open_peer: Peer) -> None:
    """An answer that comes again is dropped and counted, and changes nothing."""
    ticket, done = open_peer.ask()
    open_peer.reply(1, Codes((1,)))
    open_peer.reply(1, Codes((2,)))
    open_peer.link.expire(100.0)
    assert (ticket.reply, done) == (Codes((1,)), [ticket])
    assert open_peer.link.counters["unawaited replies"] == 1


@pytest.mark.parametrize(
    ("told", "code"), [(-3016, Code.NO_SPACE), (-1, Code.INTERNAL), (-9999, Code.INTERNAL)]
)
def test_a_refusal_ends_a_ticket_with_its_code(open_peer: Peer, told: int, code: Code) -> None:
    """A refused request ends with the documented code, or -1 for one that nobody knows."""
    ticket, done = open_peer.ask(ORDER)
    open_peer.refuse(1, told)
    assert (ticket.code, ticket.reply) == (code, Failure(told, "why"))
    assert done == [ticket]


def test_an_unanswered_request_is_sent_again_as_a_retry(open_peer: Peer) -> None:
    """Rule 1: the same number with the retry flag, at intervals that double to a limit."""
    open_peer.ask(ORDER, deadline=20.0)
    ((first, _),) = open_peer.sent()
    times = [0.0]
    for _ in range(6):
        due = open_peer.link.next_deadline()
        assert due is not None
        open_peer.link.expire(due)
        ((header, message),) = open_peer.sent()
        assert message == ORDER
        assert header == replace_deadline(first, header)._replace(flags=RETRY)
        times.append(due)
    for number, interval in enumerate(b - a for a, b in pairwise(times)):
        nominal = min(RETRY_S * 2**number, RETRY_MAX_S)
        assert 0.75 * nominal <= interval <= 1.25 * nominal
    assert open_peer.link.counters["retries"] == 6


def replace_deadline(header: Header, other: Header) -> Header:
    """A header with the deadline of another, which must be the shorter."""
    assert other.deadline_ms < header.deadline_ms
    return header._replace(deadline_ms=other.deadline_ms)


def test_a_request_never_answered_ends_at_its_deadline(open_peer: Peer) -> None:
    """L2: at its deadline a ticket ends; it says whether the peer was heard since it was asked."""
    heard, _ = open_peer.ask(deadline=5.0)
    open_peer.reply(77, Codes(()), now=1.0)
    silent, _ = open_peer.ask(deadline=5.0, now=2.0)
    open_peer.link.expire(4.9)
    assert not heard.done
    assert not silent.done
    open_peer.link.expire(5.0)
    assert (heard.code, silent.code) == (Code.TIMED_OUT, Code.META_UNREACHABLE)


def test_a_request_that_was_never_sent_ends_at_its_deadline(peer: Peer) -> None:
    """L2: without a session, too, every ticket ends in time, in any order of deadlines."""
    late, early = peer.ask(deadline=8.0, now=1.0)[0], peer.ask(deadline=3.0, now=1.0)[0]
    peer.link.expire(3.0)
    assert (early.done, late.done) == (True, False)
    assert early.code is Code.META_UNREACHABLE
    due = peer.link.next_deadline()
    assert due is not None
    assert due <= 8.0
    peer.link.expire(8.0)
    assert late.done


def test_no_more_is_in_flight_than_the_window_holds(open_peer: Peer) -> None:
    """A request beyond the window waits until the lowest number in flight is answered."""
    for _ in range(WINDOW + 2):
        open_peer.ask()
    assert [header.sequence for header, _ in open_peer.sent()] == [1, 2, 3, 4]
    open_peer.reply(2, Codes(()))
    open_peer.reply(3, Codes(()))
    assert open_peer.sent() == []
    open_peer.reply(1, Codes(()))
    assert [(h.sequence, h.acknowledged_below) for h, _ in open_peer.sent()] == [(5, 4), (6, 4)]


def test_what_waited_for_the_window_is_sent_when_others_end(open_peer: Peer) -> None:
    """Requests that end unanswered make room, or begin a new session, for those that wait."""
    for _ in range(WINDOW):
        open_peer.ask(deadline=1.0)
    waiting, _ = open_peer.ask(deadline=9.0)
    open_peer.sent()
    open_peer.link.expire(1.0)
    open_peer.welcome(now=1.0)
    ((header, _),) = open_peer.sent()
    open_peer.reply(header.sequence, Codes((0,)), now=1.0)
    assert waiting.code is Code.OK


def test_a_repetition_by_the_network_is_ignored(open_peer: Peer) -> None:
    """Rule 2: -3009 for a number still awaited is counted and ignored."""
    ticket, _ = open_peer.ask(ORDER)
    open_peer.refuse(1, Code.DUPLICATE_SEQUENCE)
    assert not ticket.done
    assert open_peer.link.counters["duplicates"] == 1
    open_peer.reply(1, Codes((0,)))
    assert ticket.code is Code.OK


def test_an_unknown_number_ends_the_session(open_peer: Peer) -> None:
    """Rule 3: -3010 ends what mutates with -3010, and asks what reads again in the next session."""
    (order, _), (question, _), (other, _) = (open_peer.ask(message) for message in (ORDER, QUESTION, ORDER))
    open_peer.sent()
    open_peer.refuse(3, Code.UNKNOWN_SEQUENCE)
    assert (order.code, other.code) == (Code.UNKNOWN_SEQUENCE, Code.UNKNOWN_SEQUENCE)
    assert order.reply is other.reply is None
    assert not question.done
    assert not open_peer.link.is_open
    open_peer.welcome()
    ((header, message),) = open_peer.sent()
    assert (message, header.session, header.sequence, header.flags) == (QUESTION, open_peer.session, 1, 0)
    open_peer.reply(1, Codes((0,)))
    assert question.code is Code.OK


def test_what_reads_is_asked_again_in_its_order(open_peer: Peer) -> None:
    """Rule 3: requests of a lost session come before those that waited, in the order of their asking."""
    for number in range(WINDOW + 1):
        open_peer.ask(Lookup((b"%d" % number,)))
    open_peer.sent()
    open_peer.refuse(2, Code.UNKNOWN_SEQUENCE)
    open_peer.welcome(window=100)
    assert [message for _, message in open_peer.sent()] == [
        Lookup((b"%d" % number,)) for number in range(WINDOW + 1)
    ]


def test_an_unknown_number_that_nobody_awaits_ends_nothing(open_peer: Peer) -> None:
    """A late -3010 for what was answered or given up leaves the session open."""
    open_peer.ask()
    open_peer.reply(1, Codes(()))
    open_peer.refuse(1, Code.UNKNOWN_SEQUENCE)
    assert open_peer.link.is_open
    assert open_peer.link.counters["unawaited replies"] == 1


@pytest.mark.parametrize("code", [Code.UNKNOWN_SEQUENCE, Code.NO_SPACE, Code.OK])
def test_answers_of_an_earlier_session_end_nothing(open_peer: Peer, code: Code) -> None:
    """An answer that carries another session's number is dropped and counted."""
    ticket, _ = open_peer.ask(ORDER)
    open_peer.refuse(1, code, session=SESSION - 1)
    assert not ticket.done
    assert open_peer.link.is_open
    assert open_peer.link.counters["unawaited replies"] == 1


def test_answers_of_an_earlier_epoch_are_dropped(open_peer: Peer) -> None:
    """Rule 4: what carries an epoch below the highest seen is dropped and counted."""
    ticket, _ = open_peer.ask(ORDER)
    open_peer.reply(1, Codes((0,)), epoch=EPOCH - 1)
    assert not ticket.done
    assert open_peer.link.counters["old epoch"] == 1
    assert open_peer.link.epoch == EPOCH


def test_garbage_is_dropped_and_counted(open_peer: Peer) -> None:
    """Whatever arrives, the link goes on."""
    ticket, _ = open_peer.ask()
    header, _ = encode(Header(0, epoch=EPOCH), Codes(()))
    for frames in ((), (b"",), (b"\xc1", b""), (header,)):
        open_peer.link.receive(frames, 0.0)
    assert open_peer.link.counters["malformed"] == 4
    open_peer.reply(1, Codes(()))
    assert ticket.done


def test_a_refused_hello_ends_what_waits(peer: Peer) -> None:
    """A service that refuses the hello refuses what would have been asked, with its code."""
    ticket, done = peer.ask()
    ((header, _),) = peer.sent()
    peer.refuse(header.sequence, Code.TOO_LARGE, session=0)
    assert (ticket.code, done) == (Code.TOO_LARGE, [ticket])
    assert peer.link.next_deadline() is None
    peer.ask()
    assert [type(message) for _, message in peer.sent()] == [Hello]


def test_a_hello_refused_with_a_strange_code_ends_what_waits(peer: Peer) -> None:
    """A code that nobody knows is -1, in the answer to a hello as in any other."""
    ticket, _ = peer.ask()
    ((header, _),) = peer.sent()
    peer.refuse(header.sequence, -9999, session=0)
    assert ticket.code is Code.INTERNAL


def test_a_service_that_does_not_serve_yet_is_asked_again(peer: Peer) -> None:
    """A standby's refusal ends nothing: the hello is repeated until the deadline."""
    ticket, _ = peer.ask(deadline=5.0)
    ((header, _),) = peer.sent()
    peer.refuse(header.sequence, Code.NOT_SERVING, session=0)
    assert not ticket.done
    peer.link.expire(1.0)
    peer.welcome(now=1.0)
    assert [message for _, message in peer.sent()] == [QUESTION]


def test_a_refusal_of_another_hello_ends_nothing(peer: Peer) -> None:
    """Only the answer to the hello that was sent last counts."""
    ticket, _ = peer.ask()
    ((header, _),) = peer.sent()
    peer.refuse(header.sequence + 1, Code.TOO_LARGE, session=0)
    assert not ticket.done


def test_a_quiet_session_is_kept(open_peer: Peer) -> None:
    """A client that asks nothing for a minute says that it is there."""
    due = open_peer.link.next_deadline()
    assert due == 60.0
    open_peer.link.expire(59.9)
    assert open_peer.sent() == []
    open_peer.link.expire(60.0)
    assert [type(message) for _, message in open_peer.sent()] == [KeepAlive]


def test_with_nothing_to_do_nothing_is_due(peer: Peer) -> None:
    """A link that nobody uses wakes nobody."""
    assert peer.link.next_deadline() is None
    peer.link.expire(100.0)
    assert peer.sent() == []


def test_a_callback_may_ask_again(open_peer: Peer) -> None:
    """Whoever is told of an outcome may ask the next question at once."""
    answers: list[Ticket] = []

    def ask_again(ticket: Ticket) -> None:
        answers.append(ticket)
        if len(answers) < 3:
            open_peer.link.request(QUESTION, 10.0, 0.0, ask_again)

    open_peer.link.request(QUESTION, 10.0, 0.0, ask_again)
    for number in (1, 2, 3):
        open_peer.reply(number, Codes((number,)))
    assert [ticket.reply for ticket in answers] == [Codes((number,)) for number in (1, 2, 3)]


def test_a_window_of_one_lets_one_through(peer: Peer) -> None:
    """The narrowest window there is lets requests through, one after the other."""
    tickets = [peer.ask()[0] for _ in range(2)]
    for _ in tickets:
        if not peer.link.is_open:
            peer.welcome(window=1)
        for header, message in peer.sent():
            if not isinstance(message, Hello):
                peer.reply(header.sequence, Codes((0,)))
    assert [ticket.code for ticket in tickets if ticket.done] == [Code.OK, Code.OK]


def test_an_ended_link_ends_everything_at_once(open_peer: Peer) -> None:
    """When the peer is gone, what is in flight, what waits and what is asked later ends at once."""
    tickets = [open_peer.ask(ORDER)[0] for _ in range(WINDOW + 1)]
    open_peer.link.end()
    tickets.append(open_peer.ask()[0])
    assert {ticket.code for ticket in tickets} == {Code.META_UNREACHABLE}
    open_peer.sent()
    assert open_peer.link.next_deadline() is None
    open_peer.link.revive(META)
    open_peer.ask()
    assert [type(message) for _, message in open_peer.sent()] == [Hello]


def test_intervals_follow_the_settings() -> None:
    """A link that is told to wait longer before it repeats does so."""
    limits = replace(CLIENT_LIMITS, retry_ms=1000)
    link = Link(META, CLIENT, 0, limits, lambda: 128, lambda *_: None, Code.META_UNREACHABLE)
    link.greet(0.0)
    assert link.next_deadline() == 1.0


def test_a_peer_that_answers_nothing_is_given_up_before_the_deadline(open_peer: Peer) -> None:
    """A request of a long deadline ends when its peer has shown no life for unanswered_ms."""
    ticket, _ = open_peer.ask(deadline=600.0, now=1.0)
    limit = 1.0 + CLIENT_LIMITS.unanswered_ms / 1000
    open_peer.link.expire(limit - 0.1)
    assert not ticket.done
    open_peer.link.expire(limit)
    assert ticket.code == Code.META_UNREACHABLE


def test_a_sign_of_life_keeps_a_long_request_waiting(open_peer: Peer) -> None:
    """A peer at work on a long request answers the question beside it, and the request waits on."""
    ticket, _ = open_peer.ask(deadline=600.0, now=1.0)
    open_peer.sent()
    limit = 1.0 + CLIENT_LIMITS.unanswered_ms / 1000
    open_peer.link.expire(limit - 10)
    probes = [header for header, message in open_peer.sent() if isinstance(message, KeepAlive)]
    open_peer.reply(probes[0].sequence, Codes(()), now=limit - 9)
    open_peer.link.expire(limit + 10)
    assert not ticket.done


def test_a_service_that_forgot_our_epoch_is_told_by_a_hello(open_peer: Peer) -> None:
    """Refused in an earlier epoch than the session's, a link says hello with the epoch that it knows."""
    open_peer.ask()
    ((asked, _),) = open_peer.sent()
    for session in (open_peer.session + 1, open_peer.session):
        refusal = Failure(int(Code.UNKNOWN_SEQUENCE), "unknown session or epoch")
        header = Header(refusal.operation, session, asked.sequence, epoch=EPOCH - 1)
        open_peer.link.receive(encode(header, refusal), 0.1)
        assert open_peer.link.is_open == (session != open_peer.session)
    ((header, hello),) = open_peer.sent()
    assert isinstance(hello, Hello)
    assert header.epoch == EPOCH
    assert hello.left == open_peer.session
