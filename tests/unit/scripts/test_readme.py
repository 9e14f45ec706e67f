"""The two READMEs say the same, and what they show runs; the page for newcomers quotes what is said."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mmc import LocalConfig, MetaConfig
from mmc.errors import InvalidArgument
from mmc.settings import check_local, check_meta, without_effect

ROOT = Path(__file__).parents[3]
ENGLISH = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh-CN.md").read_text(encoding="utf-8")
MIGRATION = (ROOT / "docs/migration.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]+)\)")


def blocks(text: str) -> list[tuple[str, str]]:
    """The language and the content of each code block."""
    return BLOCK.findall(text)


def prose(text: str) -> str:
    """What is left without the code blocks."""
    return BLOCK.sub("", text)


def without_comments(text: str) -> list[str]:
    """The lines of code without what stands behind ``#``."""
    return [re.sub(r"\s*#.*", "", line) for line in text.splitlines()]


PYTHON = [content for language, content in blocks(ENGLISH) if language == "python"]
ALONE = [content for content in PYTHON if "tcp://" not in content]


def test_both_show_the_same_code() -> None:
    """Each code block stands in both, in the same order, the same but for its comments."""
    english = [(language, without_comments(content)) for language, content in blocks(ENGLISH)]
    assert english == [(language, without_comments(content)) for language, content in blocks(CHINESE)]


def test_both_have_the_same_parts() -> None:
    """Headings of each depth, entries of lists, rows of tables and links to files are as many in both."""
    for pattern in (r"^## ", r"^### ", r"^- ", r"^\|"):
        counts = [len(re.findall(pattern, prose(text), re.MULTILINE)) for text in (ENGLISH, CHINESE)]
        assert counts[0] == counts[1], pattern
    assert set(LINK.findall(ENGLISH)) - {"README.zh-CN.md"} == set(LINK.findall(CHINESE)) - {"README.md"}


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md", "docs/api.md", "docs/migration.md"])
def test_links_lead_to_files(name: str) -> None:
    """Each link to a file of the project names one that is there."""
    page = ROOT / name
    targets = [one for one in LINK.findall(prose(page.read_text(encoding="utf-8"))) if "://" not in one]
    assert targets
    assert [one for one in targets if not (page.parent / one).exists()] == []


def test_every_python_example_is_python() -> None:
    """Each example compiles as it stands, those that need a cluster too."""
    assert len(PYTHON) > len(ALONE) > 0
    for content in PYTHON:
        compile(content, "README.md", "exec")


@pytest.mark.parametrize("content", ALONE)
def test_examples_without_a_cluster_run_as_pasted(content: str) -> None:
    """An example that names no URL runs in a fresh interpreter and prints what it asked for."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", content],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == "True 65536\n"


REFUSED = (
    LocalConfig(tls_enable=True),
    LocalConfig(hbm_size="1GB"),
    LocalConfig(protocol="device_rdma"),
    LocalConfig(protocol="device_sdma"),
    LocalConfig(protocol="host_urma"),
    MetaConfig(ha_enable=True),
    MetaConfig(kv_events_enable=True),
    MetaConfig(zmq_curve_enable=True),
)


def check(config: LocalConfig | MetaConfig) -> None:
    """Check settings of either kind."""
    if isinstance(config, LocalConfig):
        check_local(config)
    else:
        check_meta(config)


@pytest.mark.parametrize("config", REFUSED, ids=range(len(REFUSED)))
def test_refusals_are_quoted_as_they_are(config: LocalConfig | MetaConfig) -> None:
    """docs/migration.md has the sentence with which a setting is refused that asks for what is not built."""
    with pytest.raises(InvalidArgument) as refusal:
        check(config)
    assert f"| `{refusal.value.sentence}` |" in MIGRATION


def test_settings_without_effect_are_told() -> None:
    """docs/migration.md names each setting that has no effect, with the reason that the log gives."""
    local = LocalConfig(
        read_thread_pool_size=1, write_thread_pool_size=1, aggregate_io=False, aggregate_num=1
    )
    told = without_effect(local) | without_effect(MetaConfig(evict_check_interval_seconds=1))
    assert len(told) == 5
    rows = [line for line in MIGRATION.splitlines() if line.startswith("| ")]
    for setting, reason in told.items():
        assert any(f"`{setting}`" in row and f"no effect: {reason}" in row for row in rows), setting
