"""A broker that dies and comes back costs its users a retry and nothing else."""

from __future__ import annotations

import signal
import threading
import time

from mmc.errors import Code
from tests.integration.processes import Cluster, content_of, wait_until

_TIMEOUT_S = 8.0
_MARGIN_S = 1.0


def test_a_killed_broker_loses_nothing_and_delays_nothing_beyond_its_deadline() -> None:
    """Killed and started again five times under load: all bytes right, no call late, no put lost."""
    with Cluster() as cluster:
        client = cluster.client()
        stop = threading.Event()
        failures: list[str] = []
        done: list[int] = []

        def work(worker: int) -> None:
            number = 0
            while not stop.is_set():
                keys = [f"w{worker}-{number}-{i}" for i in range(4)]
                began = time.monotonic()
                codes = client.put_batch(keys, [content_of(k) for k in keys], timeout=_TIMEOUT_S)
                contents = client.get_batch([*keys, "missing"], timeout=_TIMEOUT_S)
                if time.monotonic() - began > 2 * _TIMEOUT_S + _MARGIN_S:
                    failures.append(f"late: {keys}")
                for key, code, content in zip(keys, codes, contents, strict=False):
                    if content not in (None, content_of(key)):
                        failures.append(f"wrong bytes: {key}")
                    if code == Code.OK and content is None:
                        failures.append(f"acknowledged and lost: {key}")
                    if code != Code.OK:
                        failures.append(f"put {key}: {code!r}")
                number += 1
                done.append(number)

        workers = [threading.Thread(target=work, args=(worker,)) for worker in range(2)]
        for worker in workers:
            worker.start()
        for _ in range(5):
            before = len(done)
            wait_until(lambda before=before: len(done) > before + 4, "work goes on")  # type: ignore[misc] # its default is an int
            cluster.broker.signal(signal.SIGKILL)
            cluster.broker.start()
        before = len(done)
        wait_until(lambda: len(done) > before + 4, "work goes on after the last kill")
        stop.set()
        for worker in workers:
            worker.join(2 * _TIMEOUT_S + _MARGIN_S)
        assert not failures, failures[:5]
