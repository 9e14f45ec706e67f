"""Engines of another user: what they may do follows from the segment's mode, and is said in a sentence."""

import os
from pathlib import Path

import pytest

from tests.integration.processes import Cluster, content_of, finish, run_python

NOBODY = 65534
STRANGER = """
import sys, os, importlib, encodings.idna
import mmc
from mmc.config import load_config
# Whatever is imported late is imported now.
[getattr(mmc, name) for name in mmc.__all__]
load_config(overrides={"client": {"timeout_ms": 5000}})
mmc.embedded(dram="2MB").close()
os.setgroups([]); os.setgid(65534); os.setuid(65534)
client = mmc.Client(sys.argv[1])
def tried(call):
    try:
        return call()
    except mmc.CacheError as error:
        return f"{int(error.code)} {error.sentence}"
print(tried(lambda: len(client.get("k"))))
print(tried(lambda: client.exist("k")))
def view():
    with client.view("k") as memory:
        return len(memory)
print(tried(view))
print(tried(lambda: client.put("mine", b"x" * 100)))
store = mmc.DistributedObjectStore()
config = mmc.LocalConfig(meta_service_url=sys.argv[1], log_level="error")
store.setup(config), store.init(0, False)
print(store.put("other", b"x"), mmc.last_error().sentence)
store.close(); client.close()
"""

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")


def stranger(mode: str, directory: Path) -> list[str]:
    """What an engine of another user prints of a cluster whose segments have this mode."""
    config = directory / "mine.toml"
    config.write_text(f"[local]\nsegment_mode = {mode}\n", encoding="utf-8")
    with Cluster(1, config=str(config)) as cluster:
        cluster.client().put("k", content_of("k"))
        return finish(run_python(STRANGER, cluster.meta_url)).splitlines()


def test_a_segment_that_may_be_read_is_mapped_read_only(tmp_path: Path) -> None:
    """Gets, exists and views work; a put says who, whose, and what to do."""
    lines = [line for line in stranger("0o644", tmp_path) if "timestamp=" not in line]
    assert lines[:3] == ["4096", "True", "4096"]
    for line in lines[3:5]:
        assert line.startswith("-3018")
        assert f"uid {NOBODY} may only read segment /dev/shm/" in line
        assert "of uid 0, mode 0644" in line
        assert "set local.segment_mode" in line


def test_a_segment_that_may_not_be_read_is_a_sentence(tmp_path: Path) -> None:
    """Nothing works, and each refusal says who, whose, and what to do."""
    lines = [line for line in stranger("0o600", tmp_path) if "timestamp=" not in line]
    for line in (lines[0], lines[2], lines[3]):
        assert line.startswith(("-3014", "-3018")), line
        assert f"uid {NOBODY} may not open segment /dev/shm/" in line
        assert "of uid 0, mode 0600" in line


def test_users_who_share_a_segment_share_a_cache(tmp_path: Path) -> None:
    """With a mode that lets both write, an engine of another user puts too, whatever the umask."""
    lines = [line for line in stranger("0o666", tmp_path) if "timestamp=" not in line]
    assert lines[:4] == ["4096", "True", "4096", "None"]
    assert lines[4].startswith("0 ")
