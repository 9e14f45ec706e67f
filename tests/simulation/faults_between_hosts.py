"""Faults in what data servers and their clients do: what travels, where it goes, and when it is over."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from mmc.actors.client import proxy, sending
from mmc.cache import placement
from mmc.segments import records
from mmc.segments.reader import Hit, hit_at
from mmc.transfer.exchange import Exchange
from mmc.transfer.serving import Serving
from mmc.transfer.serving_thread import ServingThread
from tests.simulation.planting import replace

if TYPE_CHECKING:
    from mmc.wire.operations import Message

_LATE_S = 3.0


def generation_not_compared(stack: ExitStack) -> None:
    """A data server sends whatever is in the record by now."""

    def find(self: Serving, record: int, _generation: int) -> Hit | None:
        segment = self._host.segment
        return hit_at(segment, record, records.generation_of(segment, record))

    replace(stack, Serving, "_find", find)


def digests_not_compared(stack: ExitStack) -> None:
    """What arrived damaged is published."""

    def publish(self: Serving, term: int, chosen: tuple[int, ...]) -> Message:
        self._broken.clear()
        return original(self, term, chosen)

    original = Serving._publish  # noqa: SLF001 - the place of the fault
    replace(stack, Serving, "_publish", publish)


def stored_after_the_end(stack: ExitStack) -> None:
    """A write that is too slow is abandoned, and still received."""

    def end_the_late(self: ServingThread) -> None:
        moment = self.now()
        for peer in self._peers.values():
            if peer.serving.is_moving and peer.serving.ends_at <= moment:
                for draft in peer.serving._drafts:  # noqa: SLF001 - the place of the fault
                    for replica in draft.replicas:
                        replica.abandon(moment)
                peer.serving.ends_at = moment + _LATE_S
        original(self)

    original = ServingThread._end_the_late  # noqa: SLF001 - the place of the fault
    replace(stack, ServingThread, "_end_the_late", end_the_late)


def abandon_left_out(stack: ExitStack) -> None:
    """What was open when its connection ended stays open."""
    replace(stack, Serving, "_abandon_all", lambda _: None)


def slowness_borne(stack: ExitStack) -> None:
    """A data server waits for ever for what was begun."""

    def end_the_late(self: ServingThread) -> None:
        self._look_at = math.inf

    replace(stack, ServingThread, "_end_the_late", end_the_late)


def success_of_a_server_in_another_term(stack: ExitStack) -> None:
    """What a data server published counts as a success, whatever became of its rank meanwhile."""
    replace(stack, proxy, "stands", lambda *_: True)


def replicas_on_one_host(stack: ExitStack) -> None:
    """Placement does not look at where ranks are."""

    def place_widely(
        near: Sequence[int], far: Sequence[int], replicas: int, preferred: Sequence[int], _host: object
    ) -> list[int]:
        return original(near, far, replicas, preferred, lambda _: (0, ""))

    original = placement.place_widely
    replace(stack, sending, "place_widely", place_widely)


def deadlines_of_errands_overlooked(stack: ExitStack) -> None:
    """Whoever waits for another host waits longer than it may."""
    replace(stack, Exchange, "_due", lambda _, going: going.errand.until + _LATE_S)
