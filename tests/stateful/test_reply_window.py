"""The reply window against a model that remembers everything (S5)."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mmc.wire.sequence import Frames, ReplyWindow, Verdict

IN_FLIGHT = "in flight"
EXECUTABLE_AGAIN = "executable again"
FORGOTTEN = "forgotten"


class Model:
    """Every number that was ever executed, and what became of it."""

    def __init__(self, width: int, byte_limit: int) -> None:
        self.width = width
        self.byte_limit = byte_limit
        self.floor = 1
        self.fate: dict[int, str | Frames] = {}

    def stored(self) -> dict[int, Frames]:
        """The replies that must still be at hand."""
        return {
            number: fate
            for number, fate in self.fate.items()
            if isinstance(fate, tuple) and number >= self.floor
        }

    def judge(self, number: int, *, retry: bool, acknowledged_below: int) -> Verdict:
        """What DESIGN section 4 says of an arriving number."""
        highest = max(self.fate, default=0)
        if acknowledged_below > number or number > highest + self.width:
            return Verdict.UNKNOWN
        self.floor = max(self.floor, acknowledged_below)
        if number < self.floor or number >= self.floor + self.width:
            return Verdict.UNKNOWN
        fate = self.fate.get(number)
        if fate is None:
            return Verdict.EXECUTE
        if not retry:
            return Verdict.DUPLICATE
        if isinstance(fate, tuple):
            return Verdict.REPLAY
        return {
            IN_FLIGHT: Verdict.JOIN,
            EXECUTABLE_AGAIN: Verdict.EXECUTE,
            FORGOTTEN: Verdict.UNKNOWN,
        }[fate]

    def shed(self) -> None:
        """Forget the replies of the lowest numbers until the rest is within the limit."""
        stored = self.stored()
        while sum(len(frame) for reply in stored.values() for frame in reply) > self.byte_limit:
            lowest = min(stored)
            del stored[lowest]
            self.fate[lowest] = FORGOTTEN


class ReplyWindowMachine(RuleBasedStateMachine):
    """One window, fed with anything that a network can make of a sender's numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(1, 0)
        self.window = ReplyWindow(1, 0)

    @initialize(width=st.integers(1, 6), byte_limit=st.integers(0, 40))
    def begin(self, width: int, byte_limit: int) -> None:
        """Any width and byte limit."""
        self.model = Model(width, byte_limit)
        self.window = ReplyWindow(width, byte_limit)

    @rule(
        ahead=st.integers(-4, 9),
        retry=st.booleans(),
        behind=st.integers(-1, 8),
    )
    def arrive(self, ahead: int, behind: int, *, retry: bool) -> None:
        """A number near the highest arrives, acknowledging some below it."""
        number = max(0, max(self.model.fate, default=0) + ahead)
        acknowledged_below = max(0, number - behind)
        self.admit(number, retry, acknowledged_below)

    @precondition(lambda self: self.model.fate)
    @rule(data=st.data(), retry=st.booleans())
    def arrive_again(self, data: st.DataObject, *, retry: bool) -> None:
        """A number that was seen before arrives again, as it was sent or as a retry."""
        number = data.draw(st.sampled_from(sorted(self.model.fate)))
        self.admit(number, retry, min(number, self.model.floor))

    def admit(self, number: int, retry: bool, acknowledged_below: int) -> None:
        """Both judge, and agree; what is replayed is what was stored."""
        expected = self.model.judge(number, retry=retry, acknowledged_below=acknowledged_below)
        verdict = self.window.admit(number, retry=retry, acknowledged_below=acknowledged_below)
        assert verdict is expected
        if verdict is Verdict.EXECUTE:
            assert self.model.fate.get(number) in (None, EXECUTABLE_AGAIN), "S5: executed twice"
            self.model.fate[number] = IN_FLIGHT
        if verdict is Verdict.REPLAY:
            assert self.window.stored(number) == self.model.fate[number]

    @precondition(lambda self: IN_FLIGHT in self.model.fate.values())
    @rule(data=st.data(), sizes=st.lists(st.integers(0, 15), max_size=3), mutates=st.booleans())
    def finish(self, data: st.DataObject, sizes: list[int], *, mutates: bool) -> None:
        """A number in flight is answered; the reply to what mutates is stored."""
        flying = [number for number, fate in self.model.fate.items() if fate == IN_FLIGHT]
        number = data.draw(st.sampled_from(flying))
        reply = tuple(bytes([number % 251]) * size for size in sizes)
        self.window.finish(number, reply if mutates else None)
        self.model.fate[number] = reply if mutates else EXECUTABLE_AGAIN
        self.model.shed()

    @rule(number=st.integers(0, 30))
    def finish_what_is_not_in_flight(self, number: int) -> None:
        """A second or stray completion changes nothing."""
        if self.model.fate.get(number) != IN_FLIGHT:
            self.window.finish(number, (b"stray",))

    @invariant()
    def window_is_bounded(self) -> None:
        """The window keeps its own invariants."""
        self.window.check()


TestReplyWindow = ReplyWindowMachine.TestCase
TestReplyWindow.__doc__ = "Every verdict of the window is the model's, byte for byte."
