"""Commands that are repeated until acknowledged."""

from itertools import pairwise

import pytest

from mmc.cache.commands import Command, Outboxes
from mmc.cache.names import Entry
from mmc.identifiers import Location, ObjectVersion
from mmc.wire.operations import CommandKind

REPEAT = 0.125
ENTRY = Entry(b"key", ObjectVersion(1, 2, 3, 4).packed(), 64)
OTHER = Entry(b"other", ObjectVersion(1, 2, 3, 5).packed(), 64)


@pytest.fixture
def outboxes() -> Outboxes:
    """The outboxes of a cluster, with nothing in them."""
    return Outboxes(REPEAT)


def evict(outboxes: Outboxes, rank: int, entry: Entry = ENTRY) -> Command:
    """A command to evict an entry's replica from a rank."""
    return outboxes.add(CommandKind.EVICT, Location(rank, 7, 8), entry)


def ids(commands: list[Command]) -> list[int]:
    """The numbers of commands, in their order."""
    return [command.id for command in commands]


def test_a_command_keeps_what_it_is_about(outboxes: Outboxes) -> None:
    """A command names its kind, place, entry, argument and topic."""
    command = outboxes.add(CommandKind.LEASE, Location(1, 2, 3), ENTRY, 500, is_lease=True)
    assert (command.kind, command.place, command.entry) == (CommandKind.LEASE, (1, 2, 3), ENTRY)
    assert (command.argument, command.is_lease) == (500, True)
    assert not evict(outboxes, 1).is_lease
    assert evict(outboxes, 1).argument == 0


def test_numbers_of_commands_grow_over_all_ranks(outboxes: Outboxes) -> None:
    """No two commands of one meta service have one number, and later ones have higher ones."""
    numbers = [evict(outboxes, rank).id for rank in (1, 2, 1, 3)]
    assert numbers == sorted(set(numbers))


def test_fresh_commands_are_published_at_once(outboxes: Outboxes) -> None:
    """What was added is published by the next call, and not by the one after it."""
    outbox = outboxes.of(1)
    added = [evict(outboxes, 1).id, evict(outboxes, 1).id]
    assert ids(outbox.take_due(0.0)) == added
    assert outbox.take_due(0.0) == []


def test_intervals_double_up_to_sixteen_times_the_first(outboxes: Outboxes) -> None:
    """As long as nothing is acknowledged, commands are repeated at intervals that grow."""
    outbox = outboxes.of(1)
    added = evict(outboxes, 1).id
    times = [0.0]
    assert ids(outbox.take_due(0.0)) == [added]
    for _ in range(7):
        due = outboxes.next_due()
        assert due is not None
        assert outbox.take_due(due - REPEAT / 100) == []
        assert ids(outbox.take_due(due)) == [added]
        times.append(due)
    assert [(b - a) / REPEAT for a, b in pairwise(times)] == [1, 2, 4, 8, 16, 16, 16]


def test_new_commands_do_not_put_off_the_repetition_of_old_ones(outboxes: Outboxes) -> None:
    """However often new commands come, what is outstanding is repeated when it was due."""
    outbox = outboxes.of(1)
    old = evict(outboxes, 1)
    outbox.take_due(0.0)
    for sixteenth in range(1, 16):
        new = evict(outboxes, 1)
        assert ids(outbox.take_due(REPEAT * sixteenth / 16)) == [new.id]
        assert outboxes.next_due() == REPEAT
    assert old.id in ids(outbox.take_due(REPEAT))


def test_an_acknowledgement_shortens_the_interval_again(outboxes: Outboxes) -> None:
    """A rank that acknowledges something is alive, and the rest is repeated as at first."""
    outbox = outboxes.of(1)
    first, second = evict(outboxes, 1), evict(outboxes, 1)
    outbox.take_due(0.0)
    for _ in range(4):
        outbox.take_due(outboxes.next_due() or 0.0)
    assert outbox.acknowledge(first.id) is first
    due = outboxes.next_due()
    assert due is not None
    assert ids(outbox.take_due(due)) == [second.id]
    assert outboxes.next_due() == due + 2 * REPEAT


def test_what_is_acknowledged_is_not_repeated(outboxes: Outboxes) -> None:
    """An acknowledged command is known once, and never published again."""
    outbox = outboxes.of(1)
    command, kept = evict(outboxes, 1), evict(outboxes, 1)
    outbox.take_due(0.0)
    assert outbox.acknowledge(command.id) is command
    assert outbox.acknowledge(command.id) is None
    assert ids(outbox.take_due(100.0)) == [kept.id]


def test_with_nothing_outstanding_nothing_is_due(outboxes: Outboxes) -> None:
    """When the last command is acknowledged, nothing is repeated any more."""
    command = evict(outboxes, 1)
    outboxes.of(1).take_due(0.0)
    outboxes.of(1).acknowledge(command.id)
    assert outboxes.next_due() is None
    assert outboxes.of(1).take_due(100.0) == []
    assert outboxes.next_due() is None


def test_what_is_acknowledged_before_it_was_published_is_repeated_to_nobody(outboxes: Outboxes) -> None:
    """A rank that learned of a command by asking may acknowledge it first; then nothing stays due."""
    command = evict(outboxes, 1)
    outboxes.of(1).acknowledge(command.id)
    outboxes.of(1).take_due(0.0)
    outboxes.of(1).take_due(REPEAT)
    assert outboxes.next_due() is None


def test_a_key_is_concerned_until_its_last_command_is_acknowledged(outboxes: Outboxes) -> None:
    """A key is concerned from its first command to the acknowledgement of its last."""
    outbox = outboxes.of(1)
    assert not outbox.concerns(ENTRY)
    commands = [evict(outboxes, 1), evict(outboxes, 1)]
    for command in commands:
        assert outbox.concerns(ENTRY)
        outbox.acknowledge(command.id)
        outbox.acknowledge(command.id)
    assert not outbox.concerns(ENTRY)
    assert not outbox.concerns(OTHER)


def test_commands_to_one_rank_are_of_no_concern_to_another(outboxes: Outboxes) -> None:
    """Each rank has an outbox of its own."""
    evict(outboxes, 1)
    assert outboxes.of(2).take_due(0.0) == []
    assert not outboxes.of(2).concerns(ENTRY)
    assert outboxes.ranks() == [1, 2]


def test_ranks_that_commands_wait_for_are_told_once(outboxes: Outboxes) -> None:
    """A rank is named when it has new commands, in the order of their coming, and not when it has gone."""
    for rank in (2, 1, 3, 2):
        evict(outboxes, rank)
    outboxes.drop_rank(3)
    assert outboxes.take_fresh() == [2, 1]
    assert outboxes.take_fresh() == []


def test_the_next_due_of_all_ranks_is_the_earliest(outboxes: Outboxes) -> None:
    """The meta service wakes for the rank that is due first."""
    for rank, now in ((1, 5.0), (2, 3.0), (3, 4.0)):
        evict(outboxes, rank)
        outboxes.of(rank).take_due(now)
    assert outboxes.next_due() == 3.0 + REPEAT


def test_the_topics_of_a_rank_are_numbered_apart(outboxes: Outboxes) -> None:
    """Events of the two topics count on their own, from 1."""
    outbox = outboxes.of(1)
    numbers = [outbox.next_number(is_lease=lease) for lease in (False, True, False, False)]
    assert numbers == [1, 1, 2, 3]


def test_a_dropped_rank_leaves_what_it_had_not_acknowledged(outboxes: Outboxes) -> None:
    """What a lost rank never acknowledged is handed back for settling, and is not due any more."""
    first, second = evict(outboxes, 1), evict(outboxes, 1)
    outboxes.of(1).take_due(0.0)
    outboxes.of(1).acknowledge(first.id)
    assert outboxes.drop_rank(1) == [second]
    assert outboxes.drop_rank(1) == []
    assert outboxes.next_due() is None
    assert outboxes.ranks() == []


def test_what_was_published_a_moment_ago_is_not_repeated_yet(outboxes: Outboxes) -> None:
    """When old commands are repeated, their rank may still be at work on those that it has just got."""
    outbox = outboxes.of(1)
    old = evict(outboxes, 1)
    outbox.take_due(0.0)
    new = evict(outboxes, 1)
    outbox.take_due(REPEAT * 3 / 4)
    assert ids(outbox.take_due(REPEAT)) == [old.id]
    due = outboxes.next_due()
    assert due is not None
    assert ids(outbox.take_due(due)) == [old.id, new.id]
