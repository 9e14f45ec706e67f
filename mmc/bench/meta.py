"""The meta service alone, behind its broker: look-ups and stores in batches of 256, from raw sessions.

One session claims names as a client does; another is the rank that has seen the records published.  Bodies
are made before the clock starts, and replies taken apart after it has stopped: what is timed is the service,
the broker, and the passing on of frames.  So that the service never waits for the next request, a number of
them is always on its way; and since all three share the machine, its own processor time is told as well.
"""

from __future__ import annotations

import random
import statistics
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, NamedTuple

from mmc.bench.columns import OURS
from mmc.bench.dataset import SMALL_BYTES, Dataset, Part
from mmc.bench.failures import BenchError
from mmc.bench.machine import cpu_seconds, private_bytes
from mmc.bench.raw_session import RawSession
from mmc.bench.rows import (
    META_BYTES,
    META_LOOKUP,
    META_LOOKUP_CPU,
    META_MISS_CPU,
    META_SCALE,
    META_STORE,
    META_STORE_CPU,
)
from mmc.bench.services import Services
from mmc.errors import Code
from mmc.wire import replies, requests
from mmc.wire.codec import encode_body
from mmc.wire.operations import Operation, PeerKind
from mmc.zeromq.chance import random63

if TYPE_CHECKING:
    from mmc.bench.desk import Desk
    from mmc.bench.figures import Figures
    from mmc.bench.processes import Hand
    from mmc.bench.settings import Settings
    from mmc.wire.sequence import Frames

_BATCH = 256
_AT_ONCE = 16
_BATCHES = 40
_STEP = _BATCH * _BATCHES
_RECENT = 8
_FEW = 10_000
_MANY = 1_000_000
_QUICK_MANY = 100_000
_LOOKUPS = 400
_QUICK_LOOKUPS = 100
_MISSES = 1000
_MISSING = b"a key that nobody has stored, and as long as others are: 0123456789"
_GENERATION = 2
_PATIENCE_S = 900.0


class Pace(NamedTuple):
    """How fast the service is: so many in a second, and its processor time for one, in seconds."""

    per_s: float
    cpu_s: float


class Loaded(NamedTuple):
    """A meta service at one number of objects; its memory in bytes."""

    objects: int
    key_bytes: int
    memory: int
    stored: Pace
    looked_up: list[Pace]
    missed: Pace

    @property
    def cpu_s_of_lookup(self) -> float:
        """The median of the rounds."""
        return statistics.median(pace.cpu_s for pace in self.looked_up)


def measure(settings: Settings, figures: Figures, asker: Hand) -> None:
    """Fill a meta service with few and then with many objects, and hold the two against each other.

    Raises:
        BenchError: it does not start, or refuses.
    """
    with ExitStack() as ending:
        services = Services(ending)
        pid = services.start_meta()
        many = _QUICK_MANY if settings.quick else _MANY
        lookups = _QUICK_LOOKUPS if settings.quick else _LOOKUPS
        url = services.options.meta_url
        few, most = asker.ask(_PATIENCE_S, load, url, pid, (_FEW, many), lookups, settings.rounds)
    for loaded in (few, most):
        figures.add(META_STORE.name, OURS, [loaded.stored.per_s])
        figures.add(META_STORE_CPU.name, OURS, [loaded.stored.cpu_s])
        figures.add(META_LOOKUP.name, OURS, [pace.per_s for pace in loaded.looked_up])
        figures.add(META_LOOKUP_CPU.name, OURS, [pace.cpu_s for pace in loaded.looked_up])
        figures.add(META_MISS_CPU.name, OURS, [loaded.missed.cpu_s])
    slower = most.cpu_s_of_lookup / few.cpu_s_of_lookup
    figures.add(META_SCALE.name, OURS, [max(slower, most.stored.cpu_s / few.stored.cpu_s)])
    memory = (most.memory - few.memory - (most.key_bytes - few.key_bytes)) / (most.objects - few.objects)
    figures.add(META_BYTES.name, OURS, [memory])


def load(desk: Desk, url: str, pid: int, counts: tuple[int, int], lookups: int, rounds: int) -> list[Loaded]:
    """Store objects up to each of the counts, and look some up each time.

    Raises:
        BenchError: the service refuses.
    """
    with closing(_Filler(url, pid, max(counts), desk.dataset)) as filler:
        return [filler.fill(count, lookups, rounds) for count in counts]


class _Filler:
    """Both sessions, and what they have stored."""

    def __init__(self, url: str, pid: int, most: int, dataset: Dataset) -> None:
        """Join the service of this process as a rank of so many records."""
        self._pid = pid
        self._dataset = dataset
        self._chance = random.Random(dataset.seed)  # noqa: S311 - it is seeded so that a run can be repeated
        self._stored = self._key_bytes = self._counter = 0
        self._birth = 1
        self._rank = RawSession(url, PeerKind.RANK)
        self._client = RawSession(url, PeerKind.CLIENT)
        join = requests.Join(0, 0, random63(), random63(), most * SMALL_BYTES, most + _STEP, "", url, 0, 0)
        admitted = self._rank.ask(join)
        assert isinstance(admitted, replies.Admitted)
        report = requests.Report((), (), (), (), (), (), term=admitted.term, last=True)
        self._rank.ask(report)

    def close(self) -> None:
        """End both."""
        self._client.close()
        self._rank.close()

    def fill(self, count: int, lookups: int, rounds: int) -> Loaded:
        """Store up to so many objects, and look up."""
        steps = []
        while self._stored < count:
            steps.append(self._store())
        memory = private_bytes(self._pid)
        found = [self._look_up(lookups) for _ in range(rounds)]
        recent = steps[-_RECENT:]
        stored = Pace(*(statistics.median(column) for column in zip(*recent, strict=True)))
        return Loaded(self._stored, self._key_bytes, memory, stored, found, self._miss())

    def _store(self) -> Pace:
        """Claim and confirm some batches."""
        claims, confirmations = [], []
        for _ in range(_BATCHES):
            claim, confirmed = self._made()
            claims.append(encode_body(claim))
            confirmations.append(encode_body(confirmed))
        before = cpu_seconds(self._pid)
        claiming, granted = self._client.ask_all(Operation.CLAIM, claims, _AT_ONCE)
        confirming, listed = self._rank.ask_all(Operation.CONFIRMED, confirmations, _AT_ONCE)
        used = cpu_seconds(self._pid) - before
        for reply in (*granted, *listed):
            assert isinstance(reply, replies.Claimed | replies.Codes)
            if any(reply.codes):
                raise BenchError(f"the meta service answered {set(reply.codes)} to new names")
        self._rank.ask(requests.Heartbeat(()))
        return Pace(_STEP / (claiming + confirming), used / _STEP)

    def _made(self) -> tuple[requests.Claim, requests.Confirmed]:
        records = tuple(range(self._stored, self._stored + _BATCH))
        positions = tuple(range(_BATCH))
        keys = tuple(self._dataset.key(Part.SMALL, number).encode() for number in records)
        self._stored += _BATCH
        self._key_bytes += sum(map(len, keys))
        self._counter += 1
        sizes = (SMALL_BYTES,) * _BATCH
        places = tuple(((0, record, _GENERATION),) for record in records)
        versions = tuple((self._birth, self._client.client, self._counter, each) for each in positions)
        generations = (_GENERATION,) * _BATCH
        claim = requests.Claim(self._birth, self._counter, positions, keys, sizes, places)
        return claim, requests.Confirmed(records, generations, versions)

    def _look_up(self, batches: int) -> Pace:
        """Look up random keys."""
        bodies = []
        for _ in range(batches):
            drawn = self._chance.choices(range(self._stored), k=_BATCH)
            keys = tuple(self._dataset.key(Part.SMALL, number).encode() for number in drawn)
            bodies.append(encode_body(requests.Lookup(keys)))
        return self._ask(bodies, _BATCH, Code.OK)

    def _miss(self) -> Pace:
        """Look up a missing key by itself, again and again."""
        return self._ask([encode_body(requests.Lookup((_MISSING,)))] * _MISSES, 1, Code.NOT_FOUND, at_once=1)

    def _ask(self, bodies: list[Frames], keys: int, wanted: Code, at_once: int = _AT_ONCE) -> Pace:
        """Look up bodies of so many keys each, of all of which the same is expected."""
        before = cpu_seconds(self._pid)
        seconds, found = self._client.ask_all(Operation.LOOKUP, bodies, at_once)
        used = cpu_seconds(self._pid) - before
        for reply in found:
            assert isinstance(reply, replies.Found)
            if set(reply.codes) != {wanted}:
                raise BenchError(f"the meta service answered {set(reply.codes)}, not {int(wanted)}")
        self._rank.ask(requests.Heartbeat(()))
        count = keys * len(bodies)
        return Pace(count / seconds, used / count)
