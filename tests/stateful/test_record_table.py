"""Records and their bytes through whole lives (S6)."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mmc.cache.records import MOVES, Owned, RecordState, RecordTable
from mmc.cache.space import LARGE_ALIGNMENT, rounded

NONE = Owned(RecordState.FREE, 0, 0)


class RecordTableMachine(RuleBasedStateMachine):
    """Records reserved, stored, retired and freed in any order that the table of moves allows."""

    def __init__(self) -> None:
        super().__init__()
        self.table = RecordTable(0, 0)
        self.capacity = 0
        self.owned: dict[int, Owned] = {}

    @initialize(capacity=st.sampled_from([4096, 40960, 65600]), records=st.integers(1, 8))
    def begin(self, capacity: int, records: int) -> None:
        """A segment of some size with a few records."""
        self.capacity = capacity
        self.table = RecordTable(capacity, records)

    @rule(size=st.one_of(st.integers(0, 300), st.integers(0, 30000)))
    def reserve(self, size: int) -> None:
        """A reservation gets a record of its own with enough aligned bytes, or nothing changes."""
        record = self.table.reserve(size)
        if record is None:
            needed = rounded(size) + LARGE_ALIGNMENT
            assert len(self.owned) == len(self.table) or self.table.space.largest < needed
            return
        assert record not in self.owned
        owned = self.table[record]
        assert owned.state is RecordState.RESERVED
        assert owned.capacity == rounded(size)
        self.owned[record] = owned

    @precondition(lambda self: self.owned)
    @rule(data=st.data())
    def move(self, data: st.DataObject) -> None:
        """A record changes hands, and keeps its bytes until it is free."""
        record = data.draw(st.sampled_from(sorted(self.owned)))
        before = self.owned[record]
        ends = [end for start, end in MOVES if start is before.state]
        end = data.draw(st.sampled_from(sorted(ends, key=lambda state: state.value)))
        self.table.move(record, end)
        if end is RecordState.FREE:
            del self.owned[record]
        else:
            self.owned[record] = before._replace(state=end)

    @precondition(lambda self: self.owned)
    @rule(data=st.data(), size=st.integers(0, 30000))
    def trim(self, data: st.DataObject, size: int) -> None:
        """A record keeps what an object of this size takes, and never grows."""
        record = data.draw(st.sampled_from(sorted(self.owned)))
        before = self.owned[record]
        capacity = self.table.trim(record, size)
        assert capacity == min(before.capacity, rounded(size))
        self.owned[record] = before._replace(capacity=capacity)

    @rule()
    def restart(self) -> None:
        """A table made of what the segment says is the table that it was."""
        old = self.table
        self.table = RecordTable(self.capacity, len(old), self.owned.items())
        assert self.table.bytes_in == old.bytes_in
        assert self.table.free_records == old.free_records
        assert self.table.used_bytes == old.used_bytes

    @invariant()
    def table_is_consistent(self) -> None:
        """S6: used + reserved + free + quarantined = capacity, and each record is what it was."""
        self.table.check()
        assert sum(self.table.bytes_in.values()) + self.table.space.free_bytes == self.capacity
        assert self.table.used_bytes == sum(owned.capacity for owned in self.owned.values())
        for record in range(len(self.table)):
            assert self.table[record] == self.owned.get(record, NONE)

    def teardown(self) -> None:
        """S6: when every record is free, all bytes are free in one piece."""
        for record, owned in self.owned.items():
            if owned.state is not RecordState.RETIRED:
                self.table.move(record, RecordState.RETIRED)
            self.table.move(record, RecordState.FREE)
        self.table.check()
        assert self.table.free_records == len(self.table)
        assert self.table.space.largest == self.capacity


TestRecordTable = RecordTableMachine.TestCase
TestRecordTable.__doc__ = "Every byte is free, or exactly one record's, through whole lives."
