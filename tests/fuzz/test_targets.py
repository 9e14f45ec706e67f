"""The targets of ``scripts/fuzz``: what is kept for each, and some strings that nobody has chosen."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scripts.fuzzing.report import Outcome, read_outcome
from tests.effort import times
from tests.fuzz.targets import TARGETS, kept

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST = 250


def _run_of(target: str) -> Callable[[bytes], None]:
    run: Callable[[bytes], None] = import_module(f"tests.fuzz.{target}_target").run
    return run


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_kept_is_survived(target: str) -> None:
    """Each string that was worth keeping still ends well."""
    strings = kept(target)
    assert strings
    for string in strings:
        _run_of(target)(string)


@pytest.mark.parametrize("target", TARGETS)
@times(6)
@given(data=st.binary(min_size=10, max_size=_LONGEST))
def test_what_chance_brings_is_survived(target: str, data: bytes) -> None:
    """No string of bytes is a story that ends badly."""
    _run_of(target)(data)


def test_what_the_fuzzer_prints_is_read() -> None:
    """Executions, coverage, the size of the corpus, and the file of what failed."""
    lines = (
        "#2\tINITED cov: 10 ft: 11 corp: 1/1b exec/s: 0 rss: 90Mb",
        "#4149\tNEW    cov: 972 ft: 1621 corp: 98/595b lim: 11 exec/s: 92 rss: 95Mb L: 11/11 MS: 4",
        "artifact_prefix='/tmp/'; Test unit written to /tmp/meta-crash-1",
        "stat::number_of_executed_units: 5630",
    )
    assert read_outcome(lines) == Outcome(5630, 972, 1621, 98, "/tmp/meta-crash-1")
    assert read_outcome(()) == Outcome()
