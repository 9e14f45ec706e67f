"""The crash run and the soak in short: ``scripts/crash`` and ``scripts/soak`` find nothing wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.hosts import on_several_hosts

_ROOT = Path(__file__).parents[2]
_PATIENCE_S = 240
_SEED = 6


def _run(module: str, *arguments: str) -> str:
    """Run it to its end; returns what it printed."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    try:
        output, _ = process.communicate(timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate()
        raise AssertionError(f"it hung; it had printed: {output}") from None
    print(output)
    assert process.returncode == 0, output
    return output


@pytest.mark.timeout(_PATIENCE_S + 60)
def test_what_was_acknowledged_outlives_kills_stops_and_restarts() -> None:
    """S1, S2, S4, S8, L2: nothing wrong, lost, back, late or left; how fast it goes is printed."""
    output = _run("scripts.crashing", f"--seed={_SEED}", "--seconds=60", "--kills=7", "--healthy=4",
                  "--any-rate", "--dram=128MB", "--timeout=10", "--pause-ms=5")  # fmt: skip
    assert "nothing is wrong" in output


@on_several_hosts()
@pytest.mark.timeout(_PATIENCE_S + 60)
def test_what_was_acknowledged_outlives_dead_hosts_and_cut_cables() -> None:
    """The same over four hosts, which are killed as wholes, cut off, set apart and hampered."""
    output = _run("scripts.crashing", "--hosts=4", f"--seed={_SEED}", "--seconds=20", "--kills=3",
                  "--healthy=1", "--longest-stop=3", "--any-rate", "--dram=64MB", "--timeout=10",
                  "--pause-ms=10")  # fmt: skip
    assert "nothing is wrong" in output


@pytest.mark.timeout(_PATIENCE_S + 60)
def test_what_is_used_comes_back() -> None:
    """S6: after rounds of load with a client killed in each, all that was used is free again."""
    output = _run(
        "scripts.crashing.soak",
        f"--seed={_SEED}",
        "--seconds=1",
        "--round=2",
        "--pause-ms=3",
        "--any-memory",
        "--dram=128MB",
        "--timeout=10",
    )
    assert "flat: all comes back" in output
