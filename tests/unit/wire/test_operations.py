"""What the messages declare of themselves."""

import pytest

from mmc.wire.codec import PLANS
from mmc.wire.operations import Message, Operation
from mmc.wire.replies import EVENTS, REPLIES
from mmc.wire.requests import REQUESTS_TO_META, REQUESTS_TO_RANK
from tests.strategies import KINDS

READS = {
    Operation.HELLO,
    Operation.LOOKUP,
    Operation.MEMBERS,
    Operation.STATUS,
    Operation.KEEP_ALIVE,
    Operation.LIST_KEYS,
    Operation.HEARTBEAT,
    Operation.RESYNC,
}
"""The requests that may run any number of times."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_aligned_lists_are_lists_of_the_message(kind: type[Message]) -> None:
    """What a message calls aligned are lists among its fields, each named once."""
    names = PLANS[kind.operation].names
    assert set(kind.aligned) <= set(names)
    assert len(set(kind.aligned)) == len(kind.aligned)
    shapes = dict(zip(names, PLANS[kind.operation].shapes, strict=True))
    assert all("list" in shapes[name].name for name in kind.aligned)


@pytest.mark.parametrize(
    "kind", dict.fromkeys((*REQUESTS_TO_META, *REQUESTS_TO_RANK)), ids=lambda kind: kind.__name__
)
def test_whatever_is_no_read_mutates(kind: type[Message]) -> None:
    """Every request but those that may run twice without harm is kept from running twice."""
    assert kind.mutates == (kind.operation not in READS)


def test_answers_and_events_do_not_mutate() -> None:
    """Only requests are executed."""
    assert not any(kind.mutates for kind in (*REPLIES, *EVENTS))


def test_nothing_is_both_a_request_and_an_answer() -> None:
    """No service takes an answer for a request."""
    requests = {kind.operation for kind in (*REQUESTS_TO_META, *REQUESTS_TO_RANK)}
    assert requests.isdisjoint(kind.operation for kind in (*REPLIES, *EVENTS))
