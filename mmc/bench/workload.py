"""The calls of a row, made ready in chunks, timed, and checked once the clock has stopped.

1. Objects are asked for in random order.  Rows for keys never seen draw each key once, from a share of the
   small objects that no other row touches.
2. Buffers rotate.  Every byte that was read is compared before its buffer is used again.
3. Of every chunk of puts one object is read back; then all are removed, so that every put finds room.
"""

from __future__ import annotations

import random
from itertools import cycle, islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mmc.bench.dataset import Block, Content, Dataset, Part
from mmc.bench.rows import Does, Row
from mmc.bench.stores.contract import Item
from mmc.bench.timing import time_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.bench.stores.contract import Call, Store

_TARGETS = {Part.SMALL: 64, Part.MEDIUM: 32, Part.MIDDLE: 16, Part.LARGE: 4}
_TARGET_BYTES = sum(part.size * count for part, count in _TARGETS.items())
_NEW_PERCENT = 60
_WARM = 256
_ASKED_AT_ONCE = 200
_PUT_BYTES_AT_ONCE = 64 << 20
_PUTS_AT_ONCE = 256
_LOADED_AT_ONCE = 64
_LOADED_BYTES_AT_ONCE = 8 << 20


class WrongBytesError(Exception):
    """A store gave other bytes than were put, or no answer where there must be one."""


class Measured(NamedTuple):
    """A row in one store in one round: nanoseconds of each call, and messages of all of them."""

    nanoseconds: list[int]
    messages: int | None


def never_seen(small: int) -> int:
    """How many of the small objects are kept for rows that read each key once."""
    return small * _NEW_PERCENT // 100


class Workload:
    """The objects as one process uses them in one store."""

    def __init__(self, store: Store, dataset: Dataset, content: Content, seed: int) -> None:
        """Make buffers, touch all of them, and shuffle."""
        self._store = store
        self._dataset = dataset
        self._content = content.in_memory_of(store.memory) if store.brings_memory else content
        self._chance = random.Random(seed)  # noqa: S311 - it is seeded so that a run can be repeated
        memory = store.memory(_TARGET_BYTES)
        memory.fill(1)
        store.adopt(memory)
        self._targets: dict[Part, list[Block]] = {}
        at = 0
        for part, count in _TARGETS.items():
            ends = range(at + part.size, at + count * part.size + 1, part.size)
            self._targets[part] = [memory[end - part.size : end] for end in ends]
            at += count * part.size
        self._turns = {part: cycle(self._shuffled(range(dataset.count(part)))) for part in Part}
        small = dataset.small
        self._unseen = iter(self._shuffled(range(never_seen(small))))
        seen = range(never_seen(small), small)
        self._seen = seen
        self._turns[Part.SMALL] = cycle(self._shuffled(seen[:_WARM]))
        self._put = 0

    def _shuffled(self, numbers: range) -> list[int]:
        return self._chance.sample(numbers, len(numbers))

    def load(self) -> None:
        """Put every object.

        Raises:
            WrongBytesError: the store did not take one.
        """
        for part in Part:
            together = max(1, min(_LOADED_AT_ONCE, _LOADED_BYTES_AT_ONCE // part.size))
            numbers = iter(range(self._dataset.count(part)))
            while batch := list(islice(numbers, together)):
                items = [self._source(part, number, self._dataset.key(part, number)) for number in batch]
                call = self._store.put(items)
                assert call is not None
                if not self._store.succeeded(call(), len(items)):
                    raise WrongBytesError(f"objects of {part.size} bytes could not be stored")

    def _source(self, part: Part, number: int, key: str) -> Item:
        return Item(key, part, number, self._content.of(part, number))

    def warm_up(self) -> None:
        """Have the objects of warm rows read once."""
        self._read(Row("warm", "", Does.GET), len(self._seen[:_WARM]))

    def can(self, row: Row) -> bool:
        """Whether the store has such an operation."""
        if row.does in (Does.EXIST, Does.VIEW):
            return self._asking(row, [self._dataset.key(row.part, 0)]) is not None
        item = Item(self._dataset.key(row.part, 0), row.part, 0, self._targets[row.part][0])
        return self._operation(row, [item] * row.count) is not None

    def measure(self, row: Row, calls: int) -> Measured:
        """Time so many calls.

        Raises:
            WrongBytesError: the store answered wrongly.
        """
        before = self._store.messages()
        if row.does in (Does.EXIST, Does.VIEW):
            took = self._ask(row, calls)
        elif row.does in (Does.PUT, Does.PUT_PIECES):
            took = self._write(row, calls)
        else:
            took = self._read(row, calls)
        after = self._store.messages()
        return Measured(took, None if before is None or after is None else after - before)

    def _operation(self, row: Row, items: Sequence[Item]) -> Call | None:
        store = self._store
        match row.does:
            case Does.GET_PIECES:
                return store.get_pieces(items)
            case Does.PUT:
                return store.put(items)
            case Does.PUT_PIECES:
                return store.put_pieces(items)
            case _:
                return store.get(items)

    def _check_travelled(self, row: Row, before: int | None, calls: int) -> None:
        after = self._store.travelled()
        if before is not None and after is not None and after - before != calls * row.bytes_per_call:
            raise WrongBytesError(f"{row.title}: {after - before} bytes travelled in {calls} calls")

    def _timed(self, row: Row, batches: Sequence[Sequence[Item]]) -> tuple[list[int], list[object]]:
        calls = [self._operation(row, batch) for batch in batches]
        before = self._store.travelled()
        took, results = time_calls([call for call in calls if call is not None])
        self._check_travelled(row, before, len(calls))
        for result in results:
            if not self._store.succeeded(result, row.count):
                raise WrongBytesError(f"{row.title}: the store answered {result!r}")
        return took, results

    # Reads

    def _read(self, row: Row, calls: int) -> list[int]:
        took: list[int] = []
        targets = self._targets[row.part]
        numbers = self._unseen if row.does is Does.GET_NEW else self._turns[row.part]
        while len(took) < calls:
            count = min(calls - len(took), len(targets) // row.count)
            drawn = list(islice(numbers, count * row.count))
            if len(drawn) < count * row.count:
                raise WrongBytesError(f"{row.title}: every key was read before")
            items = [
                Item(self._dataset.key(row.part, number), row.part, number, target)
                for number, target in zip(drawn, targets, strict=False)
            ]
            batches = [items[at : at + row.count] for at in range(0, len(items), row.count)]
            times, results = self._timed(row, batches)
            took += times
            for batch, result in zip(batches, results, strict=True):
                self._compare(row, batch, result)
        return took

    def _compare(self, row: Row, items: Sequence[Item], result: object) -> None:
        for item, content in zip(items, self._store.contents(result, items), strict=True):
            wanted = self._content.of(item.part, item.number)
            found = None if content is None else np.frombuffer(content, np.uint8)
            if found is None or not np.array_equal(found, wanted):
                raise WrongBytesError(f"{row.title}: {item.key} has other bytes than were put")
            if not self._store.gives_bytes:
                item.block[:: max(1, item.part.size - 1)] ^= 1

    # Puts

    def _write(self, row: Row, calls: int) -> list[int]:
        took: list[int] = []
        while len(took) < calls:
            most = max(1, min(_PUTS_AT_ONCE, _PUT_BYTES_AT_ONCE // row.bytes_per_call))
            items = [self._fresh(row.part) for _ in range(min(calls - len(took), most) * row.count)]
            batches = [items[at : at + row.count] for at in range(0, len(items), row.count)]
            times, _ = self._timed(row, batches)
            took += times
            self._read_back(row, self._chance.choice(items))
            self._store.remove([item.key for item in items])
        return took

    def _fresh(self, part: Part) -> Item:
        self._put += 1
        return self._source(part, self._put, self._dataset.key(part, self._put, "put"))

    def _read_back(self, row: Row, item: Item) -> None:
        copy = item._replace(block=self._targets[item.part][0])
        call = self._store.get([copy]) if self._store.keeps else None
        if call is not None:
            self._compare(row, [copy], call())

    # Questions

    def _ask(self, row: Row, calls: int) -> list[int]:
        took: list[int] = []
        while len(took) < calls:
            asked = [self._question(row) for _ in range(min(calls - len(took), _ASKED_AT_ONCE))]
            made = [self._asking(row, [key for key, _ in keys]) for keys in asked]
            times, results = time_calls([call for call in made if call is not None])
            took += times
            if row.does is Does.EXIST and self._store.keeps:
                for keys, result in zip(asked, results, strict=True):
                    names = [key for key, _ in keys]
                    if self._store.found(result, names) != [there for _, there in keys]:
                        raise WrongBytesError(f"{row.title}: the store was wrong about a key")
        return took

    def _asking(self, row: Row, keys: list[str]) -> Call | None:
        return self._store.view(keys[0]) if row.does is Does.VIEW else self._store.exist(keys)

    def _question(self, row: Row) -> list[tuple[str, bool]]:
        """Keys in random order, and whether each is there."""
        if row.part is not Part.SMALL:
            return [(self._dataset.key(row.part, next(self._turns[row.part])), True)]
        hits = self._chance.choices(self._seen, k=row.count - row.missing)
        asked = [(self._dataset.key(row.part, number), True) for number in hits]
        for _ in range(row.missing):
            self._put += 1
            asked.append((self._dataset.key(row.part, self._put, "none"), False))
        self._chance.shuffle(asked)
        return asked
