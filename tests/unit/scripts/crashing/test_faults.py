"""Faults are drawn: as many as asked for, everybody's turn, the same for the same seed."""

from __future__ import annotations

from random import Random

from scripts.crashing.faults import Kind, draw_faults

_VICTIMS = ["broker", "meta", "local 0", "local 1", "client 0", "client 1", "client 2"]


def test_there_are_as_many_kills_as_asked_for_and_everybody_has_a_turn() -> None:
    """In order of time, within the seconds; a stop ends by itself; no local service ends in order."""
    for seed in range(50):
        faults = draw_faults(Random(seed), 60, 21, _VICTIMS, 6.0)
        kills = [fault for fault in faults if fault.kind is Kind.KILL]
        assert len(kills) >= 21
        assert {fault.victim for fault in kills} == set(_VICTIMS)
        assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
        assert all(0 <= fault.at < 60 for fault in faults)
        assert all(0 < fault.lasts_s <= 6 for fault in faults if fault.kind is Kind.STOP)
        assert not any(f.kind is Kind.RESTART and f.victim.startswith("local") for f in faults)


def test_one_seed_gives_one_sequence() -> None:
    """So that a run can be repeated, as far as the machine lets it."""
    assert draw_faults(Random(7), 60, 9, _VICTIMS, 6.0) == draw_faults(Random(7), 60, 9, _VICTIMS, 6.0)
