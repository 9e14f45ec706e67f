"""The wheel, installed into empty environments away from the checkout, on every Python that is present."""

import contextlib
import json
import os
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.processes import READY_S, wait_until

ROOT = Path(__file__).parents[2]
VERSIONS = ("3.11", "3.12", "3.13")
PROGRAM = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATIENCE_S = 300
LIFE = """
import asyncio, ctypes, multiprocessing, os, sys, threading, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads, which is what is tried here
import numpy as np
import mmc
from mmc import DistributedObjectStore, LocalConfig

def opened(url, own_rank):
    store = DistributedObjectStore()
    assert store.setup(LocalConfig(meta_service_url=url, dram_size="8MB", log_level="error")) == 0
    assert store.init(0, own_rank) == 0, mmc.last_error()
    return store

def spawned(url, key):
    store = opened(url, False)
    sys.exit(0 if store.get(key) == b"for the child" else 3)

def main(url):
    store = opened(url, True)
    block, copy = np.arange(100_000, dtype=np.uint8), (ctypes.c_char * 100_000)()
    assert store.put_from("a", block.ctypes.data, block.nbytes, 0) == 0
    assert store.get_into("a", ctypes.addressof(copy), 100_000, 1) == 0
    assert bytes(copy) == block.tobytes()
    results = []
    def work(number):
        results.append((store.put(f"t{number}", b"%d" % number), store.get(f"t{number}")))
    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    [thread.start() for thread in threads], [thread.join() for thread in threads]
    assert sorted(results) == [(0, b"%d" % number) for number in range(8)], results
    assert store.put("child", b"for the child") == 0
    child = os.fork()
    if child == 0:
        os._exit(0 if store.get("child") == b"for the child" and store.put("forked", b"x") == 0 else 3)
    assert os.waitpid(child, 0)[1] == 0
    assert store.get("forked") == b"x"
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=spawned, args=(url, "child"), daemon=True)
    process.start(); process.join(60)
    assert process.exitcode == 0, process.exitcode
    try:
        spawn.Process(target=spawned, args=(store,)).start()
    except TypeError as error:
        assert "in each process" in str(error)
    else:
        raise AssertionError("a store was pickled")
    async def asynchronous():
        async with await mmc.AsyncClient.connect(url) as client:
            return await client.get("child")
    assert asyncio.run(asynchronous()) == b"for the child"
    print("lived")  # and ends without close

if __name__ == "__main__":
    main(sys.argv[1])
"""


def interpreter(version: str) -> str | None:
    """A Python of this version with its venv module: on PATH, or where pyenv keeps them."""
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{version}"), *map(str, sorted(kept.glob(f"{version}.*/bin/python")))]
    probe = f"import ensurepip, sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
    for candidate in candidates:
        if (
            candidate
            and subprocess.run([candidate, "-c", probe], capture_output=True, check=False).returncode == 0
        ):
            return candidate
    return None


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    place = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-qq", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*command, "-w", str(place), str(ROOT)], check=True, timeout=PATIENCE_S)
    (built,) = place.glob("*.whl")
    return built


class Installed:
    """An environment with the wheel, and the command line in it, with segments in a directory of its own."""

    def __init__(self, python: str, wheel: Path, place: Path, segments: str) -> None:
        """Install into an empty environment."""
        self.place = place
        self.variables = os.environ | {"MMC_LOCAL_SEGMENT_DIR": segments}
        self.bin = place / "venv" / "bin"
        subprocess.run([python, "-m", "venv", str(place / "venv")], check=True, timeout=PATIENCE_S)
        self.run("python", "-m", "pip", "install", "-qq", "--disable-pip-version-check", f"{wheel}[cli]")

    def run(self, *command: str, status: int = 0) -> str:
        """What a command prints, run away from the checkout."""
        done = subprocess.run(
            [str(self.bin / command[0]), *command[1:]],
            capture_output=True, text=True, cwd=self.place, env=self.variables,
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    @contextlib.contextmanager
    def up(self) -> Iterator[str]:
        """``mmc up``; gives the URL that it says."""
        command = [str(self.bin / "mmc"), "up", "--meta-url", "tcp://127.0.0.1:0", "--dram", "64MB"]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, cwd=self.place, env=self.variables
        )
        try:
            assert process.stdout is not None
            readable, _, _ = select.select([process.stdout], [], [], READY_S)
            line = process.stdout.readline() if readable else ""
            found = re.search(r"tcp://127\.0\.0\.1:\d+", line)
            assert found, line
            yield found[0]
        finally:
            process.terminate()
            process.communicate(timeout=30)


@pytest.fixture
def segments() -> Iterator[str]:
    """A directory for segments, empty again at the end."""
    with tempfile.TemporaryDirectory(prefix="mmc-wheel-", dir="/dev/shm") as directory:
        yield directory
        wait_until(lambda: not list(Path(directory).iterdir()), "nothing is left of segments and lock files")


@pytest.mark.timeout(PATIENCE_S)
@pytest.mark.parametrize("version", VERSIONS)
def test_the_wheel_is_all_that_a_user_needs(version: str, wheel: Path, tmp_path: Path, segments: str) -> None:
    """Doctor, a cluster, the README's programs, and the life of a process that has a store."""
    python = interpreter(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    installed = Installed(python, wheel, tmp_path, segments)
    assert "config.toml" in installed.run(
        "python", "-c", "from mmc.config import *; print(default_config_path())"
    )
    blocks = PROGRAM.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        refused = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
    assert "-3017" in installed.run("mmc", "status", "--meta-url", refused, "--timeout", "1", status=1)
    with installed.up() as url:
        assert json.loads(installed.run("mmc", "doctor", "--json"))["ok"] is True
        for block in blocks:
            installed.run("python", "-c", block.replace("tcp://127.0.0.1:5000", url))
        assert "live" in installed.run("mmc", "status", "--meta-url", url)
        life = tmp_path / "life.py"
        life.write_text(LIFE, encoding="utf-8")
        assert "lived" in installed.run("python", str(life), url)
