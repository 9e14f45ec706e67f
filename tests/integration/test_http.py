"""REST and metrics: a monitor's view of a cluster of real processes."""

import json
import socket
import urllib.request
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from mmc.client import Client
from mmc.services.launch import LaunchOptions
from tests.integration.processes import Cluster, Service, finish, run_python, wait_until

META = """
import signal, sys, threading
import mmc
config = mmc.MetaConfig(meta_service_url=sys.argv[1], metrics_url=sys.argv[2], log_path=sys.argv[3])
config.config_store_url = "tcp://127.0.0.1:0"
assert mmc.MetaService.setup(config) == 0
threading.Thread(target=lambda: (sys.stdin.read(), signal.raise_signal(signal.SIGTERM)), daemon=True).start()
print("ended", mmc.MetaService.main(), flush=True)
"""


class Pages:
    """The HTTP service of a cluster."""

    def __init__(self, url: str, client: Client) -> None:
        self.url = url
        self.client = client

    def text(self, path: str, method: str = "GET", body: bytes | None = None) -> str:
        """A page as text."""
        request = urllib.request.Request(f"{self.url}{path}", body, method=method)  # noqa: S310 - our own
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - our own
            assert answer.status == 200
            content: bytes = answer.read()
            return content.decode()

    def json(self, path: str) -> dict[str, object]:
        """A page as JSON."""
        found: dict[str, object] = json.loads(self.text(path))
        return found


@pytest.fixture(scope="module")
def pages() -> Iterator[Pages]:
    """A cluster of one rank with one object, and its HTTP service."""
    with Cluster(1) as cluster:
        client = cluster.client()
        client.put("one", b"x" * 100)
        http = Service("http", LaunchOptions(meta_url=cluster.meta_url, http_url="http://127.0.0.1:0"))
        try:
            yield Pages(http.facts["http_url"], client)
        finally:
            http.end()


def test_an_object_is_described_and_a_missing_one_refused_with_success_false(pages: Pages) -> None:
    """A refusal is HTTP 200 with the sentence and its code."""
    assert pages.json("/query_key?key=one") == {
        "key": "one",
        "size": 100,
        "prot": 0,
        "numBlobs": 1,
        "valid": True,
        "blobs": [{"rank": 0, "medium": "dram"}],
    }
    refused = pages.json("/query_key?key=none")
    assert refused["success"] is False
    assert "-3007" in str(refused["error_message"])
    assert isinstance(refused["timestamp"], int)
    assert pages.json("/query_key")["success"] is False
    rows = json.loads(pages.text("/batch_query_keys?keys=one,none"))
    assert [(row["key"], row["valid"]) for row in rows] == [("one", True), ("none", False)]


def test_raw_text_is_put_read_and_deleted(pages: Pages) -> None:
    """What is put under /metadata is an object like any other, and a second put takes its place."""
    path = f"/metadata?key={quote('a key/with?signs')}"
    assert pages.text(path, "PUT", b"first") == "ok"
    assert pages.text(path, "PUT", b"second") == "ok"
    assert pages.text(path) == "second"
    assert pages.client.get("a key/with?signs") == b"second"
    assert pages.text(path, "DELETE") == "ok"
    assert json.loads(pages.text(path))["success"] is False


def test_segments_and_capacity_are_those_of_the_ranks(pages: Pages) -> None:
    """Bytes add up: total, used, remaining."""
    assert pages.text("/get_all_segments") == "rank-0-dram\n"
    assert "one" in pages.text("/get_all_keys").split()
    segment = pages.json("/query_segment?segment=rank-0-dram")
    assert segment["total_bytes"] == 16 << 20
    assert int(str(segment["used_bytes"])) + int(str(segment["remaining_bytes"])) == 16 << 20
    assert pages.json("/query_segment?segment=rank-9-dram")["success"] is False
    assert json.loads(pages.text("/api/v1/capacity/usage"))["cpu"]["total_bytes"] == 16 << 20
    assert json.loads(pages.text("/api/v1/capacity/segment_remaining"))[0]["segment"] == "rank-0-dram"
    assert pages.json("/health")["status"] == "ok"
    assert "keys" in pages.text("/metrics/summary")


def test_metrics_count_what_was_asked(pages: Pages) -> None:
    """The page is Prometheus' text, and a removal shows in it."""

    def value(name: str) -> float:
        lines = pages.text("/metrics").splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith(name)))

    before = value("memcache_remove_requests_total")
    pages.client.put("gone", b"x")
    pages.client.remove("gone")
    assert value("memcache_remove_requests_total") == before + 1
    assert value("memcache_stored_keys") >= 1
    assert value('memcache_segment_capacity_bytes{segment="rank-0-dram"}') == 16 << 20


def test_a_busy_metrics_port_is_one_warning_and_no_failure() -> None:
    """A meta service whose metrics port or log directory cannot be used serves all the same."""
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as free:
        url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        metrics = f"http://127.0.0.1:{taken.getsockname()[1]}"
        free.close()
        meta = run_python(META, url, metrics, "/proc/none")
        client = Client(url)
        assert client.status().ranks == ()
        client.close()
        assert meta.stdout is not None
        output = ""
        while "no HTTP" not in output:
            line = meta.stdout.readline()
            assert line, output
            output += line
        output += finish(meta)
    warnings = [line for line in output.splitlines() if "level=warning" in line]
    assert len([line for line in warnings if f"metrics_url {metrics}" in line]) == 1, output
    assert len([line for line in warnings if "log.path" in line]) == 1, output
    assert "ended 0" in output


def test_drain_jobs_are_begun_queried_and_cancelled() -> None:
    """A job has a name, by which it is asked for; what is wrong with one is a refusal with a sentence."""
    with Cluster(2) as cluster:
        client = cluster.client()
        http = Service("http", LaunchOptions(meta_url=cluster.meta_url, http_url="http://127.0.0.1:0"))
        try:
            pages = Pages(http.facts["http_url"], client)
            jobs = "/api/v1/drain_jobs"
            for path, body in (
                (jobs, b'{"segment": "rank-7-dram"}'),
                (jobs, b"no json"),
                (jobs, b"[]"),
                (jobs, b"{}"),
                (f"{jobs}/cancel?job_id=1-{0:016x}", b""),
            ):
                assert json.loads(pages.text(path, "POST", body))["success"] is False
            began = json.loads(pages.text(jobs, "POST", b'{"segment": "rank-1-dram"}'))
            assert began["success"] is True
            query = f"{jobs}/query?job_id={began['job_id']}"
            wait_until(lambda: pages.json(query)["status"] == "drained", "it is drained")
            cancelled = json.loads(pages.text(f"{jobs}/cancel?job_id={began['job_id']}", "POST", b""))
            assert cancelled["status"] == "cancelled"
        finally:
            http.end()
