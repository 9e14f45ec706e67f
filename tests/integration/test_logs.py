"""Log files and audit log of a running cluster."""

from __future__ import annotations

import re
from pathlib import Path

from mmc.errors import Code
from tests.integration.processes import Cluster, content_of, wait_until

_REMOVED = re.compile(r'timestamp=\S+Z event=removed key="block 7" client=[0-9a-f]{16}')
_ADMITTED = re.compile(r'timestamp=\S+Z event="rank admitted" rank=(\d) epoch=1 segment=[0-9a-f]{16}')


def test_services_log_to_files_and_audit_removals_and_members(tmp_path: Path) -> None:
    """Each process has its log; the audit log names the removed key, and each rank that came and went."""
    logs = tmp_path / "logs"
    settings = tmp_path / "mine.toml"
    settings.write_text(f'[log]\npath = "{logs}"\n', encoding="utf-8")

    def lines(name: str) -> list[str]:
        path = logs / name
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    def audited(line: str) -> bool:
        return any(one.endswith(line) for one in lines("meta-audit.log"))

    with Cluster(config=str(settings)) as cluster:
        client = cluster.client()
        client.put("block 7", content_of("block 7"))
        client.put("block 8", content_of("block 8"))
        assert client.remove_batch(["block 7", "unknown"]) == [Code.OK, Code.NOT_FOUND]
        wait_until(lambda: any(map(_REMOVED.fullmatch, lines("meta-audit.log"))), "the removal is audited")
        ranks = [found[1] for found in map(_ADMITTED.fullmatch, lines("meta-audit.log")) if found]
        assert sorted(ranks) == ["0", "1"]
        cluster.locals[1].end()
        wait_until(lambda: audited('event="rank gone" rank=1 epoch=1 reason=left'), "the end is audited")

    removed = [line for line in lines("meta-audit.log") if "event=removed" in line]
    assert len(removed) == 1
    assert audited('event="new epoch" epoch=1 reason="the service starts"')
    assert any('event="rank gone" service=meta' in line for line in lines("meta.log"))
    assert not any("removed" in line for line in lines("meta.log"))
    for name in ("broker", "meta", "local", "local-1"):
        assert any("event=serving" in line for line in lines(f"{name}.log"))
