"""What each call of a user does, the same for blocking and asynchronous callers.

A plan checks what it was handed, tries what needs no message, names the operation for the rest, and makes
the call's result of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

from mmc.actors.client import asking, reading, sending
from mmc.actors.client.asking import ObjectInfo
from mmc.actors.client.calls import Operation, Work
from mmc.actors.client.reading import Want
from mmc.actors.client.service import ClientActor
from mmc.arguments import Keys, byte_view, check_replicas, match_values, whole_number
from mmc.errors import Code
from mmc.identifiers import encode_key
from mmc.segments.reader import fetch_whole

if TYPE_CHECKING:
    from mmc.arguments import BufferLike

_SEVERAL = (list, tuple)
_THERE = (Code.OK, Code.WRONG_SIZE)
T_co = TypeVar("T_co", covariant=True)
Perform = Callable[[Sequence[Work]], None]
Asking = Callable[[ClientActor, Sequence[bytes], float], Operation[list[Code]]]


class Plan(Protocol[T_co]):
    """One call."""

    def try_hints(self, actor: ClientActor, clock: int, perform: Perform) -> bool:
        """Do what needs no message; True when that was all.  Under no lock.

        ``perform`` does the copies that it is given.
        """
        ...

    def operation(self, actor: ClientActor, deadline: float) -> Operation[None]:
        """The rest, by the deadline."""
        ...

    def result(self) -> T_co:
        """What the call returns."""
        ...


class PutPlan:
    """Put a batch."""

    def __init__(
        self,
        keys: Sequence[str | bytes],
        values: Sequence[BufferLike | Sequence[BufferLike]],
        replicas: int,
        preferred: Sequence[int],
    ) -> None:
        """Check keys, values and how they are to be replicated."""
        check_replicas(replicas, preferred)
        self._keys = Keys(keys)
        self._pieces = match_values(self._keys, values, writable=False)
        self._replicas = replicas
        self._preferred = list(preferred)

    def try_hints(self, _actor: ClientActor, _clock: int, _perform: Perform) -> bool:
        """A put always asks, unless no key is valid."""
        return not self._keys.valid

    def operation(self, actor: ClientActor, deadline: float) -> Operation[None]:
        """Put what is valid."""
        codes = yield from sending.put(
            actor, self._keys.valid, self._pieces, self._replicas, self._preferred, deadline
        )
        self._keys.spread(codes)

    def result(self) -> list[Code]:
        """One code per key."""
        return self._keys.codes


class ReadPlan:
    """Read a batch, into buffers or as new bytes."""

    def __init__(
        self,
        keys: Sequence[str | bytes],
        targets: Sequence[BufferLike | Sequence[BufferLike]] | None = None,
    ) -> None:
        """Check keys and targets."""
        self._keys = Keys(keys)
        if targets is None:
            self._wants = [Want(key, None) for key in self._keys.valid]
        else:
            pieces = match_values(self._keys, targets, writable=True)
            self._wants = [Want(k, t) for k, t in zip(self._keys.valid, pieces, strict=True)]
        self._missing: list[Want] = []

    def try_hints(self, actor: ClientActor, clock: int, perform: Perform) -> bool:
        """Read what hints lead to."""
        reader = actor.reader
        perform([want for want in self._wants if want.try_hints(reader, clock)])
        self._missing = [want for want in self._wants if want.code is None]
        actor.gets += len(self._wants)
        actor.hits += len(self._wants) - len(self._missing)
        return not self._missing

    def operation(self, actor: ClientActor, deadline: float) -> Operation[None]:
        """Read the rest by asking."""
        yield from reading.read(actor, self._missing, deadline)
        actor.hits += sum(want.code in _THERE for want in self._missing)

    def result(self) -> list[Code]:
        """One code per key."""
        return self._keys.spread([want.code or Code.OK for want in self._wants])

    def contents(self) -> list[bytes | None]:
        """The bytes per key, or None."""
        contents: list[bytes | None] = [None] * len(self._keys.codes)
        for position, want in zip(self._keys.positions, self._wants, strict=True):
            contents[position] = want.content
        return contents


class ExistPlan:
    """Ask whether keys are there."""

    def __init__(self, keys: Sequence[str | bytes]) -> None:
        """Check the keys."""
        self._keys = Keys(keys)
        self._codes = [Code.OK] * len(self._keys.valid)
        self._missing: list[int] = []

    def try_hints(self, actor: ClientActor, clock: int, _perform: Perform) -> bool:
        """See what is on this host."""
        found = actor.reader.has_each(self._keys.valid, clock)
        self._missing = [position for position, is_here in enumerate(found) if not is_here]
        return not self._missing

    def operation(self, actor: ClientActor, deadline: float) -> Operation[None]:
        """Ask about the rest."""
        asked = [self._keys.valid[i] for i in self._missing]
        hits = yield from asking.locate(actor, asked, deadline)
        for position, hit in zip(self._missing, hits, strict=True):
            self._codes[position] = hit if isinstance(hit, Code) else Code.OK

    def result(self) -> list[Code]:
        """One code per key."""
        return self._keys.spread(self._codes)


class QueryPlan:
    """Ask what is known of keys."""

    def __init__(self, keys: Sequence[str | bytes]) -> None:
        """Check the keys."""
        self._keys = Keys(keys)
        self._infos: list[ObjectInfo | Code] = list(self._keys.codes)

    def try_hints(self, _actor: ClientActor, _clock: int, _perform: Perform) -> bool:
        """The meta service knows, nobody else."""
        return not self._keys.valid

    def operation(self, actor: ClientActor, deadline: float) -> Operation[None]:
        """Ask."""
        found = yield from asking.query(actor, self._keys.valid, deadline)
        for position, info in zip(self._keys.positions, found, strict=True):
            self._infos[position] = info

    def result(self) -> list[ObjectInfo | Code]:
        """Per key what is known, or a code."""
        return self._infos


class CodesPlan:
    """Any request that answers one code per key."""

    def __init__(self, keys: Sequence[str | bytes], ask: Asking) -> None:
        """Check the keys."""
        self._keys = Keys(keys)
        self._ask = ask

    def try_hints(self, _actor: ClientActor, _clock: int, _perform: Perform) -> bool:
        """Only asking will do."""
        return not self._keys.valid

    def operation(self, actor: ClientActor, deadline: float) -> Operation[None]:
        """Ask."""
        self._keys.spread((yield from self._ask(actor, self._keys.valid, deadline)))

    def result(self) -> list[Code]:
        """One code per key."""
        return self._keys.codes


def unlease_plan(keys: Sequence[str | bytes], *, abandoned: bool) -> CodesPlan:
    """End leases early; ``abandoned``: also those of clients that were closed."""
    return CodesPlan(keys, partial(asking.unlease, abandoned=abandoned))


class LeasePlan(CodesPlan):
    """Lease a batch; ``until`` is how long the caller may count on it then, by the actor's clock."""

    def __init__(self, keys: Sequence[str | bytes], ttl_ms: int) -> None:
        """Check the keys and the time, in milliseconds.

        Raises:
            InvalidArgument: no time from 0 on.
        """
        self._ttl_ms = whole_number(ttl_ms, "ttl_ms", 0)
        self.until = 0.0
        super().__init__(keys, self._lease)

    def _lease(self, actor: ClientActor, keys: Sequence[bytes], deadline: float) -> Operation[list[Code]]:
        sent = actor.now
        codes = yield from asking.lease(actor, keys, self._ttl_ms, deadline)
        self.until = asking.counts_until(actor, sent, self._ttl_ms)
        return codes


def read_here(
    actor: ClientActor, key: str | bytes, target: BufferLike | Sequence[BufferLike], clock: int
) -> bool:
    """Copy an object into one buffer of its size, if hints lead to it.

    What a plan does for any number of keys and pieces, without making one.

    Raises:
        InvalidArgument: the key is neither ``str`` nor ``bytes``.
        TypeError: the target is no buffer of plain elements.
    """
    if isinstance(target, _SEVERAL):
        return False
    try:
        view = memoryview(target)  # type: ignore[arg-type] # numpy's arrays are buffers
    except (ValueError, BufferError):
        return False  # a plan says what is wrong
    if view.readonly or not view.c_contiguous:
        return False
    hit = actor.reader.locate(encode_key(key))
    if hit is None or hit.size != view.nbytes:
        return False
    if view.ndim != 1 or view.format != "B":
        view = byte_view(view, writable=True)
    if not fetch_whole(hit, view, clock):
        return False
    actor.gets += 1
    actor.hits += 1
    return True
