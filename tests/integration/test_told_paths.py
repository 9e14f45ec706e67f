"""Paths that members tell: a client makes nothing where it has found no segment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mmc.config import load_config
from mmc.connection import Connection
from mmc.identifiers import Member
from mmc.segments.directory import boot_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def connection() -> Iterator[Connection]:
    """A connection to nobody."""
    connection = Connection("tcp://127.0.0.1:1", load_config(), None)
    yield connection
    connection.close(0.0)


def test_no_lock_file_is_made_beside_what_is_no_segment(connection: Connection, tmp_path: Path) -> None:
    """A member of this host's boot may name any path: nothing is left there, and nothing raises."""
    (tmp_path / "no-segment").write_bytes(bytes(8192))
    paths = (str(tmp_path / "no-segment"), str(tmp_path / "missing"), str(tmp_path), "a\0b", "", "x" * 4096)
    for path in paths:
        told = Member(0, 1, 1, 5, boot_id(), 4096, path, "tcp://127.0.0.1:1")
        assert connection._attach(told) is None  # noqa: SLF001 - what a membership brings about
    assert [entry.name for entry in tmp_path.iterdir()] == ["no-segment"]
