"""Reservations: which client holds which reserved records, and how much it may hold ahead.

Only the holder gives a reservation back, or its death does; nothing here takes one away from a client
that is not known dead.  Holding ahead is limited per client and for all clients together; what a
put waits for is limited by the segment alone.
"""

from __future__ import annotations

_FORFEITS_REMEMBERED = 4096


class Holder:
    """One client's row, and the records that it has reserved by grant."""

    __slots__ = ("bytes", "client", "forfeited", "records", "row")

    def __init__(self, row: int, client: int) -> None:
        """A new holder has nothing."""
        self.row = row
        self.client = client
        self.bytes = 0
        self.records: dict[int, tuple[int, int]] = {}
        self.forfeited: dict[int, None] = {}

    def forfeit(self, grant: int) -> list[int]:
        """What this grant gave is to come back, and what it still gives is void."""
        self.forfeited[grant] = None
        if len(self.forfeited) > _FORFEITS_REMEMBERED:
            del self.forfeited[next(iter(self.forfeited))]
        return [record for record, (_, of) in self.records.items() if of == grant]


class Reservations:
    """The holders of a rank, by row, and the bytes that each has reserved."""

    def __init__(self, rows: int, ahead_bytes: int, ahead_total: int, ahead_records: int) -> None:
        """What may be reserved beyond what is needed.

        ``ahead_bytes`` a client, and ``ahead_total`` bytes and ``ahead_records`` records in all.
        """
        self._rows: list[Holder | None] = [None] * rows
        self._by_client: dict[int, Holder] = {}
        self._by_record: dict[int, Holder] = {}
        self._ahead_bytes = ahead_bytes
        self._ahead_total = ahead_total
        self._ahead_records = ahead_records
        self._total = 0

    def holders(self) -> list[Holder]:
        """Every holder, in the order of their coming."""
        return list(self._by_client.values())

    def of_client(self, client: int) -> Holder | None:
        """The holder with this client id."""
        return self._by_client.get(client)

    def at(self, row: int) -> Holder | None:
        """The holder of this row."""
        return self._rows[row]

    def add(self, client: int, row: int | None = None) -> Holder | None:
        """Give a client a row, this one or any; None when all are taken."""
        if row is None:
            row = next((r for r, holder in enumerate(self._rows) if holder is None), None)
            if row is None:
                return None
        assert self._rows[row] is None
        holder = self._rows[row] = self._by_client[client] = Holder(row, client)
        return holder

    def remove(self, holder: Holder) -> None:
        """Free a row whose client is gone and holds nothing."""
        assert not holder.records
        self._rows[holder.row] = None
        del self._by_client[holder.client]

    def hold(self, holder: Holder, record: int, capacity: int, grant: int) -> None:
        """The record is this client's to write."""
        holder.records[record] = (capacity, grant)
        self._by_record[record] = holder
        holder.bytes += capacity
        self._total += capacity

    def end(self, record: int) -> bool:
        """The record is its holder's no more; False when it had none."""
        holder = self._by_record.pop(record, None)
        if holder is None:
            return False
        capacity, _ = holder.records.pop(record)
        holder.bytes -= capacity
        self._total -= capacity
        return True

    def may_hold_ahead(self, holder: Holder, capacity: int) -> bool:
        """Whether a client may reserve this much more than it needs now."""
        return (
            holder.bytes + capacity <= self._ahead_bytes
            and self._total + capacity <= self._ahead_total
            and len(self._by_record) < self._ahead_records
        )

    def check(self) -> None:
        """Invariants: both directions agree, no record has two holders, the sums are right."""
        records = [record for holder in self.holders() for record in holder.records]
        assert len(records) == len(set(records)) == len(self._by_record)
        for holder in self.holders():
            assert self._rows[holder.row] is holder
            assert holder.bytes == sum(capacity for capacity, _ in holder.records.values())
        assert self._total == sum(holder.bytes for holder in self.holders())
