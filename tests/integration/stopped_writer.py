"""A writer of :mod:`tests.integration.put_steps` as it is seen from outside: its process and its memory."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

from mmc.segments.directory import open_shared
from mmc.segments.extents import Extent, all_extents
from mmc.segments.layout import CLOCK, RECORD_WORDS
from mmc.segments.records import is_published, key_of
from tests.integration.processes import finish, wait_until
from tests.integration.put_steps import WRITER

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from mmc.client import Client
    from mmc.segments.layout import Segment

OTHER_PIDS = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", '"$@"; exit $?', "sh")
"""Before a command: it runs in a pid namespace of its own, and is not its first process."""


class Held(NamedTuple):
    """A record that a client holds: where its bytes lie, what it says, and the bytes."""

    extent: Extent
    published: bool
    words: tuple[int, ...]
    payload: bytes


def segment_of(client: Client, rank: int) -> Segment:
    """The segment of a rank of this host, mapped by the test itself."""
    member = client.connection.actor.members[rank]
    segment = open_shared(member.path, member.segment)
    assert segment is not None
    return segment


def held_by(segment: Segment, client: int) -> dict[int, Held]:
    """Every record that is reserved by a client, read straight out of the segment."""
    rows = segment.memory.column(segment.holders_word, 1, segment.layout.clients)
    if client not in rows:
        return {}
    holder = rows.index(client) + 1
    held = {}
    for record, extent in enumerate(all_extents(segment)):
        if extent.capacity and extent.holder == holder:
            words = segment.memory.column(segment.record_word(record), 1, RECORD_WORDS)
            words[CLOCK] = 0  # any reader's to write
            payload = segment.memory.read(segment.payload_at + extent.offset, extent.capacity)
            held[record] = Held(extent, is_published(segment, record), tuple(words), payload)
    return held


def payload_of(segment: Segment) -> bytes:
    """All bytes of a segment's payload."""
    return segment.memory.read(segment.payload_at, segment.layout.capacity)


def without(payload: bytes, extents: Sequence[Extent]) -> bytes:
    """A payload with zeros in the place of these extents."""
    rest = bytearray(payload)
    for extent in extents:
        rest[extent.offset : extent.offset + extent.capacity] = bytes(extent.capacity)
    return bytes(rest)


def extents_of_key(segment: Segment, key: str) -> list[Extent]:
    """Where the published replica of a key lies, if there is one."""
    return [
        extent
        for record, extent in enumerate(all_extents(segment))
        if extent.capacity and is_published(segment, record) and key_of(segment, record) == key.encode()
    ]


def last_process(pid: int) -> int:
    """The process at the end of a line of only children, or this one when it has none."""
    while children := Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split():
        pid = int(children[0])
    return pid


def stands_still(pid: int) -> bool:
    """Whether every thread of a process is stopped."""
    tasks = list(Path(f"/proc/{pid}/task").iterdir())
    try:
        states = [(task / "stat").read_text("latin-1").rpartition(")")[2].split()[0] for task in tasks]
    except FileNotFoundError:
        return False  # a thread has just ended
    return bool(states) and set(states) == {"T"}


class StoppedWriter:
    """A writer that stands still at a step of its put, until it is woken, or killed."""

    def __init__(
        self, meta_url: str, step: str, key: str, *, before: Sequence[str] = (), with_child: bool = False
    ) -> None:
        """Starts it; ``before`` is put before its command.

        ``with_child``: a child was forked after the writer connected.
        """
        arguments = [meta_url, step, str(int(signal.SIGSTOP)), key, "child" if with_child else ""]
        self._process = subprocess.Popen(
            [*before, sys.executable, "-c", WRITER, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._step = step
        self._is_direct = not before
        self._has_child = with_child
        self.client = self.child = self.pid = 0

    def wait_for_stop(self) -> None:
        """Wait until it stands still."""
        said = self._line()
        assert said.isdecimal(), said
        self.client = int(said)
        self.child = int(self._line()) if self._has_child else 0
        self.pid = self._process.pid if self._is_direct else last_process(self._process.pid)
        wait_until(lambda: stands_still(self.pid), f"the writer stands still: {self._step}")

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def wake(self) -> int:
        """Let it go on; returns the code of its put."""
        os.kill(self.pid, signal.SIGCONT)
        return int(self._line())

    def kill(self) -> None:
        """Kill it where it stands, and wait until it is gone."""
        os.kill(self.pid, signal.SIGKILL)
        code = self._process.wait(20)
        assert code in (-signal.SIGKILL, 128 + signal.SIGKILL), code

    def end(self) -> str:
        """Tell it, or the child that outlived it, to go on to its end; returns what is said until then."""
        self.child = 0
        return finish(self._process, "go\n")

    def __enter__(self) -> Self:
        """The writer itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing of it stays, whatever happened."""
        if self.child:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.child, signal.SIGKILL)
        self._process.kill()
        with self._process:
            pass
