"""Command lines that can never work, and the printing of outcomes."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from mmc.cli.commands import app
from mmc.cli.terminal import Outcomes, say
from mmc.errors import Code

COMMANDS = (
    "up",
    "broker",
    "meta",
    "local",
    "status",
    "doctor",
    "drain",
    "put",
    "get",
    "exists",
    "info",
    "rm",
    "keys",
    "lease",
    "bench",
)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("put key /nowhere/at/all", "No such file"),
        ("put", "Missing argument"),
        ("drain", "Missing argument"),
        ("drain -1", "-1"),
        ("put key - --rank one", "--rank"),
        ("get key --json", "standard output"),
        ("exists", "Missing argument"),
        ("rm", "name keys"),
        ("rm key --all", "only one"),
        ("rm --all --prefix k", "only one"),
        ("keys --limit -1", "--limit"),
        ("lease key --end --ttl-ms 5", "exclude each other"),
        ("frobnicate", "No such command"),
    ],
)
def test_a_wrong_command_line_is_status_2(line: str, words: str) -> None:
    """What can never work is refused before anything is connected to, on standard error."""
    ended = CliRunner().invoke(app, line.split())
    assert ended.exit_code == 2
    assert words in " ".join(ended.stderr.replace("\u2502", " ").split())
    assert not ended.stdout


@pytest.mark.parametrize("line", ["keys --timeout 0", "doctor --timeout -1", "keys --config /nowhere.toml"])
def test_a_value_that_is_not_allowed_is_a_coded_failure(line: str) -> None:
    """A refused value is a sentence with its code, and status 1."""
    ended = CliRunner().invoke(app, line.split())
    assert ended.exit_code == 1
    assert "(-3000)" in ended.stderr
    assert not ended.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    """Help is there for every command, and says of a lease how long it lasts."""
    ended = CliRunner().invoke(app, [command, "--help"])
    assert ended.exit_code == 0
    assert command in ended.stdout
    if command == "lease":
        assert "though this command exits" in " ".join(ended.stdout.split())


def test_lines_of_any_bytes_are_printed(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """A key that is no UTF-8 is printed as its bytes."""
    say("odd/\udcff")
    assert capfdbinary.readouterr().out == b"odd/\xff\n"


def test_many_failures_are_complained_of_in_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """Of very many failures the first are told and the rest counted; JSON has them all."""
    outcomes = Outcomes(as_json=True)
    for number in range(50):
        outcomes.add(f"key {number}", Code.LEASED)
    with pytest.raises(typer.Exit) as ended:
        outcomes.finish(removed=0)
    assert ended.value.exit_code == 1
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)["results"]) == 50
    assert printed.err.count("\n") == 21
    assert "30 more" in printed.err
