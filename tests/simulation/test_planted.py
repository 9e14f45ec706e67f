"""The checkers are checked: each sees the fault that is planted for it, and nothing where there is none."""

import pytest

from tests.simulation.planted import BUGS, Bug, run

SEEDS_TRIED = 60


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_planted_faults_are_seen(bug: Bug, capsys: pytest.CaptureFixture[str]) -> None:
    """A planted fault is seen by its checker within some seeds; without it the same seed is clean."""
    for seed in range(bug.seed, bug.seed + SEEDS_TRIED):
        told = run(bug, seed, is_planted=True)
        if told.startswith(bug.seen_by):
            with capsys.disabled():
                print(f"\n{bug.name}: {told}")
            assert run(bug, seed, is_planted=False) == ""
            return
    pytest.fail(f"not seen in {SEEDS_TRIED} seeds")
