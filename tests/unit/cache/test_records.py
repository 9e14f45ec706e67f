"""Records and the bytes they own, by example; tests/stateful/test_record_table.py goes on."""

from itertools import product

import pytest

from mmc.cache.records import MOVES, Owned, RecordState, RecordTable

State = RecordState

PATHS: dict[RecordState, tuple[RecordState, ...]] = {
    State.RESERVED: (),
    State.STORED: (State.STORED,),
    State.RETIRED: (State.RETIRED,),
}
"""How a reserved record comes into each state."""


def in_state(state: RecordState) -> tuple[RecordTable, int]:
    """A table with a record of 100 bytes in a state."""
    table = RecordTable(4096, 4)
    record = table.reserve(100)
    assert record is not None
    for step in PATHS[state]:
        table.move(record, step)
    return table, record


@pytest.mark.parametrize(("start", "end"), list(product(PATHS, State)))
def test_records_move_by_the_table(start: RecordState, end: RecordState) -> None:
    """A record goes where the table of moves lets it; any other move is a fault, with no effect."""
    table, record = in_state(start)
    before = table[record]
    if (start, end) in MOVES:
        table.move(record, end)
        assert table[record].state is end
    else:
        with pytest.raises(AssertionError, match=f"record {record} cannot go"):
            table.move(record, end)
        assert table[record] == before
    table.check()


@pytest.mark.parametrize("end", State)
def test_a_free_record_is_reserved_and_nothing_else(end: RecordState) -> None:
    """A free record leaves that state by being reserved with space, and by no move."""
    table = RecordTable(4096, 4)
    if end is State.RESERVED:
        assert (State.FREE, end) in MOVES
    else:
        with pytest.raises(AssertionError):
            table.move(0, end)


def test_a_freed_record_leaves_nothing_behind() -> None:
    """A record that is freed owns nothing, and its bytes are given out again."""
    table, record = in_state(State.RETIRED)
    assert table.used_bytes == 128
    table.move(record, State.FREE)
    assert table[record] == Owned(State.FREE, 0, 0)
    assert (table.used_bytes, table.free_records, len(table)) == (0, 4, 4)


def test_no_record_is_given_without_space_and_no_space_without_a_record() -> None:
    """When records or bytes run out, nothing is reserved and nothing is lost."""
    few_records = RecordTable(4096, 1)
    assert few_records.reserve(64) == 0
    assert few_records.reserve(64) is None
    assert few_records.used_bytes == 64
    few_bytes = RecordTable(128, 3)
    assert few_bytes.reserve(128) == 0
    assert few_bytes.reserve(1) is None
    assert few_bytes.free_records == 2


def test_records_are_counted_by_state() -> None:
    """Bytes and records are counted in the state that they are in."""
    table, _ = in_state(State.STORED)
    table.reserve(10)
    assert (table.bytes_in[State.STORED], table.bytes_in[State.RESERVED]) == (128, 64)
    assert (table.records_in[State.STORED], table.records_in[State.RESERVED]) == (1, 1)


def test_trimming_frees_what_the_object_does_not_need() -> None:
    """A record keeps what its object takes; the rest is free at once, and the state stays."""
    table = RecordTable(65536, 4)
    record = table.reserve(10000)
    assert record is not None
    table.move(record, State.STORED)
    assert table[record].capacity == 12288
    assert table.trim(record, 5000) == 8192
    assert table.trim(record, 8192) == 8192
    assert table.trim(record, 9000) == 8192
    assert table.trim(record, 100) == 128
    assert table[record].state is State.STORED
    assert table.bytes_in[State.STORED] == table.used_bytes == 128
    table.check()


def test_a_restart_takes_up_what_was_owned() -> None:
    """A table made of another's records gives out none of their bytes, nor their numbers."""
    owned = [(1, Owned(State.STORED, 64, 128)), (3, Owned(State.RETIRED, 4096, 4096))]
    table = RecordTable(8192, 4, owned)
    table.check()
    assert table.used_bytes == 4224
    assert (table.bytes_in[State.STORED], table.bytes_in[State.RETIRED]) == (128, 4096)
    assert sorted([table.reserve(64), table.reserve(64)], key=str) == [0, 2]
    assert table.reserve(64) is None


def test_damage_is_not_taken_up() -> None:
    """Records whose bytes overlap are refused."""
    owned = [(0, Owned(State.STORED, 0, 128)), (1, Owned(State.STORED, 64, 64))]
    with pytest.raises(ValueError, match="overlap"):
        RecordTable(4096, 2, owned)
