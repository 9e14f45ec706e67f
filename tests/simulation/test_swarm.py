"""A few seeds of the swarm on every run of the tests; scripts/simulate runs as many as wanted."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.chance import Mix
from tests.simulation.swarm import run_seed
from tests.simulation.themes import CROWDED, LINGERING, REPEATING

ROOT = Path(__file__).parents[2]
SEEDS = range(1000, 1016)
BETWEEN_HOSTS = [(seed, 2 + seed % 3) for seed in range(2000, 2009)]
FOUND_BETWEEN_HOSTS = (
    60069, 100105, 100179, 402091, 403044, 403348, 404286, 502468, 503168, 505525, 505883, 600382, 601179,
    606611,
)  # fmt: skip
FOUND = (
    2, 25, 38, 76, 94, 271, 360, 390, 574, 618, 923, 1041, 1113, 1288, 1469, 1545, 2351, 3256, 5109, 20052,
    3177, 3635, 3895, 7889, 8293, 8609, 9734,
    30276, 52264, 609968,
)  # fmt: skip
"""Seeds that once showed a fault: of the product (most, around restarts), or of the simulator."""


@pytest.mark.parametrize("seed", [*FOUND, *SEEDS])
def test_invariants_hold(seed: int) -> None:
    """Whatever the network, the threads and the clients' deaths do, every invariant holds."""
    run_seed(seed, hosts=1)


@pytest.mark.parametrize(("seed", "hosts"), [*((seed, None) for seed in FOUND_BETWEEN_HOSTS), *BETWEEN_HOSTS])
def test_invariants_hold_between_hosts(seed: int, hosts: int | None) -> None:
    """So they do over several hosts, whatever becomes of these and of the connections between them."""
    run_seed(seed, hosts=hosts)


def test_objects_travel_between_hosts() -> None:
    """Some seeds of several hosts read, write and lose connections between them."""
    counts = sum((run_seed(seed, hosts=2).counts for seed in range(3)), Counter[str]())
    assert min(counts[name] for name in ("blocks read", "blocks published", "connections")) > 0


@pytest.mark.parametrize(("seed", "mix"), [(31, LINGERING), (76, REPEATING)])
def test_a_lease_outlives_a_rebuild(seed: int, mix: Mix) -> None:
    """A key stays leased when a restarted meta service prefers another object of it."""
    run_seed(seed, settings=CROWDED, mix=mix)


def _fingerprint(hash_seed: int) -> str:
    """What one seed did, in a process with its own order of hashing."""
    code = (
        "from tests.simulation.swarm import run_seed;"
        "print(run_seed(7, hosts=1).fingerprint, run_seed(14, hosts=4).fingerprint)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_one_seed_gives_one_trace() -> None:
    """The same seed does the same, event for event, whatever PYTHONHASHSEED says."""
    assert len({_fingerprint(hash_seed) for hash_seed in (0, 1, 4242)}) == 1


def test_the_driver_counts_and_says_how_to_repeat() -> None:
    """scripts/simulate ends with its tally and exits with 0 when every seed holds."""
    command = [sys.executable, str(ROOT / "scripts/simulate"), "--seeds", "2", "--jobs", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == "2 seeds, 0 failed"
