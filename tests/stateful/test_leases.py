"""Explicit leases against a plain table."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mmc.cache.leases import Leases

keys = st.sampled_from([b"a", b"b", b"c"])
sessions = st.integers(1, 3)


class LeasesMachine(RuleBasedStateMachine):
    """Leases given, extended, ended and run out while time goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.leases = Leases()
        self.now = 0.0
        self.ends: dict[tuple[bytes, int], float] = {}

    @rule(key=keys, session=sessions, length=st.integers(0, 20))
    def add(self, key: bytes, session: int, length: int) -> None:
        """A session leases a key, or extends its lease."""
        until = self.now + length
        self.leases.add(key, session, until)
        self.ends[key, session] = max(until, self.ends.get((key, session), until))

    @rule(key=keys, session=sessions)
    def remove(self, key: bytes, session: int) -> None:
        """A session ends its lease, if it has one."""
        assert self.leases.remove(key, session) == ((key, session) in self.ends)
        self.ends.pop((key, session), None)

    @rule(key=keys)
    def forget(self, key: bytes) -> None:
        """The key is gone."""
        self.leases.forget(key)
        self.ends = {lease: until for lease, until in self.ends.items() if lease[0] != key}

    @rule(passed=st.integers(0, 15))
    def expire(self, passed: int) -> None:
        """Time goes on, and what has ended is dropped."""
        self.now += passed
        self.leases.expire(self.now)
        self.ends = {lease: until for lease, until in self.ends.items() if until > self.now}

    @invariant()
    def every_key_is_leased_until_its_last_end(self) -> None:
        """S4: a lease counts until its end, and not after it was dropped."""
        self.leases.check()
        for key in (b"a", b"b", b"c"):
            ends = [until for lease, until in self.ends.items() if lease[0] == key]
            assert self.leases.until(key) == max(ends, default=0.0)
        assert len(self.leases) == len({key for key, _ in self.ends})


TestLeases = LeasesMachine.TestCase
TestLeases.__doc__ = "A key is leased until the last of its sessions' ends, and no longer."
