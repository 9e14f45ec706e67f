"""Services that are not admitted, and programs that end without a word: nothing stays behind."""

import signal
import subprocess
import sys
from pathlib import Path

from tests.integration.processes import Cluster, wait_until

_MMC = (sys.executable, "-m", "mmc.cli")
_SHM = Path("/dev/shm")


def test_a_rank_that_is_refused_leaves_no_segment() -> None:
    """Nobody comes back for it: it never served, and was to be kept only for its return."""
    with Cluster(1) as cluster:
        ended = subprocess.run(
            [*_MMC, "local", "--meta-url", cluster.meta_url, "--dram", "4MB", "--rank", "2000"],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert ended.returncode == 1
        assert "ranks 0 to 1023" in ended.stderr
        port = cluster.meta_url.rpartition(":")[2]
        assert list(_SHM.glob(f"mmc-*{port}-2000.*")) == []


def test_a_second_meta_service_is_refused() -> None:
    """The broker would give each of them half of the requests; the first has an epoch to itself."""
    with Cluster(1) as cluster, cluster.client() as client:
        client.put("k", b"v")
        options = cluster.meta.options
        second = subprocess.run(
            [*_MMC, "meta", "--backend-url", options.backend_url, "--publish-url", options.publish_url],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert second.returncode == 1
        assert "-3006" in second.stderr
        assert "another meta service" in second.stderr
        assert dict(client.status().counters)["epoch"] == 1
        cluster.meta.signal(signal.SIGKILL)
        cluster.meta.process.wait(10)
        cluster.meta.start()
        wait_until(
            lambda: client.put_batch(["l"], [b"v"], timeout=5)[0] in (0, -3006), "the place is free again"
        )


def test_a_rank_that_hears_nobody_says_so() -> None:
    """It waits for as long as it takes, and names whom it waits for."""
    waiting = subprocess.Popen(
        [*_MMC, "local", "--meta-url", "tcp://127.0.0.1:9", "--dram", "4MB", "--no-keep"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    with waiting:
        assert waiting.stdout is not None
        heard: list[str] = []
        try:
            for line in waiting.stdout:
                heard.append(line)
                if "no answer from the meta service" in line:
                    break
            assert "tcp://127.0.0.1:9" in heard[-1]
        finally:
            waiting.terminate()


def test_an_embedded_store_that_nobody_closed() -> None:
    """The memory goes with the program."""
    script = (
        "import mmc; mmc.embedded('4MB').put('k', b'v');"
        "print(*(line.split()[-1] for line in open('/proc/self/maps') if 'mmc-embedded' in line))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    (path,) = {Path(word) for word in ended.stdout.split()}
    assert path.parent == _SHM
    assert not path.exists()
    assert ended.stderr == ""
