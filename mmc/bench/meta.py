"""The meta service alone, behind its broker: look-ups and stores in batches of 256, from raw sessions.

One session claims names as a client does; another is the rank that has seen the records published.  Bodies
are made before the clock starts, and replies taken apart after it has stopped: what is timed is the service,
the broker, and the passing on of frames.
"""

from __future__ import annotations

import random
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, NamedTuple

from mmc.bench.columns import OURS
from mmc.bench.dataset import SMALL_BYTES, Dataset, Part
from mmc.bench.failures import BenchError
from mmc.bench.machine import private_bytes
from mmc.bench.raw_session import RawSession
from mmc.bench.rows import META_BYTES, META_LOOKUP, META_SCALE, META_STORE
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

_BATCH = 256
_AT_ONCE = 16
_STEP = _BATCH * _AT_ONCE
_FEW = 10_000
_MANY = 1_000_000
_QUICK_MANY = 100_000
_LOOKUPS = 400
_QUICK_LOOKUPS = 100
_GENERATION = 2
_PATIENCE_S = 900.0


class Loaded(NamedTuple):
    """A meta service at one number of objects: rates in keys a second, and its memory in bytes."""

    objects: int
    key_bytes: int
    stored_per_s: float
    looked_up_per_s: list[float]
    memory: int


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
    figures.add(META_STORE.name, OURS, [few.stored_per_s, most.stored_per_s])
    figures.add(META_LOOKUP.name, OURS, few.looked_up_per_s)
    figures.add(META_LOOKUP.name, OURS, most.looked_up_per_s)
    slower = max(few.looked_up_per_s) / max(most.looked_up_per_s)
    figures.add(META_SCALE.name, OURS, [max(slower, few.stored_per_s / most.stored_per_s)])
    memory = (most.memory - few.memory - (most.key_bytes - few.key_bytes)) / (most.objects - few.objects)
    figures.add(META_BYTES.name, OURS, [memory])


def load(desk: Desk, url: str, pid: int, counts: tuple[int, int], lookups: int, rounds: int) -> list[Loaded]:
    """Store objects up to each of the counts, and look some up each time.

    Raises:
        BenchError: the service refuses.
    """
    with closing(_Filler(url, max(counts), desk.dataset)) as filler:
        return [filler.fill(count, pid, lookups, rounds) for count in counts]


class _Filler:
    """Both sessions, and what they have stored."""

    def __init__(self, url: str, most: int, dataset: Dataset) -> None:
        """Join as a rank of so many records."""
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

    def fill(self, count: int, pid: int, lookups: int, rounds: int) -> Loaded:
        """Store up to so many objects, and look up."""
        rates = []
        while self._stored < count:
            rates.append(self._store())
        memory = private_bytes(pid)
        found = [self._look_up(lookups) for _ in range(rounds)]
        recent = rates[-_FEW // _STEP :] or rates
        return Loaded(self._stored, self._key_bytes, sum(recent) / len(recent), found, memory)

    def _store(self) -> float:
        """Claim and confirm some batches; returns objects a second."""
        claims, confirmations = [], []
        for _ in range(_AT_ONCE):
            claim, confirmed = self._made()
            claims.append(encode_body(claim))
            confirmations.append(encode_body(confirmed))
        claiming, granted = self._client.ask_all(Operation.CLAIM, claims)
        confirming, listed = self._rank.ask_all(Operation.CONFIRMED, confirmations)
        for reply in (*granted, *listed):
            assert isinstance(reply, replies.Claimed | replies.Codes)
            if any(reply.codes):
                raise BenchError(f"the meta service answered {set(reply.codes)} to new names")
        self._rank.ask(requests.Heartbeat(()))
        return _STEP / (claiming + confirming)

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

    def _look_up(self, batches: int) -> float:
        """Look up random keys; returns keys a second."""
        seconds = 0.0
        for _ in range(max(1, batches // _AT_ONCE)):
            bodies = []
            for _ in range(_AT_ONCE):
                drawn = self._chance.choices(range(self._stored), k=_BATCH)
                keys = tuple(self._dataset.key(Part.SMALL, number).encode() for number in drawn)
                bodies.append(encode_body(requests.Lookup(keys)))
            took, found = self._client.ask_all(Operation.LOOKUP, bodies)
            seconds += took
            for reply in found:
                assert isinstance(reply, replies.Found)
                if set(reply.codes) != {Code.OK}:
                    raise BenchError(f"the meta service answered {set(reply.codes)} to stored names")
            self._rank.ask(requests.Heartbeat(()))
        return max(1, batches // _AT_ONCE) * _STEP / seconds
