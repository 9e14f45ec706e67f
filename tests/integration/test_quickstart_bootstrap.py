"""How ``scripts/quickstart`` prepares what it needs, with stand-ins for the interpreter of ``.venv``."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "quickstart"
LIMIT_S = 30.0

# Notes what it is asked to run; $OLD and $BROKEN_PIP make it fail at that.
INTERPRETER = """\
#!/bin/sh
echo "$*" >> "$LOG"
case "$*" in
    --version) echo Python 3.11.7 ;;
    *version_info*) [ -z "$OLD" ] ;;
    *"pip install"*) [ -z "$BROKEN_PIP" ] ;;
esac
"""

# Runs the script as if its interpreter was too old to be used for .venv.
UNUSABLE = "import runpy, sys; sys.executable = '/nowhere'; runpy.run_path(sys.argv[1], run_name='__main__')"


class Checkout:
    """A checkout with the script, a pyproject.toml, and perhaps a ``.venv``."""

    def __init__(self, root: Path) -> None:
        """Without ``.venv``."""
        self.root = root
        self.project = root / "pyproject.toml"
        self.project.write_text("[project]\n")
        self.script = root / "scripts" / "quickstart"
        self.script.parent.mkdir()
        shutil.copy(SCRIPT, self.script)
        self._log = root / "log"

    def make_venv(self) -> None:
        """A ``.venv`` whose interpreter notes what it is asked to run."""
        python = self.root / ".venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(INTERPRETER)
        python.chmod(0o755)

    def run(
        self, *arguments: str, via: tuple[str, ...] = (), **environment: str
    ) -> tuple[int, str, list[str]]:
        """Run the script; returns its status, what it said, and what the interpreter was asked to run."""
        self._log.write_text("")
        ended = subprocess.run(
            [sys.executable, *via, self.script, *arguments],
            env={"PATH": "/nowhere", "LOG": str(self._log), **environment},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        return ended.returncode, ended.stderr, self._log.read_text().splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout with a ``.venv``."""
    made = Checkout(tmp_path)
    made.make_venv()
    return made


def installs(asked: list[str]) -> list[str]:
    """The installations among what was run."""
    return [line for line in asked if "pip install" in line]


def test_it_installs_once_and_becomes_the_replay(checkout: Checkout) -> None:
    """The project is installed before the first replay only, and every argument is handed on."""
    first = checkout.run("--requests", "5")
    second = checkout.run("--json")
    assert first[0] == second[0] == 0
    assert [line.split()[-1] for line in installs(first[2])] == [f"{checkout.root}[cli]"]
    assert first[2][-1] == "-P -m scripts.replay --requests 5"
    assert installs(second[2]) == []
    assert second[2][-1] == "-P -m scripts.replay --json"
    assert second[1] == ""


def test_it_installs_again_when_the_project_changed(checkout: Checkout) -> None:
    """A changed pyproject.toml is installed again."""
    checkout.run()
    checkout.project.write_text("[project]\nname = 'mmc'\n")
    assert len(installs(checkout.run()[2])) == 1


def test_a_failed_installation_is_tried_again(checkout: Checkout) -> None:
    """When the project cannot be installed, nothing is replayed, and the next run tries again."""
    status, said, asked = checkout.run(BROKEN_PIP="1")
    assert status == 3
    assert "could not be installed" in said
    assert "scripts.replay" not in asked[-1]
    assert len(installs(checkout.run()[2])) == 1


def test_what_scripts_test_installed_is_enough(checkout: Checkout) -> None:
    """An environment that scripts/test made for this very project is used as it is."""
    mark = checkout.root / ".venv" / "installed"
    mark.write_text(f"{checkout.root}\nPython 3.11.7\n{checkout.project.read_text()}")
    assert installs(checkout.run()[2]) == []


def test_an_old_environment_is_left_alone(checkout: Checkout) -> None:
    """A .venv of an older Python is neither used nor removed; the sentence says what to do."""
    status, said, _ = checkout.run(OLD="1")
    assert status == 3
    assert "older than Python 3.11" in said
    assert (checkout.root / ".venv" / "bin" / "python").exists()


def test_without_a_python_it_says_so(tmp_path: Path) -> None:
    """Where no interpreter is new enough, one sentence says which is needed."""
    status, said, _ = Checkout(tmp_path).run(via=("-c", UNUSABLE))
    assert status == 3
    assert said == "quickstart: MemCache needs Python 3.11 or later, and none was found on PATH.\n"


def test_older_pythons_can_read_it() -> None:
    """The script is written so that an older Python can still run it, and find a newer one."""
    ast.parse(SCRIPT.read_text(), feature_version=(3, 7))
