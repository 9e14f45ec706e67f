"""A disk that fills up under the logs: services go on, and the log says what it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.broken_places import Logs, fill, small_disk
from tests.integration.processes import Cluster, wait_until

if TYPE_CHECKING:
    from pathlib import Path

LOST = "lines before this one were lost"


def test_services_go_on_without_space_for_logs(tmp_path: Path) -> None:
    """Nothing fails meanwhile, and with room again the first line is followed by how many were lost."""
    with small_disk(tmp_path / "disk", "128k") as disk:
        logs = Logs(disk / "logs")
        settings = logs.settings()
        logs.directory.mkdir()
        filler = fill(disk)
        with Cluster(2, config=settings) as cluster:
            client = cluster.client()
            client.put("k", b"x")
            assert client.get("k") == b"x"
            client.remove("k")
            filler.unlink()
            cluster.locals[1].end()
            wait_until(lambda: bool(logs.lines("meta", LOST)), "the log says so")
            assert all(service.process.poll() is None for service in (cluster.locals[0], cluster.meta))
