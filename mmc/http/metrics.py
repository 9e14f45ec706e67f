"""The metrics page: counters of the meta service and of every segment, in Prometheus' text format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mmc.actors.meta.traffic import OPERATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mmc.http.facts import Cluster

_SEGMENT_GAUGES = ("capacity_bytes", "used_bytes", "reserved_bytes", "quarantined_bytes", "records",
                   "free_records", "objects")  # fmt: skip

_SEGMENT_COUNTERS = {
    "remote_read_bytes": "bytes of objects that other hosts read",
    "remote_written_bytes": "bytes of objects that other hosts wrote",
    "remote_damaged": "objects from other hosts that arrived with another checksum",
}


class ClusterCollector(Collector):
    """Asks the cluster whenever a monitor does."""

    def __init__(self, cluster: Cluster) -> None:
        """Nothing is kept between pages."""
        self._cluster = cluster

    def collect(self) -> Iterator[Metric]:
        """Every metric, as of now."""
        counters = self._cluster.counters()
        for name in OPERATIONS:
            yield _counter(f"{name}_requests", f"{name} requests", counters[f"{name}_requests"])
            yield _counter(f"{name}_failures", f"{name} requests refused", counters[f"{name}_failures"])
        yield _counter("get_requests", "objects that clients asked for", counters["gets"])
        missed = counters["gets"] - counters["hits"]
        yield _counter("get_failures", "objects that clients asked for in vain", missed)
        yield _counter("evict_operations", "replicas evicted", counters["evictions"])
        yield GaugeMetricFamily("memcache_stored_keys", "keys that exist", counters["objects"])
        yield GaugeMetricFamily("memcache_sessions", "sessions with the meta service", counters["sessions"])
        segments = self._cluster.segments()
        for gauge in _SEGMENT_GAUGES:
            name = f"memcache_segment_{gauge}"
            family = GaugeMetricFamily(name, f"{gauge} of a segment", labels=["segment"])
            for segment, values in segments.items():
                family.add_metric([segment], values.get(gauge, 0))
            yield family
        for name, sentence in _SEGMENT_COUNTERS.items():
            counter = CounterMetricFamily(f"memcache_segment_{name}", sentence, labels=["segment"])
            for segment, values in segments.items():
                counter.add_metric([segment], values.get(name, 0))
            yield counter


def _counter(name: str, sentence: str, value: int) -> Metric:
    return CounterMetricFamily(f"memcache_{name}", sentence, value)


def metrics_page(cluster: Cluster) -> bytes:
    """The page.

    Raises:
        CacheError: -3017, the meta service does not answer.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ClusterCollector(cluster))
    return generate_latest(registry)
