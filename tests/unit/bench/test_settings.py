"""What a run can be asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mmc.bench.failures import BenchError
from mmc.bench.rows import BY_NAME, ROWS
from mmc.bench.settings import Settings, settings_of
from mmc.bench.trace import replay
from mmc.bench.workload import never_seen
from mmc.cli.commands import app


def asked(
    only: str = "", rounds: int | None = None, keys: int | None = None, *, quick: bool = False
) -> Settings:
    """The settings of a command line."""
    return settings_of(only, rounds, keys, 2, "", quick=quick, peers=True)


def test_everything_is_measured_unless_rows_are_named() -> None:
    """No name stands for all rows; names are taken in the order of the table."""
    assert asked().rows == ROWS
    assert [row.name for row in asked("get_8m, get_4k_new").rows] == ["get_4k_new", "get_8m"]


def test_a_full_run_has_a_hundred_thousand_keys() -> None:
    """At least 100,000 keys are stored, unless fewer are asked for."""
    assert asked().dataset().small >= 100_000
    assert asked(keys=500).dataset().small == 500
    assert asked(quick=True).dataset().small < 100_000


@pytest.mark.parametrize("rounds", [1, 7, 1000])
def test_new_keys_last_for_all_rounds(rounds: int) -> None:
    """Whatever the number of rounds, no key that is to be new is needed twice."""
    settings = asked(rounds=rounds, keys=5000)
    assert rounds * settings.calls(BY_NAME["get_4k_new"]) <= never_seen(5000)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("bench --only nothing", "--only nothing: rows are get_4k_new"),
        ("bench --rounds 0", "--rounds must be 1"),
        ("bench --keys 5", "--keys must be 100"),
        ("bench --ranks 0", "--ranks must be 1"),
        ("bench --dram huge", "--dram"),
        ("bench --trace /nowhere.jsonl", "no such file"),
    ],
)
def test_senseless_settings_are_refused(line: str, words: str) -> None:
    """What makes no sense is a sentence and status 1, before anything is started."""
    ended = CliRunner().invoke(app, line.split())
    assert ended.exit_code == 1
    assert words in ended.stderr


def test_a_file_that_cannot_be_written_is_refused_at_once() -> None:
    """A run does not begin whose results could not be kept."""
    ended = CliRunner().invoke(app, ["bench", "--json", "/nowhere/at/all.json"])
    assert ended.exit_code == 2
    assert "No such file" in ended.stderr


def test_a_trace_stands_alone() -> None:
    """Rows cannot be asked for beside a trace."""
    ended = CliRunner().invoke(app, ["bench", "--trace", "trace.jsonl", "--only", "get_8m"])
    assert ended.exit_code == 2
    assert "--trace" in ended.stderr


def test_a_trace_needs_a_checkout(tmp_path: Path) -> None:
    """Without scripts/replay beside the package it is said why no trace can be replayed."""
    trace = tmp_path / "trace.jsonl"
    trace.write_text('{"hash_ids": [1]}\n')
    with pytest.raises(BenchError, match="a checkout has"):
        replay(trace, "", None, checkout=tmp_path)
