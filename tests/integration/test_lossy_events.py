"""Events may be lost: commands are repeated until acknowledged, and gaps are noticed."""

from __future__ import annotations

import contextlib
import threading

import zmq

from tests.integration.processes import Cluster, content_of, wait_until

_SIZE = 65536


class LossyHub:
    """Passes events on from the real broker, all but every third."""

    def __init__(self) -> None:
        """Bind where subscribers connect; nothing passes until :meth:`listen_to`."""
        self._context = zmq.Context[zmq.Socket[bytes]]()
        self._out = self._context.socket(zmq.PUB)
        self._in = self._context.socket(zmq.SUB)
        port = self._out.bind_to_random_port("tcp://127.0.0.1")
        self.url = f"tcp://127.0.0.1:{port}"
        self.passed = self.dropped = 0
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def listen_to(self, url: str) -> None:
        """Begin to pass events on."""
        self._in.setsockopt(zmq.SUBSCRIBE, b"")
        self._in.connect(url)
        self._thread.start()

    def _carry(self) -> None:
        try:
            while True:
                frames = self._in.recv_multipart()
                if (self.passed + self.dropped) % 3 == 2:
                    self.dropped += 1
                else:
                    self.passed += 1
                    self._out.send_multipart(frames)
        except zmq.ContextTerminated:
            self._in.close(0)
            self._out.close(0)

    def close(self) -> None:
        """End the thread."""
        self._context.term()
        self._thread.join()


def test_every_third_event_lost_all_converges() -> None:
    """With every third event dropped all puts under eviction succeed and all removals end."""
    with contextlib.closing(LossyHub()) as hub, Cluster(events_url=hub.url) as cluster:
        hub.listen_to(cluster.events_url)
        client = cluster.client()
        keys = [f"fill-{number}" for number in range(800)]
        for start in range(0, len(keys), 50):
            part = keys[start : start + 50]
            assert not any(client.put_batch(part, [content_of(key, _SIZE) for key in part]))
        contents = dict(zip(keys, client.get_batch(keys), strict=True))
        found = {key: content for key, content in contents.items() if content is not None}
        assert 0 < len(found) < len(keys)
        assert all(content == content_of(key, _SIZE) for key, content in found.items())
        codes = client.remove_batch(list(found), timeout=20)
        assert set(map(int, codes)) <= {0, -3007}

        def all_is_free() -> bool:
            counters = cluster.rank_counters(client).values()
            return all(rank["free_records"] == rank["records"] for rank in counters)

        wait_until(all_is_free, "all space returns", 60)
        assert hub.dropped > 0
        assert sum(rank["event_gaps"] for rank in cluster.rank_counters(client).values()) > 0
