"""``python -m scripts.scaling``: a broker and a meta service with more and more played ranks and clients."""

from __future__ import annotations

import argparse
import resource
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter

from mmc.bench.failures import BenchError
from mmc.bench.machine import cpu_seconds, private_bytes
from mmc.bench.services import Services
from mmc.wire import replies, requests
from mmc.wire.codec import encode_body
from scripts.scaling.fleet import Fleet

_KIB = 1024
_EVICTED_RANKS = 16
_ASKED = 50
_CLIENTS_A_RANK = 2
_SUSPECT_MS = 9000
"""One process plays all ranks: on a busy machine their heartbeats come late, and every client would hear of
each that is suspected."""


@dataclass
class Costs:
    """What was measured at one size; processor times are seconds of one process.

    ``stretch``: how many times as long as they should have the players took for their heartbeats.  What the
    services do for time that passes, and not for heartbeats, is in the shares so many times.
    """

    ranks: int
    clients: int
    stretch: float
    meta_share: float
    broker_share: float
    rank_bytes: float
    membership_bytes: int
    membership_s: float
    evicted_s: float
    heard_s: float

    def __str__(self) -> str:
        """A line of the table."""
        return (
            f"{self.ranks:>6,} {self.clients:>8,} {self.stretch:>5.1f}"
            f" {self.meta_share:>8.1%} {self.broker_share:>8.1%}"
            f" {self.rank_bytes / _KIB:>9.1f} {self.membership_bytes / _KIB:>11.1f}"
            f" {1e6 * self.membership_s:>11,.0f} {1e6 * self.evicted_s:>8.1f} {1e3 * self.heard_s:>8.1f}"
        )


HEAD = """\
 ranks  clients  slow  meta CPU  broker  KiB/rank  members KiB  us/members  us/evict  ms heard
"""


class Measurement:
    """One cluster, to which its ranks come first: nobody hears of each of them."""

    def __init__(self, seconds: float, stack: ExitStack) -> None:
        """Start the services; ``seconds`` is how long each size is watched."""
        self._seconds = seconds
        services = Services(stack)
        self._broker = services.broker
        self._meta = services.start_meta(meta={"suspect_ms": _SUSPECT_MS})
        self._fleet = Fleet(services.options.meta_url, services.options.events_url, stack)
        self._filler = self._fleet.greet()
        self._empty = private_bytes(self._meta)
        self._puts = 0

    def measure(self, ranks: int) -> Costs:
        """The costs with so many ranks, and clients in proportion."""
        fleet = self._fleet
        fleet.grow(ranks, _CLIENTS_A_RANK * ranks)
        rank_bytes = (private_bytes(self._meta) - self._empty) / ranks
        fleet.live(1.0)
        before = cpu_seconds(self._meta), cpu_seconds(self._broker)
        begun = perf_counter()
        fleet.live(self._seconds)  # may take longer, and is as much as in so many seconds
        stretch = max(1.0, (perf_counter() - begun) / self._seconds)
        after = cpu_seconds(self._meta), cpu_seconds(self._broker)
        membership_bytes, membership_s = self._membership()
        return Costs(
            ranks, len(fleet.clients), stretch, (after[0] - before[0]) / self._seconds,
            (after[1] - before[1]) / self._seconds, rank_bytes, membership_bytes, membership_s,
            self._evicted(), self._heard(),
        )  # fmt: skip

    def _membership(self) -> tuple[int, float]:
        """The bytes of who is there, and the meta service's time to tell one client."""
        client = self._fleet.clients[0]
        before = cpu_seconds(self._meta)
        told = [client.ask(requests.MembersQuery(0)) for _ in range(_ASKED)]
        used = cpu_seconds(self._meta) - before
        return sum(map(len, encode_body(told[0]))), used / _ASKED

    def _evicted(self) -> float:
        """The meta service's time for an object that a rank is told to let go of."""
        chosen = self._fleet.ranks[:_EVICTED_RANKS]
        for rank in chosen:
            self._puts += 1
            rank.fill(self._filler, self._puts, 1)
        before = cpu_seconds(self._meta)
        gone = sum(rank.evict() for rank in chosen)
        return (cpu_seconds(self._meta) - before) / gone

    def _heard(self) -> float:
        """How long after a rank's farewell the last of some clients hears that the membership changed."""
        leaving = self._fleet.ranks.pop()
        ears = self._fleet.ears[:_EVICTED_RANKS]
        known = self._fleet.clients[0].ask(requests.MembersQuery(0))
        assert isinstance(known, replies.Membership)
        begun = perf_counter()
        leaving.session.ask(requests.Leave())
        for one in ears:
            while True:
                change = one.hear()
                assert isinstance(change, replies.MemberChange)
                if change.view > known.view:
                    break
        return perf_counter() - begun


def main(arguments: list[str]) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, prog="scripts/scale")
    parser.add_argument("--ranks", type=int, nargs="+", default=[10, 100, 1000], help="the sizes, ascending")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long each size is watched")
    asked = parser.parse_args(arguments)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    needed = 16 * max(asked.ranks)
    if hard < needed:
        print(f"scripts/scale: {needed} open files are needed, {hard} are allowed", file=sys.stderr)
        return 1
    try:
        print(HEAD, end="", flush=True)
        for ranks in sorted(asked.ranks):
            with ExitStack() as stack:
                print(Measurement(asked.seconds, stack).measure(ranks), flush=True)
    except (BenchError, TimeoutError, OSError) as failure:
        print(f"scripts/scale: {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
