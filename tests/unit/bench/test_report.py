"""What people and programs are told of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmc.bench import plots
from mmc.bench.columns import MEMMOVE, MOONCAKE, OURS, REDIS
from mmc.bench.failures import BenchError
from mmc.bench.report import Report
from mmc.bench.rows import BY_NAME


@pytest.fixture
def report() -> Report:
    """Two rows of a run without memcached."""
    made = Report({"processor": "some", "cores": 2, "load_before": [0.1], "load_after": [0.2]})
    made.figures.add("get_8m", OURS, [0.0015, 0.0016])
    made.figures.add("get_8m", MEMMOVE, [0.00155])
    made.figures.add("get_8m", MOONCAKE, [0.0014])
    made.figures.add("get_4k_new", OURS, [5e-6])
    made.figures.add("get_4k_new", REDIS, [80e-6])
    made.figures.add_messages("get_4k_new", 0, 10)
    made.missing.append("memcached is missing: memcached; see scripts/peers")
    return made


def test_the_table_has_a_line_for_each_goal(report: Report) -> None:
    """Each row has its medians in its unit, its ratios, and each goal with its judgement."""
    lines = report.lines()
    new = next(line for line in lines if line.startswith("get 4 KiB, key never seen"))
    assert new.split()[-1] == "reached"
    assert {"us", "80", "16", "0.00"} <= set(new.split())
    large = next(at for at, line in enumerate(lines) if line.startswith("get 8.57 MiB"))
    assert "GB/s" in lines[large]
    assert "5.80" in lines[large]
    assert lines[large].endswith("reached")
    assert lines[large + 1].endswith("NOT reached")
    assert "memcached is missing: memcached; see scripts/peers" in lines
    assert "goals: 2 reached, 1 NOT reached, 0 not judged" in lines


def test_columns_are_aligned(report: Report) -> None:
    """The goals of all rows begin at one place."""
    lines = report.lines()
    at = lines[0].index("goal")
    assert all(line[at - 1] == " " and line[at] != " " for line in lines[1:4])


def test_columns_that_nobody_measured_are_left_out(report: Report) -> None:
    """A peer without figures has no column."""
    heads = report.lines()[0].split()
    assert "redis" in heads
    assert "memcached" not in heads


def test_programs_get_everything(report: Report) -> None:
    """The JSON object has every cell with its spread, the goals, and what is missing."""
    facts = json.loads(json.dumps(report.facts()))
    rows = {row["name"]: row for row in facts["rows"]}
    assert rows["get_8m"]["fastest_peer"] == MOONCAKE
    assert rows["get_8m"]["columns"][OURS]["count"] == 2
    assert rows["get_4k_new"]["messages_per_call"] == 0
    assert [goal["reached"] for goal in rows["get_8m"]["goals"]] == [True, False]
    assert facts["not_comparable"] == []
    assert facts["missing_peers"] == report.missing


def test_lines_of_a_picture_have_the_points_that_were_measured(report: Report) -> None:
    """A point lies at the object's size, in the unit of the picture."""
    points = plots.series(
        report.figures, plots.GETS, OURS, lambda row: row.part.size, lambda _, seconds: seconds
    )
    assert points == [(4096, 5e-6), (BY_NAME["get_8m"].part.size, pytest.approx(0.00155))]
    assert plots.series(report.figures, plots.PUTS, OURS, lambda _: 0, lambda _, seconds: seconds) == []


def test_pictures_are_drawn_or_it_is_said_what_is_missing(report: Report, tmp_path: Path) -> None:
    """With matplotlib there is a file for each picture; without, a sentence that names the extra."""
    try:
        plots.require_matplotlib()
    except BenchError as missing:
        assert ".[bench]" in str(missing)  # noqa: PT017 - one of the two must hold
    else:
        files = plots.draw(report.figures, tmp_path)
        assert [file.name for file in files] == [
            "latency_by_size.png", "throughput_by_size.png", "exist_by_batch.png",
        ]  # fmt: skip
        assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)
