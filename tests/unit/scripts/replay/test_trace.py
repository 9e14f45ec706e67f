"""Reading, measuring and generating traces."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from scripts.replay.trace import Reach, Request, TraceError, generate, reach, read_trace


def write(path: Path, *lines: str) -> Path:
    """A trace file of these lines."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def line(*blocks: int) -> str:
    """A request as recorded traces hold it."""
    return json.dumps({"timestamp": 0, "input_length": 512, "hash_ids": blocks})


def test_requests_are_read_in_order(tmp_path: Path) -> None:
    """Each line's hash_ids are one request; empty lines are none."""
    path = write(tmp_path / "trace", line(0, 1, 2), "", line(), line(2**64 - 1))
    assert read_trace(path) == [[0, 1, 2], [], [2**64 - 1]]


def test_reading_ends_at_the_limit(tmp_path: Path) -> None:
    """Lines beyond the number of requests asked for are not even looked at."""
    path = write(tmp_path / "trace", line(1), line(2), "no JSON")
    assert read_trace(path, 2) == [[1], [2]]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("{", "not JSON"),
        ("[1, 2]", "no list of hash_ids"),
        ("{}", "no list of hash_ids"),
        ('{"hash_ids": "12"}', "no list of hash_ids"),
        ('{"hash_ids": [1, "2"]}', "'2' is no block id"),
        ('{"hash_ids": [true]}', "True is no block id"),
        ('{"hash_ids": [-1]}', "-1 is no block id"),
        ('{"hash_ids": [18446744073709551616]}', "is no block id"),
        ('{"hash_ids": [1.5]}', "1.5 is no block id"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, bad: str, reason: str) -> None:
    """What cannot be replayed is an error that names the line and what is wrong with it."""
    path = write(tmp_path / "trace", line(1), bad)
    with pytest.raises(TraceError, match=reason) as caught:
        read_trace(path)
    assert f"{path}, line 2: " in str(caught.value)


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), (b"\n\n", "no request"), (b"\xff\n", "UTF-8")]
)
def test_a_bad_file_is_named(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """A file that is missing, empty or no text is an error that names it."""
    path = tmp_path / "trace"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TraceError, match=reason) as caught:
        read_trace(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("requests", "expected"),
    [
        ([], Reach(0, 0, 0)),
        ([[1, 2, 3]], Reach(3, 0, 3)),
        ([[1, 2], [1, 2, 3], [1, 2, 3]], Reach(8, 5, 3)),
        ([[1, 2], [3, 2], [2, 1, 9]], Reach(7, 2, 4)),
        ([[1, 1], [1, 1]], Reach(4, 2, 1)),
    ],
)
def test_only_a_leading_run_hits(requests: list[Request], expected: Reach) -> None:
    """A block counts as hit when it and all before it in the request were asked for earlier."""
    assert reach(requests) == expected


def test_the_rate_is_hits_per_block() -> None:
    """The rate relates hits to blocks asked for, and is 0 where nothing was asked."""
    assert reach([[1, 2], [1, 2]]).rate == 0.5
    assert reach([]).rate == 0.0


@pytest.mark.parametrize("seed", range(4))
def test_generated_requests_resemble_recorded_ones(seed: int) -> None:
    """Their length and the reach of an unlimited cache are near those of recorded conversations."""
    requests = generate(2000, seed)
    found = reach(requests)
    assert len(requests) == 2000
    assert 0.33 < found.rate < 0.41
    assert 20 < found.asked / 2000 < 32
    assert max(map(len, requests)) <= 250


def test_generated_requests_depend_on_the_seed_alone() -> None:
    """The same seed gives the same requests, another seed others, and a prefix stays a prefix."""
    assert generate(50, 7) == generate(50, 7)
    assert generate(50, 7) != generate(50, 8)
    assert generate(80, 7)[:50] == generate(50, 7)


def test_a_generated_id_stands_for_its_prefix() -> None:
    """The same block never follows two different blocks, so that equal ids mean equal prefixes."""
    before: dict[int, set[int]] = {}
    for request in generate(500, 3):
        for previous, block in pairwise(request):
            before.setdefault(block, set()).add(previous)
    assert {len(each) for each in before.values()} == {1}
