"""A link and a reception over a network that loses, repeats and reorders (S5, L1, L2)."""

from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.conversation import IDLE_S, Conversation

TIMEOUTS = [0.1, 0.5, 2.0, 10.0]
PAUSES = [0.0, 0.05, 0.2, 1.0, 5.0, IDLE_S + 1]
WIDTHS = [2, 3, 5]
WINDOW_BYTES = [0, 60, 1000]
STEPS = 300
SWARM = 3 * settings().max_examples


class SessionMachine(RuleBasedStateMachine):
    """Every choice is made by hypothesis, which shrinks what fails."""

    def __init__(self) -> None:
        super().__init__()
        self.talk = Conversation(2, 0)

    @initialize(width=st.sampled_from(WIDTHS), window_bytes=st.sampled_from(WINDOW_BYTES))
    def begin(self, width: int, window_bytes: int) -> None:
        """A client and a service, with a window of some width."""
        self.talk = Conversation(width, window_bytes)

    @rule(mutates=st.booleans(), timeout=st.sampled_from(TIMEOUTS), times=st.integers(1, 3))
    def ask(self, *, mutates: bool, timeout: float, times: int) -> None:
        """The client asks, sometimes more than its window holds."""
        for _ in range(times):
            self.talk.ask(mutates=mutates, timeout=timeout)

    @precondition(lambda self: self.talk.up)
    @rule(data=st.data())
    def deliver_question(self, data: st.DataObject) -> None:
        """Any message under way reaches the service."""
        self.talk.deliver_question(data.draw(st.integers(0, len(self.talk.up) - 1)))

    @precondition(lambda self: self.talk.down)
    @rule(data=st.data())
    def deliver_answer(self, data: st.DataObject) -> None:
        """Any message under way reaches the client."""
        self.talk.deliver_answer(data.draw(st.integers(0, len(self.talk.down) - 1)))

    @precondition(lambda self: self.talk.service.waiting)
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        """The service answers something that waits."""
        self.talk.answer(data.draw(st.integers(0, len(self.talk.service.waiting) - 1)))

    @precondition(lambda self: self.talk.up or self.talk.down)
    @rule(data=st.data(), repeated=st.booleans())
    def lose_or_repeat(self, data: st.DataObject, *, repeated: bool) -> None:
        """The network loses a message, or delivers it once more than it was sent."""
        way = data.draw(st.sampled_from([way for way in (self.talk.up, self.talk.down) if way]))
        at = data.draw(st.integers(0, len(way) - 1))
        if repeated:
            way.append(way[at])
        else:
            del way[at]

    @rule()
    def deliver_all(self) -> None:
        """For once everything arrives, and is answered, in order."""
        self.talk.deliver_all()

    @rule(garbage=st.lists(st.binary(max_size=20), max_size=3), to_client=st.booleans())
    def garble(self, garbage: list[bytes], *, to_client: bool) -> None:
        """Something arrives that nobody sent."""
        self.talk.garble(garbage, to_client=to_client)

    @rule(passed=st.sampled_from(PAUSES))
    def pass_time(self, passed: float) -> None:
        """Time goes on, and both do what is due."""
        self.talk.pass_time(passed)

    @rule()
    def wait_until_due(self) -> None:
        """Time goes on until the client has something to do."""
        self.talk.wait_until_due()

    @rule(crashed=st.booleans())
    def begin_epoch(self, *, crashed: bool) -> None:
        """The service is restarted, or begins another epoch."""
        if crashed:
            self.talk.service.crash()
        else:
            self.talk.service.begin_epoch()

    @invariant()
    def everything_holds(self) -> None:
        """S5 and L2, after every step."""
        self.talk.check()

    def teardown(self) -> None:
        """L1: once the network is well again, what is asked is answered."""
        self.talk.heal()


TestSession = SessionMachine.TestCase
TestSession.__doc__ = "Whatever is lost, repeated or reordered, requests run at most once and end in time."


def step(talk: Conversation, chance: Random, weights: list[int]) -> None:
    """One step, chosen by chance; choices that cannot be made now are no step."""
    match chance.choices(range(len(weights)), weights)[0]:
        case 0:
            talk.ask(mutates=chance.random() < 0.7, timeout=chance.choice(TIMEOUTS))
        case 1 if talk.up:
            talk.deliver_question(chance.randrange(len(talk.up)))
        case 2 if talk.down:
            talk.deliver_answer(chance.randrange(len(talk.down)))
        case 3 if talk.service.waiting:
            talk.answer(chance.randrange(len(talk.service.waiting)))
        case 4 if talk.up:
            del talk.up[chance.randrange(len(talk.up))]
        case 5 if talk.down:
            del talk.down[chance.randrange(len(talk.down))]
        case 6 if talk.up:
            talk.up.append(chance.choice(talk.up))
        case 7 if talk.down:
            talk.down.append(chance.choice(talk.down))
        case 8:
            talk.pass_time(chance.choice(PAUSES[:4]))
        case 9:
            talk.wait_until_due()
        case 10:
            talk.deliver_all()
        case 11 if chance.random() < 0.2:
            chance.choice([talk.service.crash, talk.service.begin_epoch])()
        case 12 if chance.random() < 0.1:
            talk.pass_time(chance.choice(PAUSES))


@pytest.mark.parametrize("seed", range(SWARM))
def test_a_conversation_under_its_own_kind_of_bad_luck(seed: int) -> None:
    """S5, L1, L2: a long conversation over a network of its own habits ends as it must."""
    chance = Random(seed)
    talk = Conversation(chance.choice(WIDTHS), chance.choice(WINDOW_BYTES))
    weights = [chance.choice([0, 1, 2, 5]) for _ in range(13)]
    weights[:4] = [3, 3, 3, 3]
    for _ in range(STEPS):
        step(talk, chance, weights)
        talk.check()
    talk.heal()
