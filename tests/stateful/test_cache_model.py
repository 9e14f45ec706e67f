"""The cache against a dictionary: embedded, and through real processes."""

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from mmc.client import Client
from mmc.config import load_config, with_local
from mmc.services.embedded import EmbeddedCluster
from tests.integration.processes import Cluster
from tests.stateful.cache_model import CacheModel

_SETTINGS = settings(max_examples=15, stateful_step_count=40)


def _evictions(client: Client) -> int:
    return dict(client.status().counters)["evictions"]


def test_the_embedded_cache_is_a_dictionary_that_evicts() -> None:
    """Two clients in one process see what a dictionary would hold, but for evictions."""
    cluster = EmbeddedCluster(with_local(load_config(), dram="4MB"), 2)
    clients = [Client(cluster.meta_url, context=cluster.context) for _ in range(2)]
    try:
        for client in clients:
            client.wait_for_ranks(2)
        machine = type("Embedded", (CacheModel,), {"clients": tuple(clients)})
        run_state_machine_as_test(machine, settings=_SETTINGS)
        assert _evictions(clients[0]) > 0
    finally:
        for client in clients:
            client.close()
        cluster.stop()


def test_the_cache_of_real_processes_is_a_dictionary_that_evicts() -> None:
    """The same through brokers, meta service and two local services as processes."""
    with Cluster(dram="4MB") as cluster:
        clients = (cluster.client(), cluster.client())
        machine = type("Real", (CacheModel,), {"clients": clients})
        run_state_machine_as_test(machine, settings=_SETTINGS)
        assert _evictions(clients[0]) > 0
