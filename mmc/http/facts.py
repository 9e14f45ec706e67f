"""What the cluster is asked for by HTTP, as plain data."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mmc.actors.client.draining import rank_of_job
from mmc.errors import Code, InvalidArgument, error_for

if TYPE_CHECKING:
    from mmc.actors.client.asking import ObjectInfo
    from mmc.actors.client.draining import DrainStatus
    from mmc.client import Client

Facts = dict[str, object]
_MEDIUM = "dram"


class Cluster:
    """The cluster behind a client."""

    def __init__(self, client: Client) -> None:
        """The client stays its owner's."""
        self.client = client

    def counters(self) -> dict[str, int]:
        """Counters of the meta service."""
        return dict(self.client.status().counters)

    def segments(self) -> dict[str, dict[str, int]]:
        """Counters of each segment, by its name ``rank-<number>-dram``."""
        return {f"rank-{rank}-{_MEDIUM}": dict(pairs) for rank, pairs in self.client.status().ranks}

    def health(self) -> Facts:
        """Whether the meta service answers."""
        counters = self.counters()
        return {
            "status": "ok",
            "role": "active",
            "ha_state": "single",
            "service_ready": True,
            "leader_address": self.client.meta_url,
            "view_version": counters["view"],
        }

    def key(self, key: str) -> Facts:
        """What is known of an object.

        Raises:
            CacheError: -3007, there is none; others: nobody could tell.
        """
        return _row(key, self.client.query(key))

    def listing(self) -> str:
        """Every key, one a line."""
        return "".join(f"{key}\n" for key in iter(self.client.keys()))

    def keys(self, keys: list[str]) -> list[Facts]:
        """As :meth:`key`, with ``valid`` false where there is none."""
        found = self.client.query_batch(keys)
        return [_row(key, info) for key, info in zip(keys, found, strict=True)]

    def segment(self, name: str) -> Facts:
        """Capacity and use of a segment, in bytes.

        Raises:
            InvalidArgument: there is none of that name.
        """
        segments = self.segments()
        if name not in segments:
            raise InvalidArgument(f"there is no segment {name!r}")
        return _segment(name, segments[name])

    def remaining(self) -> list[Facts]:
        """As :meth:`segment`, of every segment."""
        return [_segment(name, counters) for name, counters in self.segments().items()]

    def usage(self) -> Facts:
        """Capacity and use of the whole cluster, in bytes."""
        segments = self.segments().values()
        total = sum(counters.get("capacity_bytes", 0) for counters in segments)
        used = sum(counters.get("used_bytes", 0) for counters in segments)
        return {
            "timestamp": int(time.time()),
            "data_source_ready": bool(segments),
            "degraded": False,
            "npu": _use(0, 0),
            "cpu": _use(total, used),
        }

    def summary(self) -> str:
        """The cluster in one line."""
        counters = self.counters()
        usage = self.usage()["cpu"]
        assert isinstance(usage, dict)
        gets = counters["gets"]
        rate = f"{100 * counters['hits'] / gets:.1f}%" if gets else "none yet"
        return (
            f"keys {counters['objects']} | used {usage['used_bytes']} of {usage['total_bytes']} bytes | "
            f"hit rate {rate} | evictions {counters['evictions']} | sessions {counters['sessions']}"
        )

    def drain(self, segment: str, *, discard: bool) -> Facts:
        """Begin to drain the rank of a segment.

        Raises:
            CacheError: -3000, there is no such segment; -3016, no other rank takes objects.
        """
        if segment not in self.segments():
            raise InvalidArgument(f"there is no segment {segment!r}")
        rank = int(segment.split("-")[1])
        return _drain_job(self.client.drain(rank, discard=discard))

    def drain_job(self, job: str) -> Facts:
        """How a drain is.

        Raises:
            CacheError: -3007, there is no such job.
        """
        return _drain_job(self._known_job(job))

    def cancel_drain(self, job: str) -> Facts:
        """Have its rank take objects again.

        Raises:
            CacheError: -3007, there is no such job.
        """
        return _drain_job(self.client.cancel_drain(self._known_job(job).rank))

    def _known_job(self, job: str) -> DrainStatus:
        rank = rank_of_job(job)
        status = None if rank is None else self.client.drain_status(rank)
        if status is None or status.job != job:
            raise error_for(Code.NOT_FOUND, f"drain job {job!r}")
        return status

    def read(self, key: str) -> bytes:
        """The bytes of an object."""
        return self.client.get(key)

    def write(self, key: str, value: bytes) -> None:
        """Store an object, in the place of one that exists."""
        code = self.client.put_batch([key], [value])[0]
        if code == Code.EXISTS:
            self.client.remove(key)
            code = self.client.put_batch([key], [value])[0]
        if code != Code.OK:
            raise error_for(code, key)

    def remove(self, key: str) -> None:
        """Remove an object."""
        self.client.remove(key)


def _row(key: str, info: ObjectInfo | Code) -> Facts:
    size, leased, ranks = (0, False, ()) if isinstance(info, Code) else (info.size, info.leased, info.ranks)
    return {
        "key": key,
        "size": size,
        "prot": int(leased),
        "numBlobs": len(ranks),
        "valid": bool(ranks),
        "blobs": [{"rank": rank, "medium": _MEDIUM} for rank in ranks],
    }


def _drain_job(status: DrainStatus) -> Facts:
    facts = status._asdict()
    return {
        "success": True,
        "job_id": facts.pop("job"),
        "segment": f"rank-{status.rank}-{_MEDIUM}",
        "status": facts.pop("state"),
        **facts,
    }


def _segment(name: str, counters: dict[str, int]) -> Facts:
    total, used = counters.get("capacity_bytes", 0), counters.get("used_bytes", 0)
    return {
        "segment": name,
        "medium": _MEDIUM,
        "total_bytes": total,
        "used_bytes": used,
        "remaining_bytes": total - used,
        "remaining_ratio": (total - used) / total if total else 0.0,
    }


def _use(total: int, used: int) -> Facts:
    ratio = used / total if total else 0.0
    return {"total_bytes": total, "used_bytes": used, "free_bytes": total - used, "usage_ratio": ratio}
