"""``mmc bench`` end to end, small: everything is measured and checked, nothing is left, no time is judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import wait_until

PATIENCE_S = 60
ROWS = (
    "get_4k_new",
    "get_8m",
    "exist_64",
    "missing_64",
    "get_4_layered",
    "put_1m",
    "put_4_layered",
    "view_8m",
    "first_get",
    "first_put",
)
FREE_OF_MESSAGES = ("get_4k_new", "get_8m", "exist_64", "get_4_layered", "view_8m")


@pytest.fixture
def segments() -> Iterator[Path]:
    """A directory of its own for the segments of a run."""
    with tempfile.TemporaryDirectory(prefix="mmc-test-bench-", dir="/dev/shm") as folder:
        yield Path(folder)


def members_of(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A directory with a short name, since sockets will have theirs in it."""
    with tempfile.TemporaryDirectory(prefix="mmc-") as name:
        yield Path(name)


@pytest.mark.timeout(PATIENCE_S + 30)
def test_a_small_run_measures_checks_and_leaves_nothing(
    segments: Path, temporary: Path, tmp_path: Path
) -> None:
    """Rows of every kind have figures of us and of their floors, reads take no message, and all is ended."""
    file = tmp_path / "found.json"
    words = ("--quick", "--keys", "300", "--rounds", "1", "--no-peers", "--json", str(file))
    with subprocess.Popen(
        [sys.executable, "-m", "mmc.cli", "bench", *words, "--only", ",".join(ROWS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "MMC_LOCAL_SEGMENT_DIR": str(segments), "TMPDIR": str(temporary)},
    ) as process:
        output, complaints = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, complaints
    assert "goals:" in output
    found = json.loads(file.read_text())
    rows = {row["name"]: row for row in found["rows"]}
    assert set(ROWS) == set(rows)
    assert all(row["columns"]["mmc"]["median"] > 0 for row in rows.values())
    assert {"mmc", "memmove", "bare"} == set(rows["put_1m"]["columns"])
    assert all(rows[name]["messages_per_call"] == 0 for name in FREE_OF_MESSAGES)
    assert rows["missing_64"]["messages_per_call"] == 1
    assert len(found["machine"]["load_before"]) == 3
    wait_until(lambda: not members_of(process.pid), "the last process of the run has ended")
    assert [*segments.glob("*.dram"), *temporary.iterdir()] == []


@pytest.mark.timeout(PATIENCE_S + 30)
def test_a_trace_is_replayed_from_the_checkout(tmp_path: Path) -> None:
    """``--trace`` replays its requests end to end, and its JSON goes where it is to go."""
    trace, file = tmp_path / "trace.jsonl", tmp_path / "found.json"
    trace.write_text("".join(json.dumps({"hash_ids": [0, 1, number]}) + "\n" for number in range(2, 12)))
    words = ("bench", "--trace", str(trace), "--dram", "16MB", "--json", str(file))
    command = [sys.executable, "-m", "mmc.cli", *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert ended.returncode == 0, ended.stderr
    found = json.loads(file.read_text())
    assert (found["requests"], found["wrong_bytes"]) == (10, 0)
