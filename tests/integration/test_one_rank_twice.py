"""Two services that claim one rank: the second is refused with a remedy, and the first notices nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mmc.errors import Code
from tests.integration.processes import Cluster, Service, content_of

REFUSALS = {
    "": "is held by a living service: stop that one",
    "another": "is taken by a living service: give another",
}


@pytest.mark.parametrize("pool", REFUSALS)
def test_a_second_service_of_a_rank_is_refused(pool: str) -> None:
    """By the lock of the segment where that is the same, by the meta service where it is not."""
    with Cluster(1) as cluster:
        client = cluster.client()
        client.put("k", content_of("k"))
        options = cluster.locals[0].options
        rival = Service("local", replace(options, pool=options.pool + pool))
        assert rival.process.wait(30) == 1
        assert int(rival.facts["code"]) == Code.EXISTS
        assert REFUSALS[pool] in rival.facts["failure"]
        assert client.get("k") == content_of("k")
        client.put("after", content_of("after"))
