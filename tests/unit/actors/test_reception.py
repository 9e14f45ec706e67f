"""The front desk: what reaches a service, and what everything else is answered."""

from dataclasses import replace
from itertools import count

import pytest

from mmc.actors.contract import Effect, Note, Send
from mmc.actors.reception import Reception, Request
from mmc.errors import Code
from mmc.wire.codec import RETRY, Header, decode_body, decode_header, encode, encode_header
from mmc.wire.operations import WIRE_VERSION, Message, Operation, PeerKind
from mmc.wire.replies import Codes, Failure, Welcome
from mmc.wire.requests import REQUESTS_TO_META, Hello, Lookup, Pin, Remove
from mmc.wire.sequence import Frames
from tests.conversation import CLIENT, IDLE_S, wire_limits

EPOCH = 7
SESSIONS_MAX = 3
SOURCE = b"client"
HELLO = Hello(CLIENT, PeerKind.RANK, WIRE_VERSION, WIRE_VERSION, 0)
QUESTION = Lookup((b"key",))
ORDER = Remove((b"key",))


@pytest.fixture
def reception() -> Reception:
    """The front desk of a meta service in its seventh epoch."""
    numbers = count(1000)
    limits = wire_limits(4, sessions_max=SESSIONS_MAX)
    return Reception(limits, REQUESTS_TO_META, EPOCH, lambda: next(numbers))


def greet(reception: Reception, now: float = 0.0) -> int:
    """Open a session; its number."""
    request, _ = reception.receive(SOURCE, encode(Header(0, sequence=99), HELLO), now)
    assert request is not None
    session = reception.open(HELLO, now)
    reception.reply(request, Welcome(session.number, 1, 4, 0, "", 0, ()))
    return session.number


def send(
    reception: Reception,
    message: Message,
    session: int,
    sequence: int = 1,
    *,
    retry: bool = False,
    epoch: int = EPOCH,
    now: float = 0.0,
    source: bytes = SOURCE,
    deadline_ms: int = 500,
) -> tuple[Request | None, list[Effect]]:
    """Send a message in a session."""
    flags = RETRY if retry else 0
    header = Header(0, session, sequence, flags, epoch, deadline_ms, acknowledged_below=1)
    return reception.receive(source, encode(header, message), now)


def accepted(outcome: tuple[Request | None, list[Effect]]) -> Request:
    """The request that is to be executed."""
    request, effects = outcome
    assert request is not None
    assert effects == []
    return request


def sent(effects: list[Effect]) -> tuple[bytes, Header, Message]:
    """The one message that is sent, and where to."""
    (send,) = [effect for effect in effects if isinstance(effect, Send)]
    assert isinstance(send.to, bytes)
    header = decode_header(send.frames)
    return send.to, header, decode_body(header, send.frames)


def refusal(outcome: tuple[Request | None, list[Effect]]) -> Code:
    """The code with which something was refused."""
    request, effects = outcome
    assert request is None
    to, header, message = sent(effects)
    assert isinstance(message, Failure)
    assert (to, header.epoch) == (SOURCE, EPOCH)
    return Code(message.code)


def test_a_request_of_a_session_is_to_be_executed(reception: Reception) -> None:
    """A well-formed request of a known session and epoch reaches the service, with its deadline."""
    session = greet(reception)
    request = accepted(send(reception, QUESTION, session, now=10.0))
    assert (request.message, request.sequence, request.source) == (QUESTION, 1, SOURCE)
    assert request.session is not None
    assert (request.session.number, request.session.client) == (session, CLIENT)
    assert request.session.kind == PeerKind.RANK
    assert (reception.counters["hellos"], reception.counters["requests"]) == (1, 1)
    assert request.deadline == 10.5


def test_nobody_waits_for_ever(reception: Reception) -> None:
    """A deadline beyond ten minutes is ten minutes."""
    session = greet(reception)
    request = accepted(send(reception, QUESTION, session, deadline_ms=(1 << 64) - 1))
    assert request.deadline == 600.0


def test_a_reply_carries_the_numbers_of_its_request(reception: Reception) -> None:
    """A reply goes where its request came from, in its session, under its number, in this epoch."""
    session = greet(reception)
    request = accepted(send(reception, QUESTION, session, 3))
    to, header, message = sent(reception.reply(request, Codes((5,))))
    assert (to, message) == (SOURCE, Codes((5,)))
    assert (header.session, header.sequence, header.epoch) == (session, 3, EPOCH)


def test_a_request_is_answered_once(reception: Reception) -> None:
    """A second completion of one request says nothing."""
    request = accepted(send(reception, ORDER, greet(reception)))
    assert reception.reply(request, Codes((0,)))
    assert reception.reply(request, Codes((1,))) == []
    assert reception.fail(request, Code.INTERNAL, "again") == []


def test_a_hello_is_answered_under_its_own_number(reception: Reception) -> None:
    """Whoever says hello knows the answer by the number that it chose."""
    request, _ = reception.receive(SOURCE, encode(Header(0, sequence=12345), HELLO), 0.0)
    assert request is not None
    _, header, _ = sent(reception.reply(request, Welcome(1, 1, 4, 0, "", 0, ())))
    assert (header.session, header.sequence, header.epoch) == (0, 12345, EPOCH)


def test_a_repeated_hello_opens_another_session(reception: Reception) -> None:
    """No two hellos have one session, and no session has the number 0."""
    assert len({0, greet(reception), greet(reception)}) == 3
    assert len(reception) == 2


def test_numbers_of_sessions_are_drawn_until_they_are_new() -> None:
    """A drawn number that is 0, or taken, is drawn again."""
    draws = iter([0, 5, 5, 0, 6])
    reception = Reception(wire_limits(4), REQUESTS_TO_META, EPOCH, lambda: next(draws))
    assert [reception.open(HELLO, 0.0).number for _ in range(2)] == [5, 6]


def test_too_many_sessions_are_refused(reception: Reception) -> None:
    """Beyond the limit a hello is refused with -3013, until a session ends."""
    sessions = [greet(reception) for _ in range(SESSIONS_MAX)]
    assert refusal(reception.receive(SOURCE, encode(Header(0), HELLO), 0.0)) is Code.TOO_LARGE
    request = accepted(send(reception, QUESTION, sessions[0]))
    assert request.session is not None
    reception.close(request.session)
    greet(reception)


@pytest.mark.parametrize(("oldest", "newest"), [(WIRE_VERSION + 1, WIRE_VERSION + 9), (0, 0)])
def test_a_peer_of_another_time_is_told_what_is_spoken(
    reception: Reception, oldest: int, newest: int
) -> None:
    """A hello without a wire version in common is refused, and the sentence names those here."""
    outcome = reception.receive(SOURCE, encode(Header(0), Hello(CLIENT, 0, oldest, newest, 0)), 0.0)
    assert refusal(outcome) is Code.INVALID_ARGUMENT
    _, _, message = sent(outcome[1])
    assert isinstance(message, Failure)
    assert "no common wire version: 1 to 1" in message.sentence


def test_a_repetition_by_the_network_is_refused(reception: Reception) -> None:
    """S5: a number that comes again without the retry flag is answered -3009 and not executed."""
    session = greet(reception)
    request = accepted(send(reception, ORDER, session))
    assert refusal(send(reception, ORDER, session)) is Code.DUPLICATE_SEQUENCE
    reception.reply(request, Codes((0,)))
    assert refusal(send(reception, ORDER, session)) is Code.DUPLICATE_SEQUENCE
    assert reception.counters["duplicate sequence"] == 2


def test_a_retry_gets_the_stored_reply_byte_for_byte(reception: Reception) -> None:
    """S5: a retry of what has run gets the very same frames, where it came from this time."""
    session = greet(reception)
    request = accepted(send(reception, ORDER, session))
    (first,) = reception.reply(request, Codes((7,)))
    assert isinstance(first, Send)
    again = send(reception, ORDER, session, retry=True, source=b"elsewhere")
    assert again == (None, [Send(b"elsewhere", first.frames)])
    assert reception.counters["replays"] == 1


def test_a_retry_of_what_runs_is_answered_with_it(reception: Reception) -> None:
    """S5: a retry of a request in flight is not executed; one reply serves both, at the new place."""
    session = greet(reception)
    request = accepted(send(reception, ORDER, session))
    assert send(reception, ORDER, session, retry=True, source=b"elsewhere") == (None, [])
    to, _, _ = sent(reception.reply(request, Codes((7,))))
    assert to == b"elsewhere"
    assert reception.counters["joins"] == 1


def test_a_read_is_executed_again(reception: Reception) -> None:
    """The reply to a read is not stored: a retry asks the service again."""
    session = greet(reception)
    first = accepted(send(reception, QUESTION, session))
    reception.reply(first, Codes((1,)))
    second = accepted(send(reception, QUESTION, session, retry=True))
    _, _, message = sent(reception.reply(second, Codes((2,))))
    assert message == Codes((2,))


@pytest.mark.parametrize("epoch", [EPOCH - 1, EPOCH + 1])
def test_a_request_of_another_epoch_is_unknown(reception: Reception, epoch: int) -> None:
    """A request of another epoch is answered -3010 with this one, and not executed."""
    session = greet(reception)
    assert refusal(send(reception, ORDER, session, epoch=epoch)) is Code.UNKNOWN_SEQUENCE
    accepted(send(reception, ORDER, session))


def test_a_request_of_no_session_is_unknown(reception: Reception) -> None:
    """A request of a session that was never opened, or has ended, is answered -3010."""
    assert refusal(send(reception, ORDER, 1)) is Code.UNKNOWN_SEQUENCE
    session = greet(reception)
    request = accepted(send(reception, ORDER, session))
    assert request.session is not None
    reception.close(request.session)
    assert refusal(send(reception, ORDER, session, 2)) is Code.UNKNOWN_SEQUENCE


def test_a_number_out_of_the_window_is_unknown(reception: Reception) -> None:
    """A number that the window does not hold is answered -3010 under that number."""
    session = greet(reception)
    outcome = send(reception, ORDER, session, 100)
    assert refusal(outcome) is Code.UNKNOWN_SEQUENCE
    _, header, _ = sent(outcome[1])
    assert (header.session, header.sequence) == (session, 100)


def test_what_ran_in_an_earlier_epoch_is_not_answered(reception: Reception) -> None:
    """A new epoch ends every session: what waited for an answer gets none, and may not run again."""
    session = greet(reception)
    request = accepted(send(reception, ORDER, session))
    reception.restart(EPOCH + 1)
    assert reception.reply(request, Codes((0,))) == []
    assert len(reception) == 0
    answered, effects = send(reception, ORDER, session, retry=True, epoch=EPOCH + 1)
    assert answered is None
    _, header, message = sent(effects)
    assert isinstance(message, Failure)
    assert (message.code, header.epoch) == (Code.UNKNOWN_SEQUENCE, EPOCH + 1)


@pytest.mark.parametrize("message", [Pin((1,), (1,), (2,)), Codes((0,))], ids=["rank's", "answer"])
def test_what_is_asked_of_others_is_unknown_here(reception: Reception, message: Message) -> None:
    """A request to another kind of service, or an answer, is answered -3015."""
    session = greet(reception)
    assert refusal(send(reception, message, session)) is Code.UNKNOWN_OPERATION


@pytest.mark.parametrize(
    "frames",
    [
        (),
        (b"",),
        (b"\xc1", b"\xc1"),
        (bytes(1000),),
        (encode_header(Header(Operation.LOOKUP, version=9)), b"\x90"),
    ],
)
def test_garbage_is_answered_counted_and_noted(reception: Reception, frames: Frames) -> None:
    """What is no message gets a coded reply, a counter and a note, and ends nothing."""
    session = greet(reception)
    outcome = reception.receive(SOURCE, frames, 0.0)
    assert refusal(outcome) is Code.INVALID_ARGUMENT
    assert any(isinstance(effect, Note) for effect in outcome[1])
    assert reception.counters["malformed"] == 1
    accepted(send(reception, QUESTION, session))


def test_a_malformed_request_uses_up_no_number(reception: Reception) -> None:
    """A request whose body was damaged on its way can still run when it comes whole."""
    session = greet(reception)
    header = Header(Operation.REMOVE, session, 1, epoch=EPOCH, acknowledged_below=1)
    outcome = reception.receive(SOURCE, (encode_header(header), b"\xc1"), 0.0)
    assert refusal(outcome) is Code.INVALID_ARGUMENT
    accepted(send(reception, ORDER, session))


def test_a_failure_is_a_reply(reception: Reception) -> None:
    """A request that the service refuses is answered with code and sentence, and stays refused."""
    session = greet(reception)
    request = accepted(send(reception, ORDER, session))
    (first,) = reception.fail(request, Code.NO_SPACE, "why")
    assert isinstance(first, Send)
    assert sent([first])[2] == Failure(int(Code.NO_SPACE), "why")
    assert send(reception, ORDER, session, retry=True) == (None, [first])
    assert reception.counters["failed no_space"] == 1


def test_silent_sessions_end(reception: Reception) -> None:
    """A session that says nothing for too long ends, and one that goes on talking does not."""
    talking, silent = greet(reception), greet(reception)
    accepted(send(reception, QUESTION, talking, now=IDLE_S / 2))
    reception.expire(IDLE_S - 0.1)
    assert len(reception) == 2
    reception.expire(IDLE_S)
    assert len(reception) == 1
    assert refusal(send(reception, QUESTION, silent, now=IDLE_S)) is Code.UNKNOWN_SEQUENCE
    accepted(send(reception, QUESTION, talking, 2, now=IDLE_S))


def test_the_window_is_told_to_clients(reception: Reception) -> None:
    """Clients keep as many requests in flight as the window holds, and no more."""
    assert reception.window_requests == 4


def test_replies_of_all_sessions_together_are_bounded() -> None:
    """Those of the sessions heard least lately are forgotten first: a retry is told that nobody knows."""
    numbers = count(1000)
    limits = replace(wire_limits(4, sessions_max=SESSIONS_MAX), replies_max_bytes=300)
    reception = Reception(limits, REQUESTS_TO_META, EPOCH, lambda: next(numbers))
    first, second = greet(reception), greet(reception)
    for session, sequence in ((first, 1), (first, 2), (first, 3), (second, 1)):
        request = accepted(send(reception, ORDER, session, sequence))
        reception.reply(request, Codes(tuple([1 << 60] * 7)))
        reception.check()
    assert reception.counters["replies forgotten"] == 1
    assert refusal(send(reception, ORDER, first, 1, retry=True)) == Code.UNKNOWN_SEQUENCE
    replayed, effects = send(reception, ORDER, second, 1, retry=True)
    assert replayed is None
    assert isinstance(sent(effects)[2], Codes)
