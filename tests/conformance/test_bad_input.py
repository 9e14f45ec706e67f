"""What the clients answer to arguments that nobody can mean: a code, or for memory that is none a TypeError.

The C interface has its table in ``specification.py``, the store its own in ``test_behaviour_table.py``; what
addresses and layers are for a store that is open is here.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import mmc
from mmc import AsyncClient, Client
from mmc.errors import CacheError
from tests.conformance import specification as spec
from tests.conformance.specification import Memory, Services
from tests.integration.processes import finish, run_python

CONTENT = b"12345678"
TYPE_ERROR = "TypeError"
Outcome = int | str


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    """A meta service and a local service of 16 MB."""
    with Services(1) as services:
        yield services


class Caller:
    """A blocking client and an asynchronous one, asked the same."""

    def __init__(self, url: str) -> None:
        """Connect both; ``k`` is there."""
        self.blocking = Client(url)
        self.blocking.wait_for_ranks(1)
        self._loop = asyncio.new_event_loop()
        self.asynchronous = self._loop.run_until_complete(AsyncClient.connect(url))
        self._loop.run_until_complete(self.asynchronous.wait_for_ranks(1))
        if not self.blocking.exist("k"):
            self.blocking.put("k", CONTENT)

    def outcomes(self, call: Callable[[Any], Any]) -> set[Outcome]:
        """What both answer: a code, or the name of what they raise."""

        async def awaited() -> Any:  # noqa: ANN401 - whatever is returned
            return await call(self.asynchronous)

        return {
            _outcome(lambda: call(self.blocking)),
            _outcome(lambda: self._loop.run_until_complete(awaited())),
        }

    def close(self) -> None:
        """Close both."""
        self.blocking.close()
        self._loop.run_until_complete(self.asynchronous.close())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


def _outcome(call: Callable[[], Any]) -> Outcome:
    try:
        answer = call()
    except CacheError as error:
        return int(error.code) if error.sentence else "no sentence"
    except Exception as error:  # boundary: whatever it is, it is the outcome
        return type(error).__name__ if str(error) else "no sentence"
    return int(answer[0]) if isinstance(answer, list) and isinstance(answer[0], int) else repr(answer)


@pytest.fixture(scope="module")
def caller(services: Services) -> Iterator[Caller]:
    """Both clients, for all tests."""
    caller = Caller(services.url)
    yield caller
    caller.close()


def released() -> memoryview:
    """A buffer that is none any more."""
    view = memoryview(bytearray(CONTENT))
    view.release()
    return view


KEYS = (None, 7, 1.5, bytearray(b"k"), ["k"], "", b"", "k" * 256, b"k" * 256, "\u20ac" * 86, "a\0b", "\ud800")
CALLS: dict[str, Callable[[Any, Any], Any]] = {
    "put": lambda client, key: client.put(key, b"x"),
    "get": lambda client, key: client.get(key),
    "get_into": lambda client, key: client.get_into(key, bytearray(8)),
    "exist": lambda client, key: client.exist(key),
    "query": lambda client, key: client.query(key),
    "remove": lambda client, key: client.remove(key),
    "put_batch": lambda client, key: client.put_batch([key], [b"x"]),
    "get_into_batch": lambda client, key: client.get_into_batch([key], [bytearray(8)]),
    "exist_batch": lambda client, key: client.exist_batch([key]),
    "query_batch": lambda client, key: client.query_batch([key]),
    "remove_batch": lambda client, key: client.remove_batch([key]),
    "lease_batch": lambda client, key: client.lease_batch([key]),
    "unlease_batch": lambda client, key: client.unlease_batch([key]),
}
BUFFERS: tuple[tuple[Any, Outcome, Outcome], ...] = (
    (None, TYPE_ERROR, TYPE_ERROR),
    (7, TYPE_ERROR, TYPE_ERROR),
    ("text", TYPE_ERROR, TYPE_ERROR),
    ({}, TYPE_ERROR, TYPE_ERROR),
    ([1, 2], TYPE_ERROR, TYPE_ERROR),
    ([[b"x"]], TYPE_ERROR, TYPE_ERROR),
    ([], -3000, -3000),
    ([b"", bytearray()], -3000, -3000),
    (b"", -3000, -3000),
    (CONTENT, "None", TYPE_ERROR),
    (memoryview(bytearray(16))[::2], TYPE_ERROR, TYPE_ERROR),
    (np.zeros((4, 4))[:, ::2], TYPE_ERROR, TYPE_ERROR),
    (np.array([object()], dtype=object), TYPE_ERROR, TYPE_ERROR),
    (np.zeros(1, dtype=[("a", "O")]), TYPE_ERROR, TYPE_ERROR),
    (np.zeros(1, dtype=[("O", "i8")]), "None", "None"),
    ((ctypes.py_object * 1)(), TYPE_ERROR, TYPE_ERROR),
    (np.array(["2020-01-01"], dtype="datetime64[s]"), TYPE_ERROR, TYPE_ERROR),
    (released(), TYPE_ERROR, TYPE_ERROR),
    (bytearray(7), "None", -3103),
)
"""A buffer, what a put of it answers, and what a get of 8 bytes into it."""


@pytest.mark.parametrize("key", KEYS, ids=lambda key: ascii(key)[:20])
@pytest.mark.parametrize("call", CALLS)
def test_a_key_that_cannot_be_is_minus_3000(caller: Caller, call: str, key: Any) -> None:  # noqa: ANN401 - any
    """In every call of both clients, and nothing else is touched."""
    assert caller.outcomes(lambda client: CALLS[call](client, key)) == {-3000}
    assert caller.blocking.get("k") == CONTENT


@pytest.mark.parametrize("which", range(len(BUFFERS)))
def test_memory_that_is_none(caller: Caller, which: int) -> None:
    """It is refused before anything is stored or written; what holds addresses of objects is not memory."""
    buffer, put, got = BUFFERS[which]
    caller.blocking.remove_batch(["new"])

    def store(client: Any) -> Any:  # noqa: ANN401 - either client
        outcome = client.put("new", buffer)
        caller.blocking.remove_batch(["new"]) if client is caller.blocking else None
        return outcome

    assert caller.outcomes(store) == {put}
    assert caller.outcomes(lambda client: client.get_into("k", buffer)) == {got}
    if put == TYPE_ERROR:
        assert not caller.blocking.exist("new")


@pytest.mark.parametrize("keys", [None, 7, "k", b"k"])
@pytest.mark.parametrize(
    "call", ["exist_batch", "query_batch", "remove_batch", "lease_batch", "get_batch", "unlease_batch"]
)
def test_keys_that_are_no_list(caller: Caller, call: str, keys: Any) -> None:  # noqa: ANN401 - anything
    """What is no list of keys is -3000, a single key too."""
    assert caller.outcomes(lambda client: getattr(client, call)(keys)) == {-3000}


def test_lists_of_any_length(caller: Caller) -> None:
    """Empty batches answer nothing, immense ones travel in parts, and lists of two lengths are -3000."""
    client = caller.blocking
    client.remove_batch(["new"])
    assert client.put_batch([], []) == client.exist_batch([]) == client.remove_batch([]) == []
    assert set(map(int, client.exist_batch(["k"] * 40_000))) == {0}
    assert set(map(int, client.query_batch(["z"] * 40_000))) == {-3007}  # type: ignore[arg-type] # codes
    for values in ([], [b"x"] * 2, None, 7):
        assert caller.outcomes(lambda either, values=values: either.put_batch(["new"], values)) == {-3000}  # type: ignore[misc]
    assert not client.exist("new")


@pytest.mark.parametrize("timeout", [0, -1, 601, float("nan"), float("inf"), "1", [1], 1 << 70])
def test_a_time_that_cannot_be(caller: Caller, timeout: Any) -> None:  # noqa: ANN401 - anything
    """A timeout that is none is -3000, also where no message would be needed."""
    assert caller.outcomes(lambda client: client.get("k", timeout=timeout)) == {-3000}
    assert caller.outcomes(lambda client: client.exist_batch(["z"], timeout=timeout)) == {-3000}


@pytest.mark.parametrize("number", [None, -1, 9, 1.5, "1", [1], 1 << 70])
def test_replicas_and_leases_that_cannot_be(caller: Caller, number: Any) -> None:  # noqa: ANN401 - anything
    """Numbers that make no sense are -3000, ranks that are not there -3018."""
    assert caller.outcomes(lambda client: client.put("new", b"x", replicas=number)) == {-3000}
    if number != 9:
        assert caller.outcomes(lambda client: client.lease_batch(["k"], number)) == {-3000}
    preferred = caller.outcomes(lambda client: client.put("new", b"x", preferred_ranks=[number]))
    assert preferred == {-3018 if isinstance(number, int) else -3000}
    if number != [1]:
        outcome = caller.outcomes(lambda client: client.put("new", b"x", preferred_ranks=number))
        assert outcome == {-3000}


def test_closed_clients_are_minus_3019(services: Services) -> None:
    """Every call of a closed client, blocking or not."""
    caller = Caller(services.url)
    caller.blocking.close()
    caller._loop.run_until_complete(caller.asynchronous.close())  # noqa: SLF001 - to be asked afterwards
    for call in CALLS.values():
        assert caller.outcomes(lambda client, call=call: call(client, "k")) == {-3019}  # type: ignore[misc]
    caller.close()


_CHILD = """
import asyncio, os, sys, mmc

async def asked(client):
    try:
        return await client.get("k")
    except mmc.CacheError as error:
        return int(error.code)

async def main():
    client = await mmc.AsyncClient.connect(sys.argv[1])
    await client.wait_for_ranks(1)
    assert await client.get("k")
    return client

client = asyncio.run(main())
child = os.fork()
if not child:
    print(asyncio.run(asked(client)), flush=True)
    asyncio.run(client.close())
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(asyncio.run(asked(client)))
asyncio.run(client.close())
"""


def test_an_asynchronous_client_is_its_process_s_and_not_its_loop_s(
    caller: Caller, services: Services
) -> None:
    """A forked child's calls are -3019 and do its parent no harm, who goes on in another loop."""
    assert caller.blocking.get("k") == CONTENT
    said = finish(run_python(_CHILD, services.url)).splitlines()
    assert said == ["-3019", "0", repr(CONTENT)]


def test_an_asynchronous_client_in_several_threads(caller: Caller) -> None:
    """Each with a loop of its own: every call has its answer."""
    answers: list[Any] = []

    def work(number: int) -> None:
        async def ask() -> None:
            key = f"thread {number}"
            await caller.asynchronous.put(key, CONTENT)
            answers.append(await caller.asynchronous.get(key))
            await caller.asynchronous.remove(key)

        asyncio.run(ask())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == [CONTENT] * 4


def test_layers_of_a_store_that_are_none(services: Services) -> None:
    """What is no list of addresses or sizes, or too many of them, fails its key alone."""
    memory = Memory(CONTENT)
    with spec.opened_store(services.url) as store:
        for pointers, sizes in ((None, [8]), ([memory.at], None), (7, 7), ([memory.at] * 8193, [1] * 8193)):
            codes = store.batch_put_from_layers(["bad", "good"], [pointers, [memory.at]], [sizes, [8]])  # type: ignore[list-item] # wrong
            assert codes == [-3000, 0]
            assert store.remove("good") == 0
        for buffer in (np.array([object()], dtype=object), released()):
            with pytest.raises(TypeError):
                store.put("bad", buffer)
        assert store.put_from("bad", memory.at, 1 << 62) == -3013
        assert store.get_into("k", memory.at, 1 << 62) == -3103
        assert store.get_into("k", memory.at, 8) == 0
    assert mmc.last_error().code == -3103
