"""The command line: services, ``mmc status|doctor``, and ``mmc put|get|exists|info|rm|keys|lease``."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line; without its extra, say in one line what to install.

    Nothing here does linear algebra: numpy need not start a thread for each processor, which spin at first.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from mmc.descriptors import open_standard_descriptors  # noqa: PLC0415 - after the environment is set

    open_standard_descriptors()
    try:
        from mmc.cli.commands import app  # noqa: PLC0415 - the extra may be missing
    except ModuleNotFoundError as missing:
        if missing.name not in ("typer", "rich", "click"):
            raise
        sys.stderr.write(
            "mmc: the command line needs an extra: pip install -e '.[cli]', where MemCache was cloned\n"
        )
        sys.exit(1)
    app(prog_name="mmc")
