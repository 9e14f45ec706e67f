"""A crash run: clients load, faults are committed, and in the end everything is read, removed and let go."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from scripts.crashing.content import is_content
from scripts.crashing.faults import CLIENT, HOST, Fault, Kind
from scripts.crashing.figures import evictions
from scripts.crashing.fleet import Fleet, clear_all
from scripts.crashing.ground import RECOVERY_S, Ground
from scripts.crashing.ledger import Ledger
from scripts.crashing.wide import WideGround

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scripts.crashing.verdict import Span

    Act = Callable[[], None]

_WARM_UP_S = 4.0
_READ_AT_ONCE = 64
_READ_S = 20.0
_SIGNALS = {Kind.KILL: signal.SIGKILL, Kind.RESTART: signal.SIGTERM}


class Run:
    """One run: what was done, what came of it."""

    def __init__(self, ground: Ground, fleet: Fleet, ledger: Ledger) -> None:
        """The clients load already."""
        self._ground = ground
        self.fleet = fleet
        self.ledger = ledger
        self.done: dict[Kind, int] = dict.fromkeys(Kind, 0)
        self.wrong: list[str] = []
        self.recoveries: list[Span] = []
        self.evictions = self.read = self.lost = self.spoilt = 0

    def healthy(self, seconds: float) -> Span:
        """Let the clients load undisturbed; returns the time that is measured."""
        self._ground.pause(_WARM_UP_S)
        began = monotonic()
        self._ground.pause(seconds)
        self.fleet.check()
        return began, monotonic()

    def under_fire(self, faults: Sequence[Fault], seconds: float) -> Span:
        """Do all of it; returns the time from the first fault on until all is well after the last."""
        began = at = monotonic()
        follows = False
        ending: dict[str, int] = {}
        for fault, following in zip(faults, (*faults[1:], None), strict=True):
            self._ground.pause(began + fault.at - monotonic())
            self.fleet.check()
            self._count_evictions()
            if not follows:
                at, ending = monotonic(), {}
            ending |= self._commit(fault)
            follows = following is not None and following.follows
            if follows:
                print(fault.told(), flush=True)
                continue
            if not self._ground.wait(partial(self._ground.is_whole, ending), RECOVERY_S):
                self.wrong.append(f"no recovery within {RECOVERY_S:.0f} s from: {fault.told()}")
            self.recoveries.append((at, monotonic()))
            print(f"{fault.told()}: whole after {monotonic() - at:.2f} s", flush=True)
        self._ground.pause(began + seconds - monotonic())
        return began, monotonic()

    def _count_evictions(self) -> None:
        report = self._ground.status()
        if report is not None:
            self.evictions = max(self.evictions, evictions(report))

    def _commit(self, fault: Fault) -> dict[str, int]:
        """Do it; returns the process that ends by it, if it is a service's."""
        name, _, number = fault.victim.partition(" ")
        pids = self._ground.pids()
        if name == CLIENT:
            self._trouble_client(fault, int(number))
        elif name == HOST:
            self.done[fault.kind] += 1
            return {service: pids[service] for service in self._trouble_host(fault, int(number))}
        elif fault.victim not in pids:
            return {}
        elif fault.kind is Kind.STOP:
            self._stop_service(pids[fault.victim], fault.lasts_s)
        else:
            with suppress(ProcessLookupError):  # it ends just now
                os.kill(pids[fault.victim], _SIGNALS[fault.kind])
        self.done[fault.kind] += 1
        ends = name != CLIENT and fault.kind is not Kind.STOP
        return {fault.victim: pids[fault.victim]} if ends else {}

    def _stop_service(self, pid: int, seconds: float) -> None:
        os.kill(pid, signal.SIGSTOP)
        try:
            self._ground.pause(seconds)
        finally:
            os.kill(pid, signal.SIGCONT)

    def _trouble_host(self, fault: Fault, number: int) -> list[str]:
        """Cut, hamper, or kill it with all that runs there; returns the services that end by it."""
        assert isinstance(self._ground, WideGround)
        host, beside = self._ground.hosts[number], self._ground.hosts[number - 1]
        match fault.kind:
            case Kind.KILL:
                host.cut()
                ends = self._ground.kill_services(number)
                for hand, life in enumerate(self.fleet.lives):
                    if life.prefix == host.prefix:
                        self.fleet.kill(hand)
                host.mend()
                return ends
            case Kind.HAMPER:
                self._for_a_while(fault, (host.hamper,), (host.unhamper,))
            case Kind.APART:
                self._for_a_while(fault, (host.set_apart, beside.set_apart), (host.mend, beside.mend))
            case _:
                self._for_a_while(fault, (host.cut,), (host.mend,))
        return []

    def _for_a_while(self, fault: Fault, begin: Sequence[Act], end: Sequence[Act]) -> None:
        try:
            for act in begin:
                act()
            self._ground.pause(fault.lasts_s)
        finally:
            for act in end:
                act()

    def _trouble_client(self, fault: Fault, hand: int) -> None:
        match fault.kind:
            case Kind.KILL:
                self.fleet.kill(hand)
            case Kind.RESTART:
                self.fleet.restart(hand)
            case Kind.STOP:
                self.fleet.halt(hand)
                try:
                    self._ground.pause(fault.lasts_s)
                finally:
                    self.fleet.go_on(hand)

    def audit(self) -> None:
        """Read every object that was acknowledged and not removed."""
        self.fleet.tell_all("stop")
        self._count_evictions()
        ledger = self.ledger
        ledger.read_on()
        keys = list(ledger.stored)
        for at in range(0, len(keys), _READ_AT_ONCE):
            part = keys[at : at + _READ_AT_ONCE]
            contents, codes = self._ground.client.read_batch(part, timeout=_READ_S)
            for key, content, code in zip(part, contents, codes, strict=True):
                if content is None:
                    self.lost += 1
                    self.wrong.append(f"lost: {key}, {code.name}")
                elif not is_content(key, content):
                    self.spoilt += 1
                    self.wrong.append(f"wrong bytes: {key}, in the end")
        self.read = len(keys)

    def clear(self) -> None:
        """Remove everything, and let the clients go; what is listed then has come back, or was never put."""
        left = clear_all(self.fleet)
        self.fleet.end()
        if left:
            self.wrong.append(f"{left} keys could not be removed")
        self.ledger.read_on()
        client, may_be_there = self._ground.client, set(self.ledger.open_keys())
        for key in list(client.keys(timeout=_READ_S)):
            if key not in may_be_there:
                self.wrong.append(f"removed and listed: {key}")
            client.remove(key, timeout=_READ_S)
