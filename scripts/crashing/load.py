"""``python -m scripts.crashing.load``: one client, which verifies all that it is told, until it ends.

It takes one line of settings as its argument, and these words on its standard input, each answered by a line:
``stop`` do nothing more, hold nothing; ``clear`` remove what this client and its earlier lives have put, and
return freed memory to the system; ``go`` on.  At the end of its input it closes its client and ends.
"""

from __future__ import annotations

import ctypes
import gc
import json
import random
import select
import sys
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from mmc import CacheError, Client, Code
from scripts.crashing.calls import Calls
from scripts.crashing.content import hand_of, is_content, key_of, pieces_of, size_of
from scripts.crashing.ledger import GONE, LEAVING, STORED, TRIED, Journal, Ledger, Tick

if TYPE_CHECKING:
    from collections.abc import Callable

READY = "ready"
TICK_S = 0.25
_CONNECTING_S = 60.0
_KIB = 1 << 10
_SIZES = (
    (4 * _KIB, 40),
    (16 * _KIB, 25),
    (64 * _KIB, 15),
    (256 * _KIB, 10),
    (1024 * _KIB, 7),
    (3072 * _KIB, 3),
)
_SMALL = 3
_MOST_TOGETHER = 16
_MOST_VIEWS = 12
_MOST_DOUBTFUL = 8
_UNEVEN_BYTES = 64
_REPLICAS = (1, 1, 1, 1, 1, 1, 1, 2)
_INTO_SHARE = 0.3
_REMOVING_SHARE = 0.5
_MOST_SHARE = 1.25
_LEASES_MS = (500, 1500, 3000)
_HOLDER_SHARE = 0.99
_READ_ON_EVERY = 4
_CLEARING_S = 30.0
_CLEARED_AT_ONCE = 256
_AGAIN_S = 0.1


@dataclass(frozen=True, slots=True)
class Settings:
    """What a client is started with; ``live_bytes`` is how much it keeps stored."""

    meta_url: str
    directory: str
    hand: int
    life: int
    seed: int
    live_bytes: int
    pause_s: float
    timeout_s: float


class Hand:
    """One client and what it has put."""

    def __init__(self, client: Client, settings: Settings) -> None:
        """Takes over what its earlier lives have left."""
        self._settings = settings
        self._chance = random.Random(f"{settings.seed}/{settings.hand}/{settings.life}")
        directory = Path(settings.directory)
        self._journal = Journal(directory, f"{settings.hand}-{settings.life}")
        self._calls = Calls(client, self._journal, settings.timeout_s)
        self._ledger = Ledger(directory, keys_only=True)
        self._ledger.read_on()
        mine = [key for key in self._ledger.open_keys() if hand_of(key) == settings.hand]
        self._mine = {key: size_of(key) for key in mine if self._ledger.is_stored(key)}
        self._live_bytes = sum(self._mine.values())
        self._doubtful = dict.fromkeys(key for key in mine if key not in self._mine)
        self._leased: dict[str, float] = {}
        self._views: list[tuple[str, memoryview, Callable[[], None]]] = []
        self._puts = self._steps = 0
        self._ticked = monotonic()
        choices = ((self._put, 26), (self._get, 38), (self._exist, 10), (self._query, 4), (self._view, 8),
                   (self._look_for_gone, 4), (self._lease, 3), (self._try_leased, 6),
                   (self._remove_some, 7))  # fmt: skip
        self._choices, self._weights = zip(*choices, strict=True)

    def step(self) -> None:
        """One call or a few, drawn."""
        self._steps += 1
        if self._steps % _READ_ON_EVERY == 0:
            self._ledger.read_on()
        if self._live_bytes > self._settings.live_bytes and self._chance.random() < _REMOVING_SHARE:
            self._remove_some()
        elif len(self._doubtful) > _MOST_DOUBTFUL:
            self._remove(list(self._doubtful)[:_MOST_TOGETHER])
        else:
            self._chance.choices(self._choices, self._weights)[0]()
        if self._views and (len(self._views) > _MOST_VIEWS or self._chance.random() < 1 / _MOST_VIEWS):
            self._close_view(self._chance.randrange(len(self._views)))
        self.tick()

    def tick(self, *, now: bool = False) -> None:
        """Write down now and then how many calls there were."""
        if now or monotonic() - self._ticked > TICK_S:
            self._ticked = monotonic()
            self._journal.tick(Tick(self._ticked, *self._calls.take_counts()))

    # Each of these is one kind of call, and what must hold of its answer

    def _put(self) -> None:
        if self._live_bytes > _MOST_SHARE * self._settings.live_bytes:  # removals are refused just now
            self._get()
            return
        together = self._chance.choice((1, 1, 1, self._chance.randint(2, _MOST_TOGETHER)))
        classes = _SIZES if together == 1 else _SIZES[:_SMALL]
        sizes, weights = zip(*classes, strict=True)
        keys = []
        for size in self._chance.choices(sizes, weights, k=together):
            self._puts += 1
            uneven = self._chance.choice((0, self._chance.randrange(_UNEVEN_BYTES)))
            keys.append(key_of(self._settings.hand, self._settings.life, self._puts, size - uneven))
        self._journal.say(TRIED, *keys)
        replicas = self._chance.choice(_REPLICAS)
        codes = self._calls.put(keys, [pieces_of(key) for key in keys], replicas)
        stored = [key for key, code in zip(keys, codes, strict=True) if code == Code.OK]
        self._journal.say(STORED, *stored)
        for key, code in zip(keys, codes, strict=True):
            if code == Code.OK:
                self._mine[key] = size_of(key)
                self._live_bytes += size_of(key)
            else:
                self._doubtful[key] = None

    def _get(self) -> None:
        keys = self._ledger.stored.draw(self._chance, self._chance.choice((1, 1, 1, _MOST_TOGETHER)))
        if not keys:
            return
        if self._chance.random() < _INTO_SHARE:
            contents, codes = self._calls.read_into(keys, [size_of(key) for key in keys])
        else:
            contents, codes = self._calls.read(keys)
        for key, content in zip(keys, contents, strict=True):
            if content is not None and not is_content(key, content):
                self._journal.find("wrong bytes", key=key, at=monotonic())
        self._must_be_there(keys, codes, "get")

    def _exist(self) -> None:
        keys = self._ledger.stored.draw(self._chance, self._chance.choice((1, 8, 32)))
        if keys:
            self._must_be_there(keys, self._calls.exist(keys), "exist")

    def _query(self) -> None:
        keys = self._ledger.stored.draw(self._chance, 4)
        if keys:
            self._must_be_there(keys, self._calls.query(keys, [size_of(key) for key in keys]), "query")

    def _view(self) -> None:
        for key in self._ledger.stored.draw(self._chance, 1):
            view, code = self._calls.view(key)
            self._must_be_there([key], [code], "view")
            if view is not None:
                self._views.append((key, view.memory, view.close))
                self._check_view(key, view.memory)

    def _check_view(self, key: str, memory: memoryview) -> None:
        if not is_content(key, memory):
            self._journal.find("wrong bytes", key=key, at=monotonic(), view=True)

    def _close_view(self, at: int) -> None:
        key, memory, close = self._views.pop(at)
        self._check_view(key, memory)
        close()

    def _look_for_gone(self) -> None:
        if self._ledger.left:
            key = self._chance.choice(self._ledger.left)
            (content,), _ = self._calls.read([key])
            if content is not None:
                self._journal.find("removed and back", key=key, at=monotonic())

    def _lease(self) -> None:
        """Lease one's own object, and try to remove it for as long as it is leased: in vain."""
        if not self._mine:
            return
        key = self._chance.choice(list(self._mine))
        ttl_ms = self._chance.choice(_LEASES_MS)
        until = monotonic() + ttl_ms / 1000 * _HOLDER_SHARE
        code = self._calls.lease(key, ttl_ms)
        self._must_be_there([key], [code], "lease")
        if code == Code.OK:
            self._leave([key])
            self._leased[key] = until

    def _try_leased(self) -> None:
        if not self._leased:
            return
        key = self._chance.choice(list(self._leased))
        removed = self._calls.remove([key])[0]
        found = Code.OK if removed == Code.OK else self._calls.read([key])[1][0]
        is_leased = monotonic() < self._leased[key]
        if is_leased and (removed == Code.OK or found == Code.NOT_FOUND):
            self._journal.find("lease broken", key=key, at=monotonic(), removed=removed.name)
        if removed == Code.OK:
            self._journal.say(GONE, key)
        elif not is_leased:
            self._doubtful[key] = None
        if removed == Code.OK or not is_leased:
            del self._leased[key]

    def _remove_some(self) -> None:
        keys = list(self._mine)
        if keys:
            self._remove(self._chance.sample(keys, min(len(keys), self._chance.choice((1, _MOST_TOGETHER)))))

    def _leave(self, keys: list[str]) -> None:
        """From now on nobody may rely on these."""
        self._journal.say(LEAVING, *keys)
        for key in keys:
            self._live_bytes -= self._mine.pop(key, 0)

    def _remove(self, keys: list[str]) -> None:
        """Remove what is stored, or may be."""
        self._ledger.read_on()
        were_there = [key for key in keys if key in self._mine]
        self._leave(keys)
        codes = self._calls.remove(keys)
        for key, code in zip(keys, codes, strict=True):
            if code == Code.NOT_FOUND and key in were_there:
                self._journal.find("missing", key=key, at=monotonic(), call="remove")
            was_stored = key in were_there or self._ledger.has(key, STORED)
            if code in (Code.OK, Code.NOT_FOUND):
                self._doubtful.pop(key, None)
                if was_stored:
                    self._journal.say(GONE, key)
            else:
                self._doubtful[key] = None

    def _must_be_there(self, keys: list[str], codes: list[Code], call: str) -> None:
        """Keys that were stored when the call began are found, unless their removal has begun meanwhile."""
        missed = [key for key, code in zip(keys, codes, strict=True) if code == Code.NOT_FOUND]
        if missed:
            self._ledger.read_on()
        for key in missed:
            if self._ledger.is_stored(key):
                self._journal.find("missing", key=key, at=monotonic(), call=call)

    # The end

    def stop(self) -> None:
        """Hold nothing."""
        while self._views:
            self._close_view(0)
        self.tick(now=True)

    def clear(self) -> int:
        """Remove everything of this client and of its earlier lives; returns how many keys may be left."""
        deadline = monotonic() + _CLEARING_S
        self._doubtful |= dict.fromkeys(self._leased)
        self._leased.clear()
        while monotonic() < deadline and (self._mine or self._doubtful):
            keys = [*self._doubtful, *self._mine][:_CLEARED_AT_ONCE]
            before = len(self._doubtful) + len(self._mine)
            self._remove(keys)
            if len(self._doubtful) + len(self._mine) == before:
                select.select([], [], [], _AGAIN_S)
        self.tick(now=True)
        return len(self._doubtful) + len(self._mine)


def serve(hand: Hand, pause_s: float) -> None:
    """Obey standard input until it ends, and call on in between."""
    goes = True
    while True:
        if select.select([sys.stdin], [], [], pause_s if goes else None)[0]:
            match sys.stdin.readline().strip():
                case "stop":
                    goes = False
                    hand.stop()
                    _say("stopped")
                case "clear":
                    left = hand.clear()
                    gc.collect()
                    ctypes.CDLL(None).malloc_trim(0)
                    _say(str(left))
                case "go":
                    goes = True
                    _say("going")
                case _:
                    hand.stop()
                    return
        if goes:
            hand.step()


def connect(url: str) -> Client:
    """A client, as soon as there is a meta service that answers."""
    deadline = monotonic() + _CONNECTING_S
    while True:
        try:
            return Client(url)
        except CacheError as error:
            if error.code != Code.META_UNREACHABLE or monotonic() > deadline:
                raise


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    """Load until told to end."""
    settings = Settings(**json.loads(sys.argv[1]))
    with connect(settings.meta_url) as client:
        hand = Hand(client, settings)
        _say(READY)
        serve(hand, settings.pause_s)


if __name__ == "__main__":
    main()
