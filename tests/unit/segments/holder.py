"""A process that holds locks until it is told otherwise, for tests of what the kernel does with them.

Run as ``python -m tests.unit.segments.holder MODE DIRECTORY``.  It says one line for each thing that it
has done, and goes on when it is given a line; it ends when its input does.
"""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from mmc.segments.directory import OwnedSegment, SegmentDirectory, open_shared
from mmc.segments.layout import plan_layout
from mmc.segments.lockfile import ClientLock, HolderWatch

CLIENT = 0xC11E47
SEGMENT = "mmc-7.dram"
IDENTITY = 4711
NOBODY = 65534


def say(line: str) -> None:
    """Tell the test what was done, in one write: parent and child share the pipe."""
    os.write(1, f"{line}\n".encode())


def wait() -> None:
    """Go on when the test says so."""
    sys.stdin.readline()


def hold_lock(directory: Path) -> ClientLock:
    """Live as a client does."""
    return ClientLock(directory, CLIENT, 0o600)


def hold_segment(directory: Path) -> OwnedSegment:
    """Live as a rank does, with a segment that it keeps."""
    layout = plan_layout(65536, 4, 2, 2)
    return SegmentDirectory(str(directory), 0o600).create(SEGMENT, layout, IDENTITY, keep=True)


def fork(in_child: Callable[[], None]) -> None:
    """A forked child that does this, tells its number, and lives until it is killed, or a minute."""
    if os.fork() == 0:
        signal.alarm(60)
        in_child()
        say(f"child {os.getpid()}")
        while True:
            signal.pause()


def run(mode: str, directory: Path) -> None:
    """Do what the mode says."""
    match mode:
        case "lock":
            lock = hold_lock(directory)
            say("held")
            wait()
            lock.release()
            say("released")
        case "lock-and-fork":
            fork(hold_lock(directory).release)
            say("held")
        case "segment-and-fork":
            fork(partial(hold_segment(directory).release, keep=False))
            say("held")
        case "watch-and-fork":
            watch = HolderWatch(directory)
            assert watch.adopt(CLIENT)
            fork(lambda: None)
            say("watching")
            wait()
            assert watch.is_dead(CLIENT)
            watch.forget(CLIENT)
            say("forgotten")
        case "open-as-nobody":
            os.setuid(NOBODY)
            for name in sorted(path.name for path in directory.iterdir()):
                segment = open_shared(str(directory / name), IDENTITY)
                say("none" if segment is None else f"writable {segment.memory.writable}")
    wait()


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]))
