"""Split writes by address: allocate, copy at leisure, finish; and copies from the addresses of replicas.

1. An address that was handed out stands for its bytes only while the book says so: an open write until it is
   finished, a replica for as long as its generation stays the same, which is looked at after each copy.
2. A write that is being copied to cannot be finished meanwhile (-3101), so that nothing is published torn.
3. What was finished is remembered for a while, so that a second finish is known to be one (-3011).
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, cast

from mmc.actors.client import opening
from mmc.address_book import AddressBook
from mmc.arguments import Keys, whole_number
from mmc.errors import Code, InvalidArgument, error_for
from mmc.segments.reader import Hit, has_passed, hit_at, touch
from mmc.zeromq.clock import access_clock, now

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mmc.actors.client.asking import ObjectInfo
    from mmc.actors.client.calls import Operation
    from mmc.actors.client.draft import Draft
    from mmc.actors.client.service import ClientActor
    from mmc.client import Client
    from mmc.connection import Connection
    from mmc.plans import Perform
    from mmc.segments.layout import Segment
    from mmc.segments.mapping import BufferMemory

_MOST_OPEN = 1 << 20
_MOST_REPLICAS = 1 << 16
_MOST_FINISHED = 1 << 16


class OpenWrite:
    """Space for one object, and how many copies to it are in progress."""

    __slots__ = ("address", "copies", "draft", "lease_until")

    def __init__(self, draft: Draft, lease_until: float) -> None:
        """``lease_until`` is when the lease asked for with it ends; 0: none."""
        self.draft = draft
        self.copies = 0
        self.lease_until = lease_until
        replica = draft.replicas[0]
        segment = replica.handle.segment
        self.address = _memory_of(segment).address(replica.at)

    def place_of(self, address: int) -> tuple[Segment, int]:
        """The segment and the byte in it that an address within this write means."""
        replica = self.draft.replicas[0]
        return replica.handle.segment, replica.at + address - self.address


class AllocatePlan:
    """Allocate a batch."""

    def __init__(self, keys: Sequence[str | bytes], sizes: Sequence[int]) -> None:
        """Check keys and sizes; an invalid one gets -3000 for itself alone."""
        self.keys = Keys(keys)
        if len(sizes) != len(self.keys.codes):
            raise InvalidArgument(f"{len(self.keys.codes)} keys and {len(sizes)} sizes")
        self._sizes: list[int] = []
        for position in list(self.keys.positions):
            try:
                self._sizes.append(whole_number(sizes[position], "size", 1))
            except InvalidArgument as error:
                self.keys.drop(len(self._sizes), error.code)
        self._opened: list[Draft | Code] = []

    def exclude(self, keys: Iterable[bytes]) -> None:
        """Keys that this store is writing already: -3006."""
        for key in keys:
            while key in self.keys.valid:
                at = self.keys.valid.index(key)
                self.keys.drop(at, Code.EXISTS)
                del self._sizes[at]

    def try_hints(self, _actor: ClientActor, _clock: int, _perform: Perform) -> bool:
        """Space is always asked for, unless no key is valid."""
        return not self.keys.valid

    def operation(self, actor: ClientActor, deadline: float) -> Operation[None]:
        """Allocate."""
        self._opened = yield from opening.allocate(actor, self.keys.valid, self._sizes, deadline)

    def result(self) -> list[Draft | Code]:
        """An open write or a code per key."""
        opened: list[Draft | Code] = list(self.keys.codes)
        for position, one in zip(self.keys.positions, self._opened, strict=True):
            opened[position] = one
        return opened


class EndPlan:
    """Publish open writes, or abandon them."""

    def __init__(self, drafts: Sequence[Draft], *, publish: bool) -> None:
        """The drafts are in nobody else's hands."""
        self._drafts = drafts
        self._publish = publish
        self._codes = [Code.OK] * len(drafts)

    def try_hints(self, _actor: ClientActor, _clock: int, _perform: Perform) -> bool:
        """There is nothing to do only where there is no draft."""
        return not self._drafts

    def operation(self, actor: ClientActor, deadline: float) -> Operation[None]:
        """End them."""
        if self._publish:
            self._codes = yield from opening.finish(actor, self._drafts, deadline)
        else:
            yield from opening.abandon(actor, self._drafts)

    def result(self) -> list[Code]:
        """One code per draft."""
        return self._codes


class SplitWrites:
    """The open writes of one store, and the addresses that it has handed out."""

    def __init__(self, client: Client) -> None:
        """No write is open."""
        self._client = client
        self._connection: Connection | None = None
        self._lock = threading.Lock()
        self._open: dict[bytes, OpenWrite] = {}
        self._writes: AddressBook[OpenWrite] = AddressBook(_MOST_OPEN)
        self._replicas: AddressBook[Hit] = AddressBook(_MOST_REPLICAS)
        self._finished: dict[bytes, None] = {}

    def _entered(self) -> None:
        """A forked child has none of its parent's writes and addresses.

        Raises:
            CacheError: -3019, the store is closed.
        """
        connection = self._client.connection
        if connection is not self._connection:
            self._connection = connection
            self._open.clear()
            self._writes.clear()
            self._replicas.clear()
            self._finished.clear()

    def allocate(self, keys: Sequence[str | bytes], sizes: Sequence[int], lease_until: float) -> list[int]:
        """Addresses of space for objects of these sizes in bytes, or codes (negative) in their places.

        Raises:
            InvalidArgument: not as many sizes as keys.
        """
        plan = AllocatePlan(keys, sizes)
        with self._lock:
            self._entered()
            plan.exclude(self._open.keys() & set(plan.keys.valid))
        places: list[int] = []
        opened = self._client.carry_out(plan, None)
        with self._lock:
            for one in opened:
                if isinstance(one, Code):
                    places.append(int(one))
                    continue
                write = OpenWrite(one, lease_until)
                self._open[one.key] = write
                self._finished.pop(one.key, None)
                self._writes.add(write.address, one.size, write)
                places.append(write.address)
        return places

    def write(self, address: int, pieces: Sequence[memoryview]) -> None:
        """Copy pieces, one after the other, to an address within an open write.

        Raises:
            InvalidArgument: not all of these bytes are an open write's.
        """
        size = sum(piece.nbytes for piece in pieces)
        with self._lock:
            self._entered()
            write = self._writes.find(address, size)
            if write is None:
                raise InvalidArgument(f"{size} bytes at {address:#x} are no part of an open write")
            write.copies += 1
        try:
            with self._client.connection.reactor.entered():
                segment, at = write.place_of(address)
                for piece in pieces:
                    segment.memory.copy_in(at, piece)
                    at += piece.nbytes
        finally:
            with self._lock:
                write.copies -= 1

    def read(self, address: int, pieces: Sequence[memoryview]) -> None:
        """Copy from an address within a replica or an open write to pieces, one after the other.

        Raises:
            InvalidArgument: no address of these bytes was handed out.
            CacheError: -3007, the replica has passed away, and what the pieces hold is worth nothing.
        """
        size = sum(piece.nbytes for piece in pieces)
        with self._lock:
            self._entered()
            write = self._writes.find(address, size)
            hit = self._replicas.find(address, size)
        if write is not None:
            segment, at = write.place_of(address)
        elif hit is not None and not has_passed(hit):
            segment = hit.segment
            at = hit.at + address - _memory_of(segment).address(hit.at)
        elif hit is not None:
            raise error_for(Code.NOT_FOUND, f"the replica at {address:#x}")
        else:
            raise InvalidArgument(
                f"{size} bytes at {address:#x}: no address of a replica or of an open write"
            )
        for piece in pieces:
            segment.memory.copy_out(at, piece)
            at += piece.nbytes
        if write is None and hit is not None:
            if has_passed(hit):
                raise error_for(Code.NOT_FOUND, f"the replica at {address:#x}")
            touch(segment, hit.word, access_clock())

    def finish(self, keys: Sequence[str | bytes], *, publish: Sequence[bool]) -> list[Code]:
        """Publish open writes, or abandon them.

        Returns:
            Per key 0, -3102 not open here, -3011 finished before, -3101 being copied to; others as of a put.
        """
        names = Keys(keys)
        codes: list[Code] = []
        taken: list[OpenWrite] = []
        wanted: list[bool] = []
        with self._lock:
            self._entered()
            for key, position in zip(names.valid, names.positions, strict=True):
                codes.append(self._state_of(key))
                if codes[-1] == Code.OK:
                    write = self._open.pop(key)
                    self._writes.remove(write.address)
                    taken.append(write)
                    wanted.append(publish[position])
                    self._remember(key)
        ended = self._end(taken, wanted)
        return names.spread([ended.get(key, code) for key, code in zip(names.valid, codes, strict=True)])

    def _end(self, taken: list[OpenWrite], wanted: list[bool]) -> dict[bytes, Code]:
        outcome: dict[bytes, Code] = {}
        for wish in (True, False):
            part = [write for write, publish in zip(taken, wanted, strict=True) if publish == wish]
            codes = self._client.carry_out(EndPlan([write.draft for write in part], publish=wish), None)
            outcome.update((write.draft.key, code) for write, code in zip(part, codes, strict=True))
            if wish:
                outcome.update(self._lease([write for write in part if outcome[write.draft.key] == Code.OK]))
        return outcome

    def _lease(self, published: list[OpenWrite]) -> dict[bytes, Code]:
        """What was allocated with a lease keeps the rest of it; the codes of those that were asked for."""
        codes: dict[bytes, Code] = {}
        ends: dict[float, list[bytes]] = {}
        for write in published:
            if write.lease_until:
                ends.setdefault(write.lease_until, []).append(write.draft.key)
        for until, keys in ends.items():
            left_ms = int((until - now()) * 1000)
            if left_ms > 0:
                codes.update(zip(keys, self._client.lease_batch(keys, left_ms), strict=True))
        return codes

    def _state_of(self, key: bytes) -> Code:
        write = self._open.get(key)
        if write is None:
            return Code.ALREADY_COMPLETED if key in self._finished else Code.WRONG_KEY
        return Code.WRONG_STATE if write.copies else Code.OK

    def _remember(self, key: bytes) -> None:
        self._finished[key] = None
        if len(self._finished) > _MOST_FINISHED:
            del self._finished[next(iter(self._finished))]

    def addresses_of(self, info: ObjectInfo) -> list[int]:
        """The address of each replica; 0 for one that this process has not mapped."""
        addresses = []
        with self._lock:
            self._entered()
            for place in info.places:
                handle = self._client.connection.actor.ranks.get(place.rank)
                is_here = handle is not None and place.record < handle.segment.layout.records
                hit = hit_at(handle.segment, place.record, place.generation) if handle and is_here else None
                if hit is None:
                    addresses.append(0)
                    continue
                address = _memory_of(hit.segment).address(hit.at)
                self._replicas.add(address, hit.size, hit)
                addresses.append(address)
        return addresses

    def close(self) -> None:
        """Abandon every open write; nothing may be written to their addresses any more.

        Where a copy is in progress, the space comes back once it has ended.
        """
        if self._connection is None or self._connection.process != os.getpid():
            return
        with self._lock:
            writes = [write for write in self._open.values() if not write.copies]
            self._open.clear()
            self._writes.clear()
            self._replicas.clear()
        self._client.carry_out(EndPlan([write.draft for write in writes], publish=False), None)


def _memory_of(segment: Segment) -> BufferMemory:
    """In a process every segment is mapped memory."""
    return cast("BufferMemory", segment.memory)
