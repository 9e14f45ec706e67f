"""What libFuzzer prints, as numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_PROGRESS = re.compile(r"#(\d+)\s+\S+\s+cov: (\d+) ft: (\d+) corp: (\d+)")
_EXECUTED = re.compile(r"stat::number_of_executed_units: (\d+)")
_FAILED = re.compile(r"Test unit written to (\S+)")


class Outcome(NamedTuple):
    """What came of one target.

    ``edges`` and ``features`` are libFuzzer's measures of coverage; ``artifact`` is the file of the string
    that failed, ""  if none did.
    """

    executions: int = 0
    edges: int = 0
    features: int = 0
    corpus: int = 0
    artifact: str = ""


def read_outcome(lines: Iterable[str]) -> Outcome:
    """The outcome that the lines tell."""
    outcome = Outcome()
    for line in lines:
        if found := _PROGRESS.search(line):
            executions, edges, features, corpus = map(int, found.groups())
            outcome = Outcome(executions, edges, features, corpus, outcome.artifact)
        if found := _EXECUTED.search(line):
            outcome = outcome._replace(executions=int(found[1]))
        if found := _FAILED.search(line):
            outcome = outcome._replace(artifact=found[1])
    return outcome
