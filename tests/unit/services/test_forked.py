"""A service that is forked from its keeper, which has one thread: pytest may have several."""

import subprocess
import sys

PRELUDE = """
import os, select, signal, subprocess, threading
from pathlib import Path
from mmc.services.forked import ForkedProcess, may_fork
assert may_fork()
"""


def run(story: str) -> None:
    """Run a story in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + story], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_fork_keeps_no_descriptor_of_its_parent() -> None:
    """A pipe of the parent ends when the parent closes it, and what the child was not told ends the child."""
    run("""
reads, writes = os.pipe()
child = ForkedProcess("broker", ())
os.close(writes)
assert select.select([reads], [], [], 30)[0]
assert os.read(reads, 1) == b""
assert child.poll() is None
child.stdin.close()
assert child.wait(30) == 1
assert child.poll() == 1
""")


def test_a_fork_has_signals_and_a_name_of_its_own() -> None:
    """What the parent does when it is told to stop is not done in the child."""
    run("""
signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
child = ForkedProcess("meta", ())
name = Path(f"/proc/{child.pid}/comm")
while name.read_text() != "mmc meta\\n":
    try:
        child.wait(0.01)
    except subprocess.TimeoutExpired:
        pass
    else:
        raise AssertionError("it waits to be told")
assert os.getpgid(child.pid) == child.pid
child.send_signal(signal.SIGTERM)
assert child.wait(30) == -signal.SIGTERM
child.kill()
""")


def test_a_process_with_threads_is_not_forked() -> None:
    """What they hold would be held for ever."""
    run("""
end = threading.Event()
thread = threading.Thread(target=end.wait)
thread.start()
assert not may_fork()
end.set()
thread.join()
while not may_fork():  # the system's thread ends a little after Python's
    pass
""")


def test_nobody_reads_what_is_said() -> None:
    """A line that cannot be written keeps no service from being started, and the next one neither."""
    run("""
import sys
full = os.open("/dev/full", os.O_WRONLY)
os.dup2(full, 2)
sys.stderr = os.fdopen(2, "w", closefd=False)
for _ in range(2):
    sys.stderr.write("a line")
    child = ForkedProcess("broker", ())
    child.stdin.close()
    assert child.wait(30) == 1
sys.stderr = sys.stdout = None
child = ForkedProcess("broker", ())
child.kill()
assert child.wait(30) == -signal.SIGKILL
os._exit(0)
""")


def test_another_has_collected_it() -> None:
    """Where children that end are collected by the system, it is known that they have ended."""
    run("""
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
child = ForkedProcess("broker", ())
child.kill()
assert child.wait(30) == 0
child.kill()
assert child.poll() == 0
""")


def test_nobody_tells_when_it_ends() -> None:
    """Without descriptors, or a system that watches processes, it is looked at now and then."""
    run("""
def refuse(pid):
    raise OSError(38, "not implemented")
os.pidfd_open = refuse
child = ForkedProcess("broker", ())
try:
    child.wait(0.05)
except subprocess.TimeoutExpired:
    child.kill()
assert child.wait(30) == -signal.SIGKILL
""")


def test_what_has_no_name_serves() -> None:
    """A read-only /proc refuses the name, which is for who looks at processes."""
    run("""
write = Path.write_text
def refuse(path, *arguments, **named):
    if path.name == "comm":
        raise OSError(30, "read-only")
    return write(path, *arguments, **named)
Path.write_text = refuse
said, says = os.pipe()
os.dup2(says, 2)
child = ForkedProcess("broker", ())
child.stdin.write(b"nonsense")
child.stdin.close()
assert child.wait(30) == 1
assert b"JSONDecodeError" in os.read(said, 1 << 16)
""")
