"""What is still held when nobody uses anything."""

from __future__ import annotations

from mmc.cache.membership import MemberState
from mmc.wire.replies import StatusReport
from scripts.crashing.figures import Holdings, is_whole, more_than, still_held

_META = {"objects": 0, "unconfirmed": 0, "leased": 0, "sessions": 2, "evictions": 0}
_RANK = {"records": 8, "free_records": 8, "clients": 1, "state": int(MemberState.LIVE), "used_bytes": 0}


def _report(meta: dict[str, int], rank: dict[str, int]) -> StatusReport:
    """A cluster of one rank, with these counters instead of those of a quiet one."""
    return StatusReport(tuple((_META | meta).items()), ((0, tuple((_RANK | rank).items())),))


def test_a_quiet_cluster_holds_nothing() -> None:
    """The session and the row of the client that asks are its own."""
    assert still_held(_report({}, {}), 1, 1) == []


def test_each_thing_that_is_held_is_named() -> None:
    """Space, records, pins, claims, leases, sessions, clients, and a rank that is not there."""
    assert still_held(_report({"leased": 2}, {}), 1, 1) == ["meta service: leased 2"]
    assert still_held(_report({"sessions": 3}, {}), 1, 1) == [
        "meta service: sessions 3 of 1 ranks and 1 clients"
    ]
    assert still_held(_report({}, {"quarantined_bytes": 4096, "free_records": 7}), 1, 1) == [
        "rank 0: quarantined_bytes 4096",
        "rank 0: 7 of 8 records free",
    ]
    assert still_held(_report({}, {"clients": 2}), 1, 1) == ["rank 0: clients 2"]
    suspect = _report({}, {"state": int(MemberState.SUSPECT)})
    assert still_held(suspect, 1, 1) == ["not every rank is live"]
    assert not is_whole(suspect, 1)


def test_more_descriptors_or_threads_than_before_are_told() -> None:
    """Fewer are not, and memory has its own curve."""
    before = {"meta": Holdings(100, 14, 4), "broker": Holdings(100, 27, 6)}
    assert more_than(before, {"meta": Holdings(200, 14, 3), "broker": Holdings(1, 26, 6)}) == []
    assert more_than(before, {"meta": Holdings(100, 15, 4)}) == [
        "meta had 14 descriptors and 4 threads, and now 15 and 4",
        "broker is not there",
    ]
