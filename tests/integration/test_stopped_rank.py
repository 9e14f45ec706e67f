"""A local service that stands still: nothing that it has not let go of is used again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mmc.errors import CacheError, Code
from mmc.segments.directory import open_shared
from mmc.segments.extents import all_extents
from mmc.segments.records import generation_of, is_published
from tests.integration.processes import Cluster, content_of, keys_on_rank, wait_until

if TYPE_CHECKING:
    from mmc.client import Client
    from mmc.segments.layout import Segment

_SIZE = 65536


def _segment(client: Client, rank: int) -> Segment:
    member = client._live.actor.members[rank]  # noqa: SLF001 - where the segment lies
    segment = open_shared(member.path, member.segment)
    assert segment is not None
    return segment


def _unreserved(segment: Segment) -> dict[int, tuple[int, bool, bytes]]:
    """Generation, publication and bytes of every record that no client holds."""
    return {
        record: (
            generation_of(segment, record),
            is_published(segment, record),
            segment.memory.read(segment.payload_at + extent.offset, extent.capacity),
        )
        for record, extent in enumerate(all_extents(segment))
        if extent.capacity and not extent.holder
    }


def test_a_stopped_rank_s_blocks_are_not_reused_until_it_continues() -> None:
    """While a rank under pressure stands still its blocks stay as they are; then all puts succeed."""
    with Cluster(ranks=1) as cluster:
        client = cluster.client()
        segment = _segment(client, 0)
        codes: list[Code] = []
        enough = threading.Event()

        def fill() -> None:
            for number in range(600):
                key = f"fill-{number}"
                codes.extend(client.put_batch([key], [content_of(key, _SIZE)], timeout=30))
                if number == 300:  # the pool of 256 has been evicted from
                    enough.set()

        filling = threading.Thread(target=fill)
        filling.start()
        assert enough.wait(30)
        with cluster.locals[0].stopped():
            before = _unreserved(segment)
            assert len(before) > 100
            filling.join(1.5)
            after = _unreserved(segment)
        for record, was in before.items():
            assert after[record] == was, f"record {record} changed while its rank stood still"
        filling.join(60)
        assert codes == [Code.OK] * 600
        assert cluster.rank_counters(client)[0]["evictions"] > 0


def test_a_removal_on_a_stopped_rank_is_undecided_and_then_done() -> None:
    """Remove answers -3004 while the rank stands still, a put finds the key pending; then it is gone."""
    with Cluster() as cluster:
        client = cluster.client()
        keys = [f"k{number}" for number in range(16)]
        assert not any(client.put_batch(keys, [content_of(key) for key in keys]))
        victim = keys_on_rank(client, 0, keys)[0]
        with cluster.locals[0].stopped():
            assert client.remove_batch([victim], timeout=0.5) == [Code.TIMED_OUT]
            pending = client.put_batch([victim], [b"other"], preferred_ranks=[1], timeout=0.3)
            assert pending in ([Code.WRONG_STATE], [Code.NO_SUCH_RANK], [Code.TIMED_OUT])
        wait_until(lambda: not client.exist(victim), "the key is gone")
        client.put(victim, b"other")
        assert client.get(victim) == b"other"


def test_a_removal_on_a_suspect_rank_changes_nothing() -> None:
    """Once the rank is suspect, remove answers -3018 and the object stays."""
    with Cluster() as cluster:
        client = cluster.client()
        client.put("stays", content_of("stays"), preferred_ranks=[0])
        wait_until(lambda: client.query("stays").size > 0, "the put is confirmed")
        with cluster.locals[0].stopped():

            def is_suspect() -> bool:
                try:
                    client.wait_for_ranks(2, timeout=0.1)
                except CacheError:
                    return True
                return False

            wait_until(is_suspect, "the rank is suspect")
            assert client.remove_batch(["stays"], timeout=1) == [Code.NO_SUCH_RANK]
        assert client.get("stays") == content_of("stays")
