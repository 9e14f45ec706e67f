"""The steps of a put, and a writer that halts at any of them: another process, killed or stopped there.

The writer prints its client id and puts one key.  If it is stopped and continued it prints the code of its
put, and closes its client at the next line that it is told.  A child, if it is to have one, is forked after
it connected and lives on: told anything, it puts, reads and goes.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from mmc.actors.client import calls, putting, reserving
from mmc.actors.client.ranks import RankHandle
from mmc.client import Client
from mmc.segments import index, records

SIZE = 65536
_BLOCK = 4096
TIMEOUT_S = 30.0
CHILD_KEY = "by the child"

Halt = Callable[[], None]


def object_of(key: str) -> bytes:
    """The object of a key, in which every block tells the key and the place."""
    blocks = (f"{key}/{at};".encode() * (_BLOCK // 4) for at in range(SIZE // _BLOCK))
    return b"".join(block[:_BLOCK] for block in blocks)


def _before(owner: object, name: str, halt: Halt) -> None:
    real = getattr(owner, name)

    def run(*args: Any, **more: Any) -> Any:  # noqa: ANN401 - whatever the step takes and returns
        halt()
        return real(*args, **more)

    setattr(owner, name, run)


def _after(owner: object, name: str, halt: Halt) -> None:
    real = getattr(owner, name)

    def run(*args: Any, **more: Any) -> Any:  # noqa: ANN401 - whatever the step takes and returns
        result = real(*args, **more)
        halt()
        return result

    setattr(owner, name, run)


def _half_copied(halt: Halt) -> None:
    real = calls.Copy.perform

    def perform(copy: calls.Copy) -> None:
        whole = copy.buffers[0]
        copy.memory.copy_in(copy.at, whole[: whole.nbytes // 2])
        halt()
        real(copy)

    setattr(calls.Copy, "perform", perform)  # noqa: B010 - a class with slots, to be halted in


_INSTALL: dict[str, Callable[[Halt], None]] = {
    "reserved": partial(_after, reserving, "_take_granted"),
    "odd": partial(_after, records, "begin_write"),
    "described": partial(_after, records, "describe"),
    "claim sent": partial(_before, calls.Copy, "perform"),
    "half copied": _half_copied,
    "copied": partial(_after, calls.Copy, "perform"),
    "claimed": partial(_before, putting, "publish"),
    "published": partial(_after, records, "publish"),
    "indexed": partial(_after, index, "insert"),
    "before confirming": partial(_before, RankHandle, "confirm"),
    "confirming": partial(_before, RankHandle, "flush_confirmations"),
}
STEPS = tuple(_INSTALL)
PUBLISHED_STEPS = STEPS[STEPS.index("published") :]
UNPUBLISHED_STEPS = STEPS[: STEPS.index("published")]


def _halt_once(number: int) -> Halt:
    """Raises the signal the first time it is called, in the thread that calls it: not a step later."""
    halted = threading.Event()

    def halt() -> None:
        if not halted.is_set():
            halted.set()
            signal.pthread_kill(threading.get_ident(), number)

    return halt


def _fork_child(client: Client) -> None:
    """A child with all that its parent has, told later what to do."""
    child = os.fork()
    if child:
        print(child, flush=True)
        return
    sys.stdin.readline()
    client.put(CHILD_KEY, object_of(CHILD_KEY), timeout=TIMEOUT_S)
    print("right" if client.get(CHILD_KEY) == object_of(CHILD_KEY) else "wrong", flush=True)
    client.close()
    os._exit(0)


def main(meta_url: str, step: str, number: str, key: str, child: str = "") -> None:
    """Put a key and halt at a step, by the signal of this number."""
    client = Client(meta_url)
    client.wait_for_ranks(1)
    print(client.connection.client, flush=True)
    if child:
        _fork_child(client)
    _INSTALL[step](_halt_once(int(number)))
    codes = client.put_batch([key], [object_of(key)], timeout=TIMEOUT_S)
    print(int(codes[0]), flush=True)
    sys.stdin.readline()
    client.close()


WRITER = "import sys; from tests.integration.put_steps import main; main(*sys.argv[1:])"
