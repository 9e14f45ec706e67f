"""Reservations: clients coming, holding, and going."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mmc.cache.reservations import Holder, Reservations

ROWS = 3
AHEAD = 1000
AHEAD_TOTAL = 1800
AHEAD_RECORDS = 5


class ReservationsMachine(RuleBasedStateMachine):
    """Clients that hold records until they give them back, or are gone."""

    def __init__(self) -> None:
        super().__init__()
        self.reservations = Reservations(ROWS, AHEAD, AHEAD_TOTAL, AHEAD_RECORDS)
        self.clients = 0
        self.records = 0
        self.held: dict[int, dict[int, int]] = {}

    def holder(self, data: st.DataObject) -> Holder:
        """Any client that has a row."""
        holder = self.reservations.of_client(data.draw(st.sampled_from(sorted(self.held))))
        assert holder is not None
        return holder

    @rule()
    def come(self) -> None:
        """A client gets a row as long as there is one."""
        self.clients += 1
        holder = self.reservations.add(self.clients)
        assert (holder is None) == (len(self.held) == ROWS)
        if holder is not None:
            self.held[holder.client] = {}

    @precondition(lambda self: self.held)
    @rule(data=st.data(), capacity=st.integers(1, 600), grant=st.integers(1, 4))
    def hold(self, data: st.DataObject, capacity: int, grant: int) -> None:
        """A client is granted a record."""
        holder = self.holder(data)
        self.records += 1
        self.reservations.hold(holder, self.records, capacity, grant)
        self.held[holder.client][self.records] = capacity

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """Only what some client holds ends, and only once."""
        record = data.draw(st.integers(0, self.records))
        was_held = any(held.pop(record, None) is not None for held in self.held.values())
        assert self.reservations.end(record) == was_held

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def go(self, data: st.DataObject) -> None:
        """A client that is gone leaves its row when all it held has ended."""
        holder = self.holder(data)
        for record in list(holder.records):
            assert self.reservations.end(record)
        self.reservations.remove(holder)
        del self.held[holder.client]

    @precondition(lambda self: self.held)
    @rule(data=st.data(), capacity=st.integers(0, 1200))
    def ask_ahead(self, data: st.DataObject, capacity: int) -> None:
        """A client may hold ahead what neither its own limit nor those of all forbid."""
        holder = self.holder(data)
        mine = sum(self.held[holder.client].values())
        everybody = sum(sum(held.values()) for held in self.held.values())
        allowed = mine + capacity <= AHEAD and everybody + capacity <= AHEAD_TOTAL
        allowed &= sum(map(len, self.held.values())) < AHEAD_RECORDS
        assert self.reservations.may_hold_ahead(holder, capacity) == allowed

    @invariant()
    def reservations_are_consistent(self) -> None:
        """Rows, clients and records agree in both directions, and the sums are right."""
        self.reservations.check()
        holders = self.reservations.holders()
        assert [holder.client for holder in holders] == list(self.held)
        assert [set(holder.records) for holder in holders] == [set(h) for h in self.held.values()]
        assert sorted(holder.row for holder in holders) == [
            row for row in range(ROWS) if self.reservations.at(row) is not None
        ]


TestReservations = ReservationsMachine.TestCase
TestReservations.__doc__ = "Nobody holds what another holds, and only the holder gives it back."
