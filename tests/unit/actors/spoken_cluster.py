"""A meta service to which ranks and clients are spoken by hand."""

from __future__ import annotations

import itertools
from dataclasses import replace

from mmc.actors.contract import Send
from mmc.actors.meta import MetaActor
from mmc.config import load_config
from mmc.wire.codec import Header, decode_body, decode_header, encode
from mmc.wire.operations import Message, PeerKind
from mmc.wire.replies import Admitted, Claimed, Codes, Commands, CopyPlan, Pulse, Welcome
from mmc.wire.requests import (
    Acknowledge,
    Claim,
    Confirmed,
    CopiesWanted,
    Heartbeat,
    Hello,
    Join,
    Replicate,
    Report,
    Resync,
)

CLIENT = b"client"
_MOST = 1 << 30


class SpokenCluster:
    """A meta service, ranks and a client; whatever is sent is kept by its target."""

    def __init__(self, ranks: int, *, repair: bool = False, written: bytes = b"") -> None:
        """Everybody is there; time stands at 1 s until :attr:`now` is set."""
        config = load_config()
        numbers = itertools.count(1000)
        self.now = 1.0
        limits = replace(config.meta, repair=repair)
        self.actor = MetaActor(limits, config.wire, lambda: next(numbers), self.now, written=written)
        self._sessions: dict[bytes, int] = {}
        self._numbers = itertools.count(1)
        self.heard: dict[bytes, list[Message]] = {}
        self.terms: dict[int, int] = {}
        self.enter(CLIENT, PeerKind.CLIENT, 2)
        for rank in range(ranks):
            self.join(rank)

    def tell(self, route: bytes, message: Message) -> Message | None:
        """A request; its answer, if there is one at once."""
        known = len(self.heard.setdefault(route, []))
        header = Header(0, self._sessions.get(route, 0), next(self._numbers), 0, self.actor.epoch, 5000)
        for effect in self.actor.receive(route, encode(header, message), self.now):
            if isinstance(effect, Send):
                assert isinstance(effect.to, bytes)
                body = decode_body(decode_header(effect.frames), effect.frames)
                self.heard.setdefault(effect.to, []).append(body)
        self.actor.check()
        return self.heard[route][-1] if len(self.heard[route]) > known else None

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with what is due."""
        self.now += seconds
        for effect in self.actor.expire(self.now):
            if isinstance(effect, Send):
                assert isinstance(effect.to, bytes)
                body = decode_body(decode_header(effect.frames), effect.frames)
                self.heard[effect.to].append(body)
        self.actor.check()

    def enter(self, route: bytes, kind: PeerKind, number: int) -> None:
        """Say hello."""
        welcome = self.tell(route, Hello(number, kind, 1, 1, 0))
        assert isinstance(welcome, Welcome)
        self._sessions[route] = welcome.session

    def join(self, rank: int, *report: tuple[bytes, int, int]) -> None:
        """A rank joins and reports rows of (key, record, counter of its version)."""
        route = b"rank %d" % rank
        self.enter(route, PeerKind.RANK, 100 + rank)
        admitted = self.tell(route, Join(rank, 0, 77 + rank, 1, 1 << 20, 32, "/p", "u", 0, 0))
        assert isinstance(admitted, Admitted)
        self.terms[rank] = admitted.term
        keys, numbers, counters = tuple(zip(*report, strict=True)) if report else ((), (), ())
        versions = tuple((1, 2, counter, 0) for counter in counters)
        count = len(keys)
        said = Report(
            numbers, (2,) * count, versions, (10,) * count, keys, (0,) * count, admitted.term, last=True
        )
        assert self.tell(route, said) == Codes((0,) * count)
        self.beat(rank)

    def beat(self, rank: int, capacity: int = 1 << 20) -> Pulse:
        """A heartbeat."""
        pulse = self.tell(b"rank %d" % rank, Heartbeat((("capacity_bytes", capacity),)))
        assert isinstance(pulse, Pulse)
        return pulse

    def put(self, key: bytes, counter: int, *places: tuple[int, int]) -> None:
        """A put that is acknowledged: places are (rank, record)."""
        where = tuple((rank, record, 2) for rank, record in places)
        claimed = self.tell(CLIENT, Claim(1, counter, (0,), (key,), (10,), (where,)))
        assert isinstance(claimed, Claimed)
        assert claimed.codes == (0,)
        for rank, record in places:
            assert self.confirm(rank, record, counter) == 0

    def confirm(self, rank: int, record: int, counter: int, generation: int = 2) -> int:
        """A rank has seen a record published; what it is told."""
        said = Confirmed((record,), (generation,), ((1, 2, counter, 0),))
        codes = self.tell(b"rank %d" % rank, said)
        assert isinstance(codes, Codes)
        return codes.codes[0]

    def replicate(self, key: bytes, counter: int, rank: int, record: int, generation: int = 2) -> int:
        """Ask for a place of a copy; the code."""
        message = Replicate((key,), ((1, 2, counter, 0),), (rank,), (record,), (generation,))
        claimed = self.tell(CLIENT, message)
        assert isinstance(claimed, Claimed)
        return claimed.codes[0]

    def wanted(self, rank: int, **refused: int) -> tuple[bytes, ...]:
        """What is to be copied from a rank; names with codes are what was refused before."""
        keys = tuple(key.encode() for key in refused)
        plan = self.tell(CLIENT, CopiesWanted(rank, 64, _MOST, keys, tuple(refused.values())))
        assert isinstance(plan, CopyPlan)
        return plan.keys

    def commands(self, rank: int) -> dict[int, tuple[int, int]]:
        """The outstanding commands of a rank: number and kind, by record."""
        told = self.tell(b"rank %d" % rank, Resync())
        assert isinstance(told, Commands)
        return {
            record: (number, kind)
            for record, number, kind in zip(told.records, told.ids, told.kinds, strict=True)
        }

    def acknowledge(self, rank: int, record: int, code: int = 0) -> None:
        """A rank answers the command about a record."""
        number, _ = self.commands(rank)[record]
        self.tell(b"rank %d" % rank, Acknowledge((number,), (int(code),)))
