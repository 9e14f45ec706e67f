"""One target under libFuzzer: runs as a process of its own, which libFuzzer ends."""

from __future__ import annotations

import sys
from importlib import import_module

import atheris

_INSTRUMENTED = ["mmc", "tests.fuzz"]


def main() -> None:
    """The first argument names the target; the others are libFuzzer's."""
    with atheris.instrument_imports(include=_INSTRUMENTED):
        target = import_module(f"tests.fuzz.{sys.argv[1]}_target")
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
