"""What the tests of the existing Python interface share: a cluster, stores on it, memory to copy with."""

from __future__ import annotations

import ast
import contextlib
import ctypes
import itertools
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pytest

from mmc import DistributedObjectStore, LocalConfig, MetaConfig, ReplicateConfig
from tests.integration.processes import Cluster, run_python

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

G2L, H2G = 1, 3
_NAMES = itertools.count()


class Memory:
    """Bytes of the caller's, known by their address."""

    def __init__(self, content: bytes | int) -> None:
        """A copy of ``content``, or so many zeros."""
        self.size = content if isinstance(content, int) else len(content)
        self._array = ctypes.create_string_buffer(self.size)
        if isinstance(content, bytes):
            self._array.raw = content
        self.at = ctypes.addressof(self._array)

    def bytes(self) -> bytes:
        """What they are now."""
        return self._array.raw

    def parts(self, *sizes: int) -> tuple[list[int], list[int]]:
        """Addresses and sizes of pieces that follow one another; the last one is the rest."""
        lengths = [*sizes, self.size - sum(sizes)]
        return [self.at + sum(lengths[:place]) for place in range(len(lengths))], lengths


def _put_layers(
    store: DistributedObjectStore, key: str, value: bytes, how: ReplicateConfig, *, batch: bool
) -> int:
    memory = Memory(value)
    pointers, sizes = memory.parts(memory.size // 3)
    if batch:
        return store.batch_put_from_layers([key], [pointers], [sizes], H2G, how)[0]
    return store.put_from_layers(key, pointers, sizes, H2G, how)


def _put_from(
    store: DistributedObjectStore, key: str, value: bytes, how: ReplicateConfig, *, batch: bool
) -> int:
    memory = Memory(value)
    if batch:
        return store.batch_put_from([key], [memory.at], [memory.size], H2G, how)[0]
    return store.put_from(key, memory.at, memory.size, H2G, how)


PUTS: dict[str, Callable[[DistributedObjectStore, str, bytes, ReplicateConfig], int]] = {
    "put": lambda store, key, value, how: store.put(key, value, how),
    "put_batch": lambda store, key, value, how: store.put_batch([key], [value], how),
    "put_from": lambda store, key, value, how: _put_from(store, key, value, how, batch=False),
    "batch_put_from": lambda store, key, value, how: _put_from(store, key, value, how, batch=True),
    "put_from_layers": lambda store, key, value, how: _put_layers(store, key, value, how, batch=False),
    "batch_put_from_layers": lambda store, key, value, how: _put_layers(store, key, value, how, batch=True),
}
"""Every form of a put."""


def _get(store: DistributedObjectStore, form: str, key: str, target: Memory) -> int:
    """Copy an object of the target's size into it."""
    pointers, sizes = target.parts(target.size // 2)
    match form:
        case "get_into":
            return store.get_into(key, target.at, target.size)
        case "batch_get_into":
            return store.batch_get_into([key], [target.at], [target.size])[0]
        case "get_into_layers":
            return store.get_into_layers(key, pointers, sizes)
        case _:
            return store.batch_get_into_layers([key], [pointers], [sizes])[0]


GETS_INTO = ("get_into", "batch_get_into", "get_into_layers", "batch_get_into_layers")
"""Every form of a get that returns a code."""


def got_into(store: DistributedObjectStore, form: str, key: str, size: int) -> tuple[int, bytes]:
    """The code of a get of this form, and what the memory, zero before it, holds after it."""
    target = Memory(size)
    return _get(store, form, key, target), target.bytes()


def gotten(store: DistributedObjectStore, key: str, size: int) -> set[bytes]:
    """What an object is for every form of get."""
    found = {store.get(key), *store.get_batch([key])}
    for form in GETS_INTO:
        code, content = got_into(store, form, key, size)
        found.add(content if code == 0 else str(code).encode())
    return found


def opened(
    meta_url: str, *, own: bool = False, timeout_s: int = 10, retry_ms: int = 0
) -> DistributedObjectStore:
    """A store on a cluster; ``own`` with a rank of 16 MB of its own."""
    store = DistributedObjectStore()
    config = LocalConfig(
        meta_service_url=meta_url,
        dram_size="16MB",
        hcom_url="tcp://127.0.0.1:0",
        log_level="error",
        client_timeout_seconds=timeout_s,
        client_retry_milliseconds=retry_ms,
    )
    assert store.setup(config) == 0
    assert store.init(0, own) == 0
    return store


def name() -> str:
    """A key that no other test has, of the shape of an engine's."""
    return f"model@rank:0@block:{next(_NAMES):064x}"


_ELSEWHERE = """
import sys
from mmc import *
from tests.conformance.conftest import *
store = opened(sys.argv[1])
for line in sys.stdin:
    print("=", repr(eval(line)), flush=True)
store.close()
"""


class Elsewhere:
    """A store in another process, which evaluates what it is told with the names of this module."""

    def __init__(self, meta_url: str) -> None:
        """Start it."""
        self._process = run_python(_ELSEWHERE, meta_url)

    def __enter__(self) -> Self:
        """The store."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.end()

    def says(self, expression: str) -> object:
        """The value of an expression there; ``store`` is the store."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(expression + "\n")
        self._process.stdin.flush()
        lines = []
        for line in self._process.stdout:
            if line.startswith("= "):
                return ast.literal_eval(line[2:])
            lines.append(line)
        raise AssertionError("".join(lines))

    def end(self) -> None:
        """Close the store there."""
        self._process.communicate(timeout=20)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Services with one rank of 16 MB."""
    with Cluster(ranks=1) as services:
        yield services


@pytest.fixture(scope="module")
def store(cluster: Cluster) -> Iterator[DistributedObjectStore]:
    """A store with a second rank of 16 MB of its own."""
    store = opened(cluster.meta_url, own=True)
    yield store
    assert store.close() == 0


@pytest.fixture(scope="module")
def other(cluster: Cluster) -> Iterator[DistributedObjectStore]:
    """A second store of this process, without memory of its own."""
    second = opened(cluster.meta_url)
    yield second
    assert second.close() == 0


@pytest.fixture(scope="module")
def elsewhere(cluster: Cluster) -> Iterator[Elsewhere]:
    """A store in another process."""
    process = Elsewhere(cluster.meta_url)
    yield process
    process.end()


def children_of(pid: int) -> set[int]:
    """The live children of a process."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.add(int(stat.parent.name))
    return found


def segments_of(pid: int) -> set[Path]:
    """The files in shared memory that a process has mapped."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return {Path(line.split()[5]) for line in lines if "/dev/shm/mmc-" in line and "(deleted)" not in line}


def codes_of_every_call(store: DistributedObjectStore) -> set[int]:
    """The codes of one call of every kind."""
    memory = Memory(5)
    at, size = [memory.at], [5]
    return {
        *(put(store, "k", b"value", ReplicateConfig()) for put in PUTS.values()),
        *(got_into(store, form, "k", 5)[0] for form in GETS_INTO),
        *(store.is_exist("k"), store.remove("k"), store.remove_all()),
        *store.batch_is_exist(["k", "l"]),
        *store.remove_batch(["k", "l"]),
        *store.batch_add_lease(["k"]),
        *store.batch_alloc(["k"], [5]),
        *store.batch_write_finish(["k"], [0]),
        *(store.batch_remove_lease(["k"]), store.batch_copy(at, at, size)),
        *(store.batch_copy_layers(at, [at], [size]), store.evict(["k"]), store.prefetch(["k"])),
        *(store.register_buffer(memory.at, 5), store.unregister_buffer(memory.at, 5)),
    }


def free_port() -> int:
    """A port that nobody has right now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


TLS = "ca_path", "ca_crl_path", "cert_path", "key_path", "key_pass_path", "package_path", "decrypter_path"
LOCAL_DEFAULTS: dict[str, object] = {
    "meta_service_url": "tcp://127.0.0.1:5000", "config_store_url": "tcp://127.0.0.1:6000",
    "log_level": "info", "world_size": 256, "protocol": "host_rdma", "hcom_url": "tcp://127.0.0.1:7000",
    "dram_size": "1GB", "hbm_size": "0", "max_dram_size": "64GB", "max_hbm_size": "0",
    "client_retry_milliseconds": 0, "client_timeout_seconds": 60, "read_thread_pool_size": 32,
    "write_thread_pool_size": 4, "aggregate_io": True, "aggregate_num": 122,
    "tls_enable": False, "config_store_tls_enable": False, "hcom_tls_enable": False,
    **{f"{kind}tls_{one}": "" for kind in ("", "config_store_") for one in TLS},
    **{f"hcom_tls_{one}": "" for one in TLS if one != "package_path"},
}  # fmt: skip
META_DEFAULTS: dict[str, object] = {
    "meta_service_url": "tcp://127.0.0.1:5000", "config_store_url": "tcp://127.0.0.1:6000",
    "metrics_url": "http://127.0.0.1:8000", "ha_enable": False, "log_level": "info",
    "log_path": "/var/log/memcache_hybrid", "log_rotation_file_size": 20, "log_rotation_file_count": 50,
    "evict_threshold_high": 90, "evict_threshold_low": 80, "evict_check_interval_seconds": 5,
    "lease_ttl_ms": 10000, "kv_events_enable": False, "kv_events_endpoint": "",
    "kv_events_hash_as_int": False, "zmq_curve_enable": False, "zmq_public_key": "", "zmq_private_key": "",
    "tls_enable": False, "config_store_tls_enable": False,
    **{f"{kind}tls_{one}": "" for kind in ("", "config_store_") for one in TLS},
}  # fmt: skip
SETTINGS = {
    "meta_service_url": "tcp://10.0.0.1:5001", "log_level": "warn", "local_service.world_size": "16",
    "local_service.protocol": "host_tcp", "local_service.hcom_url": "tcp://10.0.0.1:7001",
    "local_service.dram.size": "2.5G", "local_service.hbm.size": "0", "local_service.max.dram.size": "1TB",
    "local_service.max.hbm.size": "0MB", "local_service.config_store_url": "tcp://10.0.0.1:6001",
    "client.retry_milliseconds": "10", "client.timeout.seconds": "30", "client.read_thread_pool.size": "3",
    "client.write_thread_pool.size": "5", "client.aggregate.io": "false", "client.aggregate.num": "7",
    "evict_threshold_high": "70", "evict_threshold_low": "60", "meta.lease_ttl_ms": "77",
    "meta_service.config_store_url": "tcp://10.0.0.2:6001", "meta_service.metrics_url": "http://10.0.0.1:8001",
    "meta.ha.enable": "false", "log_path": "/tmp/log", "log_rotation_file_size": "5",
    "log_rotation_file_count": "6", "tls.enable": "false",
    **{f"tls.{one.replace('_', '.')}": f"/tls/{one}" for one in TLS},
}  # fmt: skip
"""Every documented key of a file, without the beginning that all share, and a value."""
WRONG_LINES = [
    ("local_service.world_size = 1025", ["1025", "1 to 1024"]),
    ("local_service.world_size = many", ["many", "whole number"]),
    ("local_service.dram.size = 1 potato", ["1 potato", "200MB"]),
    ("local_service.dram.size = 0", ["0", "larger"]),
    ("local_service.dram.size = 65GB", ["65GB", "64GB"]),
    ("local_service.hbm.size = 1GB", ["1GB", "0"]),
    ("local_service.protocol = carrier_pigeon", ["carrier_pigeon", "host_shm"]),
    ("local_service.protocol = device_rdma", ["device_rdma", "device"]),
    ("local_service.hcom_url = somewhere", ["somewhere", "tcp://"]),
    ("client.timeout.seconds = 0", ["0", "1 to 600"]),
    ("client.aggregate.io = maybe", ["maybe", "true or false"]),
    ("log_level = loud", ["loud", "debug, info, warn, error"]),
    ("tls.enable = true", ["true", "TLS"]),
    ("local_service.dram_size = 1GB", ["no setting"]),
    ("meta_service_url = tcp://127.0.0.1:70000", ["70000", "tcp://"]),
]
"""Wrong lines, and what the sentence about each says."""

REPLICATIONS = [
    (ReplicateConfig(0), -3000),
    (ReplicateConfig(9), -3000),
    (ReplicateConfig(3), -3016),
    (ReplicateConfig(8), -3016),
    (ReplicateConfig(1, [77]), -3018),
    (ReplicateConfig(2, [0, 77]), -3018),
    (ReplicateConfig(1, [0, 1]), -3000),
    (ReplicateConfig(1, [-1]), 0),
    (ReplicateConfig(2), 0),
    (ReplicateConfig(1, [1]), 0),
    (ReplicateConfig(2, [1]), 0),
]
"""How an object may be put on a cluster of the ranks 0 and 1, and the code."""


def answers_to_nothing(store: DistributedObjectStore) -> list[Sequence[object]]:
    """What calls say to empty batches."""
    return [
        store.get_batch([]),
        store.batch_put_from([], [], []),
        store.batch_get_into([], [], []),
        store.batch_put_from_layers([], [], []),
        store.batch_get_into_layers([], [], []),
        store.batch_is_exist([]),
        store.remove_batch([]),
        store.batch_get_key_info([]),
        store.batch_add_lease([]),
        store.batch_alloc([], []),
        store.batch_write_finish([], []),
    ]


_NUMBERS = np.arange(24, dtype=np.float32).reshape(4, 6)
ARRAYS: list[npt.NDArray[Any]] = [
    _NUMBERS,
    _NUMBERS[1:3],
    np.arange(5, dtype=np.int64),
    _NUMBERS.astype(np.float16),
    _NUMBERS.astype(">f4"),
    _NUMBERS.astype(np.complex64),
    np.zeros(3, dtype=[("a", "<i4"), ("b", "<f8")]),
    np.array(7, dtype=np.int32),
]
"""Contiguous arrays of elements of every kind."""


NUMPY_CALLS: dict[str, Callable[[Any, str], object]] = {
    "batch_add_lease leaseTtlMs": lambda store, key: store.batch_add_lease([key], np.int64(10)) == [0],
    "batch_alloc sizes": lambda store, _: store.batch_alloc([name()], [np.int64(5)])[0] > 0,
    "batch_alloc array": lambda store, _: store.batch_alloc([name()], np.array([5]))[0] > 0,
    "batch_alloc media": lambda store, _: store.batch_alloc([name()], [5], np.int64(1))[0] > 0,
    "batch_alloc leaseTtlMs": lambda store, _: store.batch_alloc([name()], [5], 1, np.int64(9))[0] > 0,
    "batch_write_finish array": lambda store, _: store.batch_write_finish([name()], np.array([0])) == [-3102],
    "batch_write_finish one": lambda store, _: store.batch_write_finish([name()], np.int64(0)) == [-3102],
    "init": lambda store, _: store.close() == 0 and store.init(np.int64(0), init_bm=False) == 0,
}
"""Calls with integers of numpy's, and whether they were understood."""
IMPOSSIBLE: dict[str, Callable[[Any, str], object]] = {
    "a lease of ages": lambda store, key: store.batch_add_lease([key], 10**30),
    "a lease of half a time": lambda store, key: store.batch_add_lease([key], np.float64(5.5)),
    "an immense size": lambda store, _: store.batch_alloc([name()], [10**30]),
    "space leased for ages": lambda store, _: store.batch_alloc([name()], [5], 1, 10**30),
    "space leased for too long": lambda store, _: store.batch_alloc([name()], [5], 1, 700_000),
    "a list for replicas": lambda store, _: store.put(name(), b"v", [0]),
    "a dictionary for replicas": lambda store, _: store.put(name(), b"v", {}),
    "a generator of keys": lambda store, key: store.batch_is_exist(one for one in [key]),
    "no keys": lambda store, _: store.batch_is_exist(None),
}
"""Calls whose arguments nobody can mean."""
WRONG_METAS = (
    MetaConfig(evict_threshold_high=80, evict_threshold_low=80),
    MetaConfig(lease_ttl_ms=0),
    MetaConfig(metrics_url="127.0.0.1:8000"),
    MetaConfig(log_level="loud"),
)
_BOTH_FROM_FILE: dict[str, object] = {
    "meta_service_url": "tcp://10.0.0.1:5001", "log_level": "warn", "tls_enable": False,
    **{f"tls_{one}": f"/tls/{one}" for one in TLS},
}  # fmt: skip
LOCAL_FROM_FILE = _BOTH_FROM_FILE | {
    "world_size": 16, "protocol": "host_tcp", "hcom_url": "tcp://10.0.0.1:7001", "dram_size": "2.5G",
    "hbm_size": "0", "max_dram_size": "1TB", "max_hbm_size": "0MB", "client_retry_milliseconds": 10,
    "client_timeout_seconds": 30, "read_thread_pool_size": 3, "write_thread_pool_size": 5,
    "aggregate_io": False, "aggregate_num": 7, "config_store_url": "tcp://10.0.0.1:6001",
}  # fmt: skip
META_FROM_FILE = _BOTH_FROM_FILE | {
    "evict_threshold_high": 70, "evict_threshold_low": 60, "lease_ttl_ms": 77, "ha_enable": False,
    "metrics_url": "http://10.0.0.1:8001", "log_path": "/tmp/log", "log_rotation_file_size": 5,
    "log_rotation_file_count": 6, "config_store_url": "tcp://10.0.0.2:6001",
}  # fmt: skip
"""What the settings are that a file of all these lines gives."""
