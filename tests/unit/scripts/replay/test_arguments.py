"""The command line of the replay."""

from pathlib import Path

import pytest

from scripts.replay.arguments import parse_arguments


def test_defaults() -> None:
    """Without arguments, conversations are generated, and the pools fit them."""
    arguments = parse_arguments([])
    assert arguments.trace is None
    assert arguments.block_size == 65536
    assert arguments.dram is None
    assert arguments.requests is None
    assert (arguments.seed, arguments.profile, arguments.json) == (0, "", False)


def test_everything_can_be_chosen() -> None:
    """Sizes read as the configuration reads them, numbers as numbers, the trace as a path."""
    arguments = parse_arguments(
        ["--trace=t", "--block-size=1MB", "--dram=2.5GB", "--requests=7", "--seed=3", "--json"]
    )
    assert arguments.trace == Path("t")
    assert arguments.block_size == 1 << 20
    assert arguments.dram == 5 << 29
    assert (arguments.requests, arguments.seed, arguments.json) == (7, 3, True)


@pytest.mark.parametrize(("text", "size"), [("64KiB", 65536), ("64kb", 65536), ("65536", 65536), ("8", 8)])
def test_block_sizes(text: str, size: int) -> None:
    """A block size reads with and without unit."""
    assert parse_arguments(["--block-size", text]).block_size == size


@pytest.mark.parametrize(
    ("option", "value", "reason"),
    [
        ("--block-size", "much", "sizes read like"),
        ("--block-size", "0", "above 0"),
        ("--block-size", "12", "multiple of 8"),
        ("--block-size", "2GB", "at most 1 GiB"),
        ("--dram", "-1GB", "sizes read like"),
        ("--dram", "0", "above 0"),
        ("--requests", "0", "no number above 0"),
        ("--requests", "-3", "no number above 0"),
        ("--requests", "all", "no number above 0"),
        ("--seed", "x", "invalid int"),
        ("--nonsense", "1", "unrecognized arguments"),
    ],
)
def test_senseless_arguments(
    option: str, value: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An argument that makes no sense ends the process with status 2 and says why."""
    with pytest.raises(SystemExit) as ended:
        parse_arguments([f"{option}={value}"])
    assert ended.value.code == 2
    assert reason in capsys.readouterr().err
