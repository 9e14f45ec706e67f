"""One engine: a process that looks up, gets, checks and puts the blocks of the requests it gets.

``python -m scripts.replay.engine`` with its settings as one JSON argument.  Each line on standard
input is a request, a JSON list of block ids; each is answered by one line, an :class:`Outcome`, on
standard output.  A first line says that the cluster answered.  At the end of the input the engine
disconnects and ends.
"""

from __future__ import annotations

import cProfile
import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import takewhile
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from mmc import Client, Code
from scripts.replay.content import WORD, Content

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scripts.replay.content import Words

READY = b"ready\n"

BUFFER_BYTES = 32 << 20
"""What an engine gets or puts at once; a single block may be larger."""


@dataclass(slots=True)
class Outcome:
    """What became of one request.  Counts are of blocks, times are seconds."""

    asked: int = 0
    found: int = 0
    hits: int = 0
    others: int = 0
    lost: int = 0
    offered: int = 0
    stored: int = 0
    existed: int = 0
    wrong_bytes: int = 0
    exist_s: float = 0.0
    get_s: float = 0.0
    check_s: float = 0.0
    make_s: float = 0.0
    put_s: float = 0.0
    failed: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What an engine is started with; ``profile`` is a file for its cProfile, or empty."""

    meta_url: str
    block_bytes: int
    seed: int
    profile: str = ""


class Engine:
    """Serves requests through a client of the cluster."""

    def __init__(self, client: Client, block_bytes: int, seed: int, buffer_bytes: int = BUFFER_BYTES) -> None:
        """The buffer grows with the largest request, up to ``buffer_bytes`` or one block."""
        self._client = client
        self._content = Content(block_bytes, seed)
        self._words = block_bytes // WORD
        self._most = max(1, buffer_bytes // block_bytes)
        self._rows: list[Words] = []
        self._views: list[memoryview] = []
        self._mine: set[int] = set()

    def serve(self, blocks: Sequence[int]) -> Outcome:
        """Get the longest cached prefix of a request, and put what is missing."""
        outcome = Outcome(asked=len(blocks))
        missing = self._look_up(blocks, outcome)
        prefix = list(blocks[: outcome.found])
        lost = [block for part in self._parts(prefix) for block in self._get(part, outcome)]
        outcome.lost = len(lost)
        outcome.hits = len(prefix) - len(lost)
        for part in self._parts(lost + missing):
            self._put(part, outcome)
        return outcome

    def _look_up(self, blocks: Sequence[int], outcome: Outcome) -> list[int]:
        """Count the leading blocks that are there; returns those that are not, of all."""
        begun = perf_counter()
        codes = self._client.exist_batch([key_of(block) for block in blocks])
        outcome.exist_s = perf_counter() - begun
        outcome.found = sum(1 for _ in takewhile(lambda code: code == Code.OK, codes))
        unsure = Counter(code.name for code in codes if code not in (Code.OK, Code.NOT_FOUND))
        _add_failures(outcome, "exist", unsure)
        return [block for block, code in zip(blocks, codes, strict=True) if code != Code.OK]

    def _get(self, blocks: Sequence[int], outcome: Outcome) -> list[int]:
        """Get and check blocks; returns those that are gone."""
        begun = perf_counter()
        codes = self._client.get_into_batch([key_of(block) for block in blocks], self._views[: len(blocks)])
        got = perf_counter()
        gone = []
        for block, code, row in zip(blocks, codes, self._rows, strict=False):
            if code == Code.OK:
                outcome.wrong_bytes += self._content.wrong_bytes(block, row)
                outcome.others += block not in self._mine
            else:
                gone.append(block)
        outcome.get_s += got - begun
        outcome.check_s += perf_counter() - got
        failures = (code.name for code in codes if code not in (Code.OK, Code.NOT_FOUND))
        _add_failures(outcome, "get", Counter(failures))
        return gone

    def _put(self, blocks: Sequence[int], outcome: Outcome) -> None:
        begun = perf_counter()
        for block, row in zip(blocks, self._rows, strict=False):
            self._content.write(block, row)
        made = perf_counter()
        codes = self._client.put_batch([key_of(block) for block in blocks], self._views[: len(blocks)])
        outcome.offered += len(blocks)
        outcome.make_s += made - begun
        outcome.put_s += perf_counter() - made
        self._mine.update(block for block, code in zip(blocks, codes, strict=True) if code != Code.EXISTS)
        counted = Counter(codes)
        outcome.stored += counted.pop(Code.OK, 0)
        outcome.existed += counted.pop(Code.EXISTS, 0)
        _add_failures(outcome, "put", Counter({c.name: n for c, n in counted.items()}))

    def _parts(self, blocks: Sequence[int]) -> Iterator[Sequence[int]]:
        """Parts of a batch, and room for each in the buffers."""
        for start in range(0, len(blocks), self._most):
            part = blocks[start : start + self._most]
            if len(part) > len(self._rows):
                self._rows = list(np.empty((len(part), self._words), dtype=np.uint64))
                self._views = [row.data for row in self._rows]
            yield part


def key_of(block: int) -> str:
    """The key under which engines store a block."""
    return f"block/{block}"


def _add_failures(outcome: Outcome, operation: str, codes: Counter[str]) -> None:
    for name, count in codes.items():
        label = f"{operation} {name}"
        outcome.failed[label] = outcome.failed.get(label, 0) + count


def _serve_all(settings: EngineSettings) -> None:
    with Client(settings.meta_url) as client:
        engine = Engine(client, settings.block_bytes, settings.seed)
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()
        for line in sys.stdin.buffer:
            outcome: dict[str, Any] = asdict(engine.serve(json.loads(line)))
            sys.stdout.buffer.write(json.dumps(outcome).encode() + b"\n")
            sys.stdout.buffer.flush()


def main() -> None:
    """Serve standard input until it ends."""
    settings = EngineSettings(**json.loads(sys.argv[1]))
    if settings.profile:
        profile = cProfile.Profile()
        profile.runcall(_serve_all, settings)
        profile.dump_stats(settings.profile)
    else:
        _serve_all(settings)


if __name__ == "__main__":
    main()
