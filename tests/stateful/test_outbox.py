"""Commands to one rank: published at once, and again until acknowledged."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mmc.cache.commands import Outboxes
from mmc.cache.names import Entry
from mmc.identifiers import Location, ObjectVersion
from mmc.wire.operations import CommandKind

REPEAT = 0.125
LONGEST = 16 * REPEAT
ENTRIES = [Entry(b"%d" % number, ObjectVersion(1, 1, number, 0).packed(), 64) for number in range(3)]


class OutboxMachine(RuleBasedStateMachine):
    """A rank that acknowledges when it likes, and a meta service that wakes when it is due."""

    def __init__(self) -> None:
        super().__init__()
        self.outboxes = Outboxes(REPEAT)
        self.outbox = self.outboxes.of(1)
        self.now = 0.0
        self.outstanding: dict[int, Entry] = {}
        self.fresh: set[int] = set()
        self.published: dict[int, float] = {}

    @rule(entry=st.sampled_from(ENTRIES))
    def add(self, entry: Entry) -> None:
        """A new command."""
        command = self.outboxes.add(CommandKind.EVICT, Location(1, 2, 3), entry)
        self.outstanding[command.id] = entry
        self.fresh.add(command.id)

    @rule(eighths=st.integers(0, 40))
    def wake(self, eighths: int) -> None:
        """The meta service wakes some time later, late for what was due or too early."""
        self.now += eighths * REPEAT / 8
        self.publish()

    @precondition(lambda self: self.outboxes.next_due() is not None)
    @rule()
    def wake_when_due(self) -> None:
        """The meta service wakes when something is due, and publishes all that is outstanding and not new."""
        due = self.outboxes.next_due()
        assert due is not None
        self.now = max(self.now, due)
        self.publish()
        lately = {number for number, at in self.published.items() if at > self.now - LONGEST / 2}
        assert set(self.outstanding) <= lately

    def publish(self) -> None:
        """What is published is outstanding or fresh, and all that is fresh is published."""
        numbers = [command.id for command in self.outbox.take_due(self.now)]
        assert len(numbers) == len(set(numbers))
        assert self.fresh & set(self.outstanding) <= set(numbers)
        assert set(numbers) <= self.fresh | set(self.outstanding)
        self.fresh.clear()
        self.published.update(dict.fromkeys(numbers, self.now))

    @precondition(lambda self: self.published)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        """The rank acknowledges what was published, once or again."""
        number = data.draw(st.sampled_from(sorted(self.published)))
        command = self.outbox.acknowledge(number)
        entry = self.outstanding.pop(number, None)
        assert (command.entry if command else None) is entry

    @invariant()
    def nothing_outstanding_is_forgotten(self) -> None:
        """While commands are outstanding, they are published again within the longest interval."""
        assert list(self.outbox.outstanding) == list(self.outstanding)
        for entry in ENTRIES:
            assert self.outbox.concerns(entry) == (entry in self.outstanding.values())
        due = self.outboxes.next_due()
        if set(self.outstanding) - self.fresh:
            assert due is not None
            assert due <= self.now + LONGEST


TestOutbox = OutboxMachine.TestCase
TestOutbox.__doc__ = "A command is published at once, and again until it is acknowledged."
