"""The operator's page names every code, every warning and nothing that is not there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from mmc.errors import Code
from mmc.zeromq.sockets import OPEN_TO_NETWORK

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
_METHODS = {"warning": "warning", "insist": "warning", "error": "error"}
_WRITTEN_OUT = re.compile(r'level=(\w+) event="([^"{]+)"')


def section(title: str) -> str:
    """The text below a heading."""
    return PAGE.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def sources() -> list[str]:
    """The text of every module."""
    return [path.read_text("utf-8") for place in ("mmc", "brokers") for path in (ROOT / place).rglob("*.py")]


def events_of(source: str) -> set[tuple[str, str]]:
    """Event and level of the warnings and errors that a module logs."""
    found = {(event, level) for level, event in _WRITTEN_OUT.findall(source)}
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(ast.Attribute(attr=method), [ast.Constant(str(event)), *_]) if method in _METHODS:
                found.add((event, _METHODS[method]))
            case ast.Call(ast.Attribute(attr=method), [ast.Name("OPEN_TO_NETWORK"), *_]) if (
                method in _METHODS
            ):
                found.add((OPEN_TO_NETWORK, _METHODS[method]))
    return found


def test_every_code_has_its_row() -> None:
    """Each code stands there once, with its name, and no other does."""
    rows = re.findall(r"^\| (-?\d+) `(\w+)` \|", section("Codes"), re.MULTILINE)
    assert rows == [(str(int(code)), code.name) for code in Code]


def test_every_warning_has_its_row() -> None:
    """Each event that is logged as warning or error stands there once, with its level, and no other does."""
    rows = re.findall(r"^\| `([^`]+)` \| (\w+) \|", section("Warnings and errors in the logs"), re.MULTILINE)
    logged = {event for source in sources() for event in events_of(source)}
    assert sorted(rows) == sorted(logged)


def test_startup_sentences_are_said() -> None:
    """Each sentence that the page explains is one that a module says."""
    text = "\n".join(sources()) + "address already in use"  # the system's own words
    rows = re.findall(r"^\| `([^`]+)` \| (-\d+) \|", section("Startup"), re.MULTILINE)
    assert rows
    assert [sentence for sentence, _ in rows if sentence not in text] == []
    assert {int(code) for _, code in rows} <= set(map(int, Code))


def test_settings_that_are_named_exist() -> None:
    """Each `section.key` is one of config.toml."""
    shipped = (ROOT / "config.toml").read_text(encoding="utf-8")
    sections = re.findall(r"^\[(\w+)\]", shipped, re.MULTILINE)
    named = re.findall(rf"`((?:{'|'.join(sections)})\.\w+)`", PAGE)
    tables = {name: shipped.split(f"[{name}]\n", 1)[1].split("\n[", 1)[0] for name in sections}
    unknown = [
        name for name in named
        if not re.search(rf"^{name.split('.')[1]} = ", tables[name.split(".")[0]], re.MULTILINE)
    ]  # fmt: skip
    assert named
    assert unknown == []
