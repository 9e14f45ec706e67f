"""What a host can lack, made for a test: full file systems, and the logs of a cluster that meets them."""

from __future__ import annotations

import contextlib
import errno
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

BOXED = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$@"', "sh")
"""In front of a command: its /dev/shm is one of 64 MB, as in a container that asks for nothing."""


def require_box() -> None:
    """Skip the test where a mount namespace cannot be made."""
    tried = subprocess.run([*BOXED, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"no mount namespace can be made here: {tried.stderr.decode().strip()}")


@contextlib.contextmanager
def small_disk(path: Path, size: str) -> Iterator[Path]:
    """A file system of ``size`` of its own at this path; skips the test where none can be mounted."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path)]
    tried = subprocess.run(command, capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"nothing can be mounted here: {tried.stderr.decode().strip()}")
    try:
        yield path
    finally:
        unmount = ["umount", "--lazy", str(path)]
        subprocess.run(unmount, check=True)


def fill(path: Path) -> Path:
    """Leave no byte free on a file system; whoever removes the file makes room again."""
    filler = path / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as reason:
            assert reason.errno == errno.ENOSPC  # noqa: PT017 - any other is not meant
    return filler


class Logs:
    """The logs of a cluster in a directory."""

    def __init__(self, directory: Path) -> None:
        """Nothing is there yet."""
        self.directory = directory

    def settings(self, *more: str) -> str:
        """The path of a settings file that has services log here; ``more`` are its other lines."""
        path = self.directory.parent / f"{self.directory.name}-{abs(hash(more)):x}.toml"
        lines = ("[log]", f'path = "{self.directory}"', *more, "")
        path.write_text("\n".join(lines), encoding="utf-8")
        return str(path)

    def lines(self, service: str, event: str) -> list[str]:
        """What a service has logged of an event."""
        path = self.directory / f"{service}.log"
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        return [line for line in text.splitlines() if f'event="{event}"' in line]
