"""``python -m scripts.overload``: put into a pool with room and into a full one, by turns, and compare.

Each round empties the pool, measures puts until it is about half full, fills it, and measures the same
puts again; all the time a reader holds views and leases, and asks for cold keys.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from contextlib import ExitStack
from dataclasses import asdict
from time import monotonic
from typing import TYPE_CHECKING, Any

from mmc import InvalidArgument
from mmc.config import parse_size
from scripts.overload.figures import table
from scripts.overload.load import READY, Settings
from scripts.replay.cluster import Cluster
from scripts.replay.exit_status import exit_status
from scripts.replay.process import Child
from scripts.replay.room import size_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.overload.figures import Times
    from scripts.replay.stopping import StopSignals

_KIB = 1 << 10
_CLASSES = ((4 * _KIB, 40), (64 * _KIB, 30), (1024 * _KIB, 20), (8192 * _KIB, 7), (32768 * _KIB, 3))
_SMALL = 3
_SHARE_PERCENT = 55
_FILL_PERCENT = 110
_FILL_TOGETHER = 64
_STOP_S = 15.0


class Hand:
    """A process of the load."""

    def __init__(self, name: str, settings: Settings, stack: ExitStack) -> None:
        """Start it, to be ended with the stack."""
        self.child = Child(name, "scripts.overload.load", json.dumps(asdict(settings)))
        stack.callback(self.child.end, _STOP_S, ask=False)

    def read(self) -> bytes:
        """Its next line.

        Raises:
            ReplayError: it ended.
        """
        line = b""
        while not line.endswith(b"\n"):
            part = os.read(self.child.output, 1 << 20)
            if not part:
                raise self.child.failure("ended before its time")
            line += part
        return line

    def write(self, together: int, sizes: Sequence[int]) -> None:
        """Order puts, so many in one call; none: to remove everything."""
        self.child.input.write(json.dumps([together, sizes]).encode() + b"\n")
        self.child.input.flush()

    def last_words(self) -> dict[str, Any]:
        """What it says at the end of its input."""
        self.child.input.close()
        words: dict[str, Any] = json.loads(self.read())
        return words


class Load:
    """Writers that all put at once, and what they have measured."""

    def __init__(self, writers: list[Hand]) -> None:
        """Nothing is measured yet."""
        self._writers = writers
        self.failed: dict[str, int] = {}
        self.puts = 0

    def put(self, orders: list[list[int]], times: Times | None = None, together: int = 1) -> None:
        """Have each writer put its sizes, so many in one call; the seconds are added to ``times``."""
        for writer, order in zip(self._writers, orders, strict=True):
            writer.write(together, order)
        for writer, order in zip(self._writers, orders, strict=True):
            took = json.loads(writer.read())
            self.puts += len(order)
            for name, count in took["failed"].items():
                self.failed[name] = self.failed.get(name, 0) + count
            if times is not None:
                for size, second in zip(order, took["seconds"], strict=True):
                    times.setdefault(size, []).append(second)

    def clear(self) -> None:
        """Empty the pool."""
        self.put([[] for _ in self._writers])


def _orders(
    chance: random.Random, writers: int, total: int, classes: Sequence[tuple[int, int]]
) -> list[list[int]]:
    """Sizes for each writer, of ``total`` bytes together."""
    sizes, weights = zip(*classes, strict=True)
    mean = sum(size * weight for size, weight in classes) / sum(weights)
    count = max(1, int(total / mean / writers))
    return [chance.choices(sizes, weights, k=count) for _ in range(writers)]


def _measure(arguments: argparse.Namespace, stop: StopSignals) -> bool:
    classes = _CLASSES[: len(_CLASSES) if arguments.sizes == "mixed" else _SMALL]
    unfilled: Times = {}
    full: Times = {}
    bytes_put = 0
    with Cluster(1, arguments.dram, stop) as cluster, ExitStack() as stack:
        largest = max(size for size, _ in classes)
        writers = [Hand(f"writer {number}", Settings(cluster.meta_url, number, largest), stack)
                   for number in range(arguments.writers)]  # fmt: skip
        reader = Hand("reader", Settings(cluster.meta_url, arguments.writers, largest, reads=True), stack)
        for hand in (*writers, reader):
            assert hand.read() == READY
        load = Load(writers)
        chance = random.Random(arguments.seed)
        until = monotonic() + arguments.seconds
        before = cluster.cpu_seconds()
        evicted = 0
        while monotonic() < until:
            stop.check()
            share = arguments.dram * _SHARE_PERCENT // 100
            orders = _orders(chance, arguments.writers, share, classes)
            load.clear()
            load.put(orders, unfilled)
            fill = arguments.dram * _FILL_PERCENT // 100
            if arguments.fill == "small":
                load.put(_orders(chance, arguments.writers, fill, _CLASSES[:1]), together=_FILL_TOGETHER)
            else:
                load.put(_orders(chance, arguments.writers, fill, classes))
            evictions = _evictions(cluster)
            load.put(orders, full)
            evicted += _evictions(cluster) - evictions
            bytes_put += sum(map(sum, orders))
        seen = reader.last_words()
        used = {name: seconds - before[name] for name, seconds in cluster.cpu_seconds().items()}
    print("\n".join(table(unfilled, full)))
    count = sum(map(len, full.values()))
    print(f"{count} puts of {size_text(bytes_put)} into the full pool: {evicted} evictions, "
          f"{evicted / count:.2f} a put; reader: {seen['probes']} probes, {seen['wrong']} wrong")  # fmt: skip
    print("cpu: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in used.items()))
    print(f"{load.puts} puts, {sum(load.failed.values())} failed {load.failed or ''}".rstrip())
    return not (load.failed or seen["wrong"])


def _size(text: str) -> int:
    try:
        return parse_size(text, "size")
    except InvalidArgument as error:
        raise argparse.ArgumentTypeError(error.sentence) from None


def _evictions(cluster: Cluster) -> int:
    return dict(cluster.status().counters)["evictions"]


def main() -> int:
    """Measure and say what was found; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="pressure",
        description="Measures puts in a full pool against puts in one with room: same writers, by turns.",
    )
    parser.add_argument("--dram", type=_size, default="512MB", help="the pool")
    parser.add_argument("--writers", type=int, default=3, help="processes that put")
    parser.add_argument("--seconds", type=float, default=30.0, help="rounds begin for so long")
    parser.add_argument("--sizes", choices=("mixed", "small"), default="mixed",
                        help="4 KiB to 32 MiB, or to 1 MiB")  # fmt: skip
    parser.add_argument("--fill", choices=("same", "small"), default="same",
                        help="what fills the pool before: the same sizes, or 4 KiB alone")  # fmt: skip
    parser.add_argument("--bytes-per-record", type=int, help="few records: they run out before the bytes")
    parser.add_argument("--seed", type=int, default=0, help="of the sizes")
    arguments = parser.parse_args()
    if arguments.bytes_per_record:
        os.environ["MMC_LOCAL_BYTES_PER_RECORD"] = str(arguments.bytes_per_record)
    return exit_status("pressure", lambda stop: _measure(arguments, stop))


if __name__ == "__main__":
    sys.exit(main())
