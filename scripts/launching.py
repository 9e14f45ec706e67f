"""How a script of this folder becomes a module of its checkout, wherever and with whatever it was started."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

_ROOT = Path(__file__).resolve().parents[1]
_PYTHON = _ROOT / ".venv" / "bin" / "python"


def become(module: str) -> NoReturn:
    """This process is from now on the module with its arguments, under the project's own interpreter."""
    paths = (str(_ROOT), os.environ.get("PYTHONPATH", ""))
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    python = str(_PYTHON) if _PYTHON.exists() else sys.executable
    os.execv(python, [python, "-P", "-m", module, *sys.argv[1:]])  # noqa: S606 - our own module
