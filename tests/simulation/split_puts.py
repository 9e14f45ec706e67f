"""A put in two calls, as a caller with a device makes it: allocate, write for a while, finish."""

from collections.abc import Sequence

from mmc.actors.client import opening
from mmc.actors.client.calls import Copy, Operation, Outside, Until
from mmc.actors.client.draft import Draft
from mmc.actors.client.service import ClientActor
from mmc.errors import Code
from mmc.plans import Perform
from mmc.segments.extents import payload_position

_OPEN_S = (0.0, 0.003, 0.3)
"""For how long writes stay open, by the number of the put: beyond what an unconfirmed claim waits for too."""


class SplitPutPlan:
    """Does what a put does; whoever goes away meanwhile abandons what is open."""

    def __init__(self, keys: Sequence[bytes], values: Sequence[bytes], number: int) -> None:
        """``number`` chooses how long the writes stay open."""
        self._keys = keys
        self._values = values
        self._pause = _OPEN_S[number % len(_OPEN_S)]
        self._codes: list[Code] = []

    def try_hints(self, _actor: ClientActor, _clock: int, _perform: Perform) -> bool:
        """A put always asks."""
        return False

    def operation(self, actor: ClientActor, deadline: float) -> Operation[None]:
        """Allocate, copy, wait, finish."""
        sizes = [len(value) for value in self._values]
        opened = yield from opening.allocate(actor, self._keys, sizes, deadline)
        drafts = [one for one in opened if isinstance(one, Draft)]
        is_over = False
        try:
            values = [
                value for value, one in zip(self._values, opened, strict=True) if isinstance(one, Draft)
            ]
            if drafts:
                yield Outside([_copy(draft, value) for draft, value in zip(drafts, values, strict=True)])
            if self._pause and actor.now + self._pause < deadline:
                yield Until(actor.now + self._pause)
            is_over = True
            ended = iter((yield from opening.finish(actor, drafts, deadline)))
        finally:
            if not is_over:
                for _ in opening.abandon(actor, drafts):
                    raise AssertionError("to abandon is not to wait")
        self._codes = [next(ended) if isinstance(one, Draft) else one for one in opened]

    def result(self) -> list[Code]:
        """One code per key."""
        return self._codes


def _copy(draft: Draft, value: bytes) -> Copy:
    replica = draft.replicas[0]
    segment = replica.handle.segment
    return Copy(segment.memory, payload_position(segment, replica.record), len(value), [memoryview(value)])
