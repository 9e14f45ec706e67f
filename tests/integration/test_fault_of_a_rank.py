"""A local service that a fault of its own ends leaves its segment to the next, as a killed one does."""

from __future__ import annotations

from pathlib import Path

import pytest

from mmc.config import load_config
from mmc.errors import CacheError
from mmc.services.local_service import LocalServer
from tests.integration.processes import Cluster


class _FaultError(Exception):
    """Something that no service expects."""


def _fail() -> None:
    raise _FaultError


def _serve(cluster: Cluster, *, keep: bool) -> Path:
    """Run a local service that fails once it is live; returns where its segment is, or would be."""
    server = LocalServer(load_config(overrides={"local": {"dram": "16MB"}}), cluster.meta_url, rank=0,
                         keep=keep, pool=cluster.pool)  # fmt: skip
    with pytest.raises(_FaultError):
        server.run(_fail)
    return Path(f"/dev/shm/mmc-{cluster.pool}-0.dram")


def test_a_fault_of_a_rank_costs_no_objects() -> None:
    """Of a service that ends with an exception the segment stays, whether or not it is kept in the end."""
    with Cluster(ranks=0) as cluster:
        for keep in (True, False):
            segment = _serve(cluster, keep=keep)
            assert segment.exists()
            segment.unlink()


def test_a_rank_that_is_refused_leaves_nothing() -> None:
    """Of a service that could not join the segment goes, unless it is to be kept."""
    with Cluster(ranks=1) as cluster:
        server = LocalServer(load_config(overrides={"local": {"dram": "16MB"}}), cluster.meta_url, rank=0,
                             keep=False, pool=f"{cluster.pool}-other")  # fmt: skip
        with pytest.raises(CacheError):
            server.run()
        assert not Path(f"/dev/shm/mmc-{cluster.pool}-other-0.dram").exists()
