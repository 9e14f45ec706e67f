"""What is done to which process and when, drawn from a seed."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

CLIENT, HOST = "client", "host"


class Kind(Enum):
    """What is done to a process."""

    KILL = "kill -9"
    STOP = "stop"
    RESTART = "restart"
    CUT = "cut"
    APART = "set apart"
    HAMPER = "hamper"


OF_CABLES = (Kind.CUT, Kind.APART, Kind.HAMPER)
"""What is done to a host's cable."""


class Fault(NamedTuple):
    """One of them: ``at`` seconds from the beginning, to ``victim``; a stop or a cut lasts ``lasts_s``.

    ``follows``: it comes so soon after another that nobody waits for the recovery from that.
    """

    at: float
    kind: Kind
    victim: str
    lasts_s: float
    follows: bool

    def told(self) -> str:
        """The fault in words."""
        lasts = f" for {self.lasts_s:.1f} s" if self.lasts_s else ""
        return f"{self.at:6.1f} s  {self.kind.value} {self.victim}{lasts}"


_LASTING = (Kind.STOP, *OF_CABLES)
_STOPS_SHARE = 2
_RESTARTS_SHARE = 4
_FOLLOWS_SHARE = 0.25
_SHORTEST_STOP_S = 0.2
_SOON_S = 1.0
_SLOT_SHARE = 0.6
_NEVER_ENDED_IN_ORDER = "local"
"""A local service of ``mmc up`` that ends in order takes its segment along."""


def draw_faults(
    chance: Random,
    seconds: float,
    kills: int,
    victims: list[str],
    longest_stop_s: float,
    hosts: Sequence[str] = (),
) -> list[Fault]:
    """At least so many kills, half as many stops and a quarter as many restarts, within the seconds.

    With ``hosts``, some of the kills are of whole hosts, and their cables are troubled as often.

    Victims take turns, in an order that is drawn for each turn; some kills are followed by another at once.
    """
    kinds = [Kind.KILL] * kills
    kinds += [Kind.STOP] * (kills // _STOPS_SHARE) + [Kind.RESTART] * (kills // _RESTARTS_SHARE)
    if hosts:
        victims = [*victims, *hosts]
        kinds += [OF_CABLES[number % len(OF_CABLES)] for number in range(kills)]
    chance.shuffle(kinds)
    turns = {kind: _turns(chance, kind, victims) for kind in Kind}
    slot_s = seconds / max(1, len(kinds))
    faults = []
    for number, kind in enumerate(kinds):
        at = (number + _SLOT_SHARE * chance.random()) * slot_s
        lasts_s = chance.uniform(_SHORTEST_STOP_S, longest_stop_s)
        faults.append(Fault(at, kind, turns[kind].pop(), lasts_s if kind in _LASTING else 0.0, follows=False))
        if not turns[kind]:
            turns[kind] = _turns(chance, kind, victims)
        if kind is Kind.KILL and chance.random() < _FOLLOWS_SHARE:
            others = [v for v in victims if v != faults[-1].victim and not v.startswith(HOST)]
            soon = at + chance.random() * min(_SOON_S, (1 - _SLOT_SHARE) * slot_s)
            faults.append(Fault(soon, Kind.KILL, chance.choice(others), 0.0, follows=True))
    return faults


def _turns(chance: Random, kind: Kind, victims: list[str]) -> list[str]:
    able = [victim for victim in victims if _may_be(kind, victim)]
    return chance.sample(able, len(able))


def _may_be(kind: Kind, victim: str) -> bool:
    if victim.startswith(HOST):
        return kind is Kind.KILL or kind in OF_CABLES
    if kind in OF_CABLES:
        return False
    return kind is not Kind.RESTART or not victim.startswith(_NEVER_ENDED_IN_ORDER)
