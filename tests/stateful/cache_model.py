"""Two clients against a dictionary: what one client puts, both find, until it is removed or evicted.

The same machine runs on the embedded system and on real processes.  Eviction is the one thing that a
dictionary does not do: the pool is small, so an object that is not leased may be missing, and then it is
missing for everybody; what is found has the right bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from mmc.errors import Code

if TYPE_CHECKING:
    from mmc.client import Client

_KEYS = [f"key-{number}" for number in range(12)]
_SIZES = (1, 63, 4096, 70000, 1 << 20, 1 << 21)
_LEASE_MS = 60000
keys = st.sampled_from(_KEYS)
who = st.integers(0, 1)


class CacheModel(RuleBasedStateMachine):
    """Put, get, exist, query, view, remove and lease, by two clients."""

    clients: tuple[Client, Client]

    def __init__(self) -> None:
        """Nothing is stored."""
        super().__init__()
        self.stored: dict[str, bytes] = {}
        self.leased: set[str] = set()
        self.counter = 0

    @initialize()
    def begin_empty(self) -> None:
        """What an earlier run stored is gone."""
        client = self.clients[0]
        client.unlease_batch(_KEYS)
        self.clients[1].unlease_batch(_KEYS)
        codes = client.remove_batch(_KEYS)
        assert set(codes) <= {Code.OK, Code.NOT_FOUND}, codes

    def _content(self, key: str, size: int) -> bytes:
        self.counter += 1
        stem = f"{key}:{self.counter}:".encode()
        return (stem * (size // len(stem) + 1))[:size]

    def _missing(self, key: str) -> None:
        """An object may be missing only if it could be evicted, and then it is for everybody."""
        assert key not in self.leased, f"{key} is leased and gone"
        self.stored.pop(key, None)

    @rule(client=who, batch=st.lists(keys, min_size=1, max_size=6), size=st.sampled_from(_SIZES),
          replicas=st.integers(1, 2))  # fmt: skip
    def put(self, client: int, batch: list[str], size: int, replicas: int) -> None:
        """What is stored stays; what is not is stored now."""
        contents = [self._content(key, size) for key in batch]
        codes = self.clients[client].put_batch(batch, contents, replicas=replicas)
        outcomes: dict[str, Code] = {}
        for key, content, code in zip(batch, contents, codes, strict=True):
            if key in outcomes:
                assert outcomes[key] == code, "a key's first outcome counts for all"
                continue
            outcomes[key] = code
            if code == Code.OK:
                if key in self.stored:
                    self._missing(key)
                self.stored[key] = content
            elif code == Code.NO_SPACE:
                assert self.leased, "only leases keep space from being evicted"
            else:
                assert code == Code.EXISTS, code
                assert key in self.stored

    @rule(client=who, batch=st.lists(keys, min_size=1, max_size=6))
    def get(self, client: int, batch: list[str]) -> None:
        """Right bytes, or nothing."""
        for key, content in zip(batch, self.clients[client].get_batch(batch), strict=True):
            if content is None:
                self._missing(key)
            else:
                assert content == self.stored[key]

    @rule(client=who, key=keys)
    def get_into(self, client: int, key: str) -> None:
        """Into a buffer of the right size, and of a wrong one: -3103 and nothing written."""
        size = len(self.stored.get(key, b"x"))
        target, wrong = bytearray(size), bytearray(size + 1)
        codes = self.clients[client].get_into_batch([key, key], [target, wrong])
        if Code.NOT_FOUND in codes:
            self._missing(key)
        else:
            assert codes == [Code.OK, Code.WRONG_SIZE]
            assert target == self.stored[key]
            assert not any(wrong)

    @rule(client=who, key=keys)
    def view(self, client: int, key: str) -> None:
        """The bytes in place."""
        if self.clients[client].exist(key) and key in self.stored:
            with self.clients[client].view(key) as memory:
                assert memory == self.stored[key]

    @rule(client=who, batch=st.lists(keys, min_size=1, max_size=6))
    def exist_and_query(self, client: int, batch: list[str]) -> None:
        """Exist and query agree with what is stored."""
        found = self.clients[client].exist_batch(batch)
        infos = self.clients[client].query_batch(batch)
        for key, code, info in zip(batch, found, infos, strict=True):
            if code == Code.NOT_FOUND:
                self._missing(key)
            elif not isinstance(info, Code):
                assert info.size == len(self.stored[key])
                assert info.leased == (key in self.leased)

    @rule(client=who, key=keys)
    def remove(self, client: int, key: str) -> None:
        """Removed for everybody, unless it is leased."""
        code = self.clients[client].remove_batch([key])[0]
        if key in self.leased:
            assert code == Code.LEASED
            return
        assert code in (Code.OK, Code.NOT_FOUND), code
        if code == Code.NOT_FOUND:
            self._missing(key)
        self.stored.pop(key, None)
        assert not self.clients[1 - client].exist(key)

    @rule(key=keys)
    def lease(self, key: str) -> None:
        """A leased object is neither evicted nor removed."""
        code = self.clients[0].lease_batch([key], _LEASE_MS)[0]
        if code == Code.OK:
            assert key in self.stored
            self.leased.add(key)
        else:
            assert code in (Code.NOT_FOUND, Code.WRONG_STATE), code

    @rule(key=keys)
    def unlease(self, key: str) -> None:
        """The lease ends early."""
        code = self.clients[0].unlease_batch([key])[0]
        if key in self.leased:
            assert code == Code.OK, code
        else:  # it may be being evicted
            assert code in (Code.OK, Code.NOT_FOUND, Code.WRONG_STATE), code
        self.leased.discard(key)

    @invariant()
    def leased_objects_are_there(self) -> None:
        """S4, for both clients."""
        for key in sorted(self.leased):
            assert self.clients[1].get(key) == self.stored[key]

    def teardown(self) -> None:
        """No lease outlives the run."""
        self.clients[0].unlease_batch(_KEYS)
