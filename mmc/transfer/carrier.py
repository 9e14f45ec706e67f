"""A client's way to other hosts; see :class:`mmc.actors.client.far.Carrier`."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, cast

from mmc.actors.client.parts import in_parts
from mmc.transfer.connections import Connections
from mmc.transfer.crew import LEAST_BYTES
from mmc.transfer.errands import Fetching, Probing, Seeking
from mmc.transfer.exchange import Exchange
from mmc.transfer.uploading import Uploading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mmc.actors.client.draft import Draft
    from mmc.actors.client.far import Block, Guess
    from mmc.identifiers import Member
    from mmc.limits import DataLimits
    from mmc.transfer.errands import Errand

_CAPACITY_SHARE = 4
COUNTED = ("remote_read_bytes", "remote_written_bytes", "remote_damaged")
"""Bytes of objects that arrived whole and that were sent, and objects that arrived with another digest."""


class Carrier:
    """Errands over connections that are kept."""

    def __init__(
        self, limits: DataLimits, threads: int, may_reach: Callable[[Member], bool], now: Callable[[], float]
    ) -> None:
        """``threads`` may do errands side by side; ``may_reach`` says which ranks are asked at all."""
        self._limits = limits
        self._threads = threads
        self._now = now
        self._connections = Connections(limits, now)
        self.may_reach = may_reach
        self.counters = Counter(dict.fromkeys(COUNTED, 0))
        self._counting = threading.Lock()

    def _count(self, name: str, amount: int) -> None:
        """Add to a counter, whichever thread this is."""
        with self._counting:
            self.counters[name] += amount

    def distance(self, member: Member) -> int:
        """How far away a rank was when a connection to it was last used, 0 if none was."""
        return self._connections.distance(member.data_url)

    def fetch(self, member: Member, blocks: Sequence[Block], until: float) -> list[Errand]:
        """Have blocks brought here, by a time."""
        parts = in_parts(
            [(block, block.place.size) for block in blocks],
            self._limits.blocks_per_request,
            self._limits.request_bytes,
        )
        return [Fetching(member, part, until, self._count) for part in parts]

    def seek(self, member: Member, guesses: Sequence[Guess], until: float) -> list[Errand]:
        """Have objects brought here that may be there."""
        most = self._limits.request_bytes
        parts = in_parts([(guess, guess.size) for guess in guesses], self._limits.blocks_per_request, most)
        return [
            Seeking(member, part, max(most, sum([g.size for g in part])), until, self._count)
            for part in parts
        ]

    def probe(self, member: Member, blocks: Sequence[Block], until: float) -> list[Errand]:
        """Have it said which blocks are published."""
        parts = in_parts([(block, 0) for block in blocks], self._limits.blocks_per_request, 1)
        return [Probing(member, part, until, self._count) for part in parts]

    def upload(
        self, member: Member, drafts: Sequence[Draft], pieces: dict[bytes, Sequence[memoryview]], until: float
    ) -> Uploading:
        """Begin to bring drafts there."""
        return Uploading(member, drafts, pieces, until, self._connections, self._count)

    def upload_limits(self, member: Member) -> tuple[int, int, int]:
        """Blocks and bytes of one upload, and how many uploads to one rank there may be side by side.

        All of them together have space in a fraction of the rank, or they would wait for one another.
        """
        together = max(1, member.capacity // _CAPACITY_SHARE)
        most = min(self._limits.request_bytes, together)
        side_by_side = min(self._limits.connections_per_rank, max(1, together // most))
        return self._limits.blocks_per_request, most, side_by_side

    def together(self, errands: Sequence[object]) -> Sequence[Exchange]:
        """As many works as threads are of use to, each with errands to every rank.

        All errands are made by this carrier.
        """
        errands = cast("Sequence[Errand]", errands)
        count = max(1, min(self._threads, len(errands)))
        if count > 1 and sum([errand.size for errand in errands]) < LEAST_BYTES:
            count = 1
        exchanges = [
            Exchange(errands[at::count], self._connections, self._limits, self._now) for at in range(count)
        ]
        for exchange in exchanges if count > 1 else ():
            exchange.help(exchanges)
        return exchanges

    def close(self) -> None:
        """End what is on its way."""
        self._connections.close()
