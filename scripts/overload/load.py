"""One process that puts, or one that reads: ``python -m scripts.overload.load`` with its settings as JSON.

A first line on standard output says that the cluster answered.  A writer takes orders, a JSON list a line
on standard input: how many objects to put at once, and the sizes of all (none: remove everything).  It
answers each with one line, a :class:`Took`.  A reader reads until its input ends, and then says what it saw.
"""

from __future__ import annotations

import contextlib
import json
import select
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from time import perf_counter

from mmc import Client, Code

READY = b"ready\n"
_REMOVED_AT_ONCE = 256
_TIMEOUT_S = 10.0
_VIEWS = 8
_LEASES = 8
_HELD_BYTES = 65536
_LEASE_MS = 300000
_PROBED = 32
_OLDEST = 97
_PAUSE_S = 0.002


@dataclass(slots=True)
class Took:
    """What became of an order: seconds of each call, and how many puts failed with which code."""

    seconds: list[float] = field(default_factory=list)
    failed: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """What a process is started with; ``largest_bytes`` is the size of its buffer."""

    meta_url: str
    number: int
    largest_bytes: int
    reads: bool = False


class Writer:
    """Puts objects of given sizes, each under a new key."""

    def __init__(self, client: Client, settings: Settings) -> None:
        """Nothing is stored yet."""
        self._client = client
        self._number = settings.number
        self._buffer = bytearray(bytes(range(256)) * (settings.largest_bytes // 256))
        self._put = 1
        self._kept: list[str] = []

    def clear(self) -> None:
        """Remove what is left of everything put."""
        kept, self._kept = self._kept, []
        for start in range(0, len(kept), _REMOVED_AT_ONCE):
            self._client.remove_batch(kept[start : start + _REMOVED_AT_ONCE])

    def put(self, together: int, sizes: list[int]) -> Took:
        """Put objects of these sizes, so many in one call."""
        took = Took()
        failed: Counter[str] = Counter()
        memory = memoryview(self._buffer)
        for start in range(0, len(sizes), together):
            values = [memory[:size] for size in sizes[start : start + together]]
            keys = [key_of(self._number, self._put + at) for at in range(len(values))]
            self._put += len(values)
            begun = perf_counter()
            codes = self._client.put_batch(keys, values, timeout=_TIMEOUT_S)
            took.seconds.append(perf_counter() - begun)
            self._kept += [key for key, code in zip(keys, codes, strict=True) if code == Code.OK]
            failed.update(code.name for code in codes if code != Code.OK)
        took.failed = dict(failed)
        return took


class Reader:
    """Holds views and leases, and asks for keys that are cold or were never there."""

    def __init__(self, client: Client, settings: Settings) -> None:
        """The objects held are put at once."""
        self._client = client
        self._writers = settings.number
        self._views = contextlib.ExitStack()
        self._held: dict[str, memoryview] = {}
        self._content = bytes(range(256)) * (_HELD_BYTES // 256)
        self.wrong = self.probes = 0
        names = [f"held/{number}" for number in range(_VIEWS + _LEASES)]
        client.put_batch(names, [self._content] * len(names))
        client.lease_batch(names[_VIEWS:], _LEASE_MS)
        for name in names[:_VIEWS]:
            self._held[name] = self._views.enter_context(client.view(name))
        self._leased = names[_VIEWS:]

    def probe(self) -> None:
        """Look at what is held, and ask for others."""
        self.probes += 1
        round_ = self.probes
        self._client.exist_batch([key_of(round_ % self._writers, round_ + at) for at in range(_PROBED)])
        self._client.get_batch([key_of(round_ % self._writers, round_ % _OLDEST)], timeout=_TIMEOUT_S)
        if round_ % _PROBED == 0:
            self.wrong += sum(memory != self._content for memory in self._held.values())
            self.wrong += sum(data != self._content for data in self._client.get_batch(self._leased))

    def close(self) -> None:
        """Let go of the views."""
        self._views.close()


def key_of(writer: int, number: int) -> str:
    """The key of a writer's object."""
    return f"put/{writer}/{number}"


def _write(client: Client, settings: Settings) -> None:
    writer = Writer(client, settings)
    _say(READY)
    for line in sys.stdin.buffer:
        together, sizes = json.loads(line)
        if not sizes:
            writer.clear()
        _say(json.dumps(asdict(writer.put(together, sizes))).encode() + b"\n")


def _read(client: Client, settings: Settings) -> None:
    reader = Reader(client, settings)
    _say(READY)
    while not select.select([sys.stdin], [], [], _PAUSE_S)[0]:
        reader.probe()
    _say(json.dumps({"probes": reader.probes, "wrong": reader.wrong}).encode() + b"\n")
    reader.close()


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def main() -> None:
    """Serve standard input until it ends."""
    settings = Settings(**json.loads(sys.argv[1]))
    with Client(settings.meta_url) as client:
        (_read if settings.reads else _write)(client, settings)


if __name__ == "__main__":
    main()
