"""What the specification of the C interface names; memory, services and clients for its walk."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import zmq

from mmc import DistributedObjectStore, LocalConfig
from mmc.capi import (
    last_error,
    mmc_buffer,
    mmc_client_config_t,
    mmc_data_info,
    mmc_local_service_config_t,
    mmc_local_service_t,
    mmc_meta_service_config_t,
    mmc_meta_service_t,
    mmc_put_options,
    mmc_set_extern_logger,
    mmc_set_log_level,
    mmcc_init,
    mmcc_put,
    mmcc_query,
    mmcc_uninit,
    mmcs_local_service_start,
    mmcs_local_service_stop,
    mmcs_meta_service_start,
    mmcs_meta_service_stop,
    oneDim,
    tls_config,
    twoDim,
)
from mmc.client import Client
from mmc.services.pool import pool_name
from mmc.wire.codec import Header, decode_body, decode_header, encode
from mmc.wire.replies import Failure
from mmc.wire.requests import Hello
from tests.integration.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mmc.wire.operations import Message

FACTS: dict[str, dict[str, list[Any]]] = tomllib.loads(
    Path(__file__).with_name("specification.toml").read_text(encoding="utf-8")
)
FIELDS = [f"{name}.{field}" for name, fields in FACTS["structures"].items() for field in fields]
CALLS = [name for name in FACTS["functions"] if name.startswith("mmcc_") and not name.endswith("init")]
"""Every call of a client."""
WORLD = 8
_WARN = 2
_PATIENCE_MS = 5000


class Shown:
    """Which test shows the effect of which field."""

    def __init__(self) -> None:
        """No test does."""
        self.tests: dict[str, str] = {}

    def __call__(self, *fields: str) -> Callable[[Any], Any]:
        """Mark a test as one that shows the effect of these fields."""
        for field in fields:
            assert field in FIELDS, field

        def mark(test: Any) -> Any:  # noqa: ANN401 - a test as it is
            self.tests.update(dict.fromkeys(fields, test.__name__))
            return test

        return mark


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

    def buffer(self, offset: int = 0, length: int | None = None) -> mmc_buffer:
        """All of it from ``offset`` on, or ``length`` bytes, as one dimension."""
        return mmc_buffer(self.at, oneDim=oneDim(offset, self.size - offset if length is None else length))

    def rows(self, *dimensions: int) -> mmc_buffer:
        """Rows of it: dpitch, layerOffset, width, layerNum, layerCount."""
        return mmc_buffer(self.at, dimType=1, twoDim=twoDim(*dimensions))


def put(key: str, content: bytes, **options: Any) -> int:  # noqa: ANN401 - fields of mmc_put_options
    """Put bytes through the C interface."""
    memory = Memory(content)
    return mmcc_put(key, memory.buffer(), mmc_put_options(**options), 0)


def free_url() -> str:
    """An address of this host that nothing listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{free.getsockname()[1]}"


def listens(url: str) -> bool:
    """Whether something listens at an address."""
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


class Services:
    """A meta service and local services of 16 MB, started by calls of the C interface in this process."""

    def __init__(self, ranks: int = 2, **meta: Any) -> None:  # noqa: ANN401 - fields of the configuration
        """``meta`` are fields of the meta service's configuration."""
        config = mmc_meta_service_config_t(**{"discoveryURL": free_url(), "logLevel": 3, **meta})
        started = mmcs_meta_service_start(config)
        assert started is not None, last_error()
        self.meta = started
        self.url = started.discoveryURL
        self.locals: list[mmc_local_service_t] = []
        self._killed: set[str] = set()
        for rank in range(ranks):
            assert self.add(rankId=rank) is not None, last_error()

    def config(self, **fields: Any) -> mmc_local_service_config_t:  # noqa: ANN401 - fields of it
        """The configuration of one more local service."""
        usual = {
            "discoveryURL": self.url,
            "bmHcomUrl": "tcp://127.0.0.1:0",
            "worldSize": WORLD,
            "localDRAMSize": "16MB",
            "logLevel": 3,
        }
        return mmc_local_service_config_t(**{**usual, **fields})

    def add(self, **fields: Any) -> mmc_local_service_t | None:  # noqa: ANN401 - fields of its configuration
        """Start one more local service."""
        started = mmcs_local_service_start(self.config(**fields))
        if started is not None:
            self.locals.append(started)
        return started

    @contextlib.contextmanager
    def added(self, **fields: Any) -> Iterator[mmc_local_service_t]:  # noqa: ANN401 - fields of it
        """One more local service for a while."""
        started = self.add(**fields)
        assert started is not None, last_error()
        try:
            yield started
        finally:
            self.locals.remove(started)
            assert mmcs_local_service_stop(started) == 0

    def counters(self, rank: int) -> dict[str, int]:
        """What a rank says of itself in the status; nothing while it is no member."""
        with Client(self.url) as client:
            return dict(dict(client.status().ranks).get(rank, ()))

    def kill(self, handle: mmc_local_service_t) -> None:
        """Kill a local service, which may leave its segment behind."""
        self._killed.add(f"{handle.rankId}")
        os.kill(pids_of(handle)[0], signal.SIGKILL)

    def _segments(self) -> dict[str, Path]:
        """The segments of this cluster by rank."""
        paths = Path("/dev/shm").glob(f"mmc-{pool_name(self.url)}-*.dram")
        return {path.stem.rpartition("-")[2]: path for path in paths}

    def __enter__(self) -> Self:
        """The services themselves."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop everything."""
        for local in self.locals:
            assert mmcs_local_service_stop(local) == 0
        assert mmcs_meta_service_stop(self.meta) == 0
        wait_until(lambda: self._segments().keys() <= self._killed, "the segments are removed")
        for path in self._segments().values():
            path.unlink(missing_ok=True)


def pids_of(handle: mmc_meta_service_t | mmc_local_service_t) -> list[int]:
    """The processes of a service: of a meta service, its broker and then itself."""
    return handle._hosted.pids()  # noqa: SLF001 - which process is to be stopped or killed


@contextlib.contextmanager
def connected(url: str, **fields: Any) -> Iterator[None]:  # noqa: ANN401 - fields of mmc_client_config_t
    """The client of this process for a while; logs are afterwards as they were."""
    try:
        assert mmcc_init(mmc_client_config_t(url, **{"logLevel": _WARN, **fields})) == 0, last_error()
        yield
    finally:
        assert mmcc_uninit() == 0
        quiet()


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process stands still meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def query(key: str) -> mmc_data_info:
    """What is known of an object that is there."""
    info = mmc_data_info()
    assert mmcc_query(key, info, 0) == 0, last_error()
    return info


@contextlib.contextmanager
def opened_store(url: str) -> Iterator[DistributedObjectStore]:
    """A store without memory of its own, for a while."""
    store = DistributedObjectStore()
    assert store.setup(LocalConfig(meta_service_url=url, log_level="error")) == 0
    assert store.init(0, init_bm=False) == 0
    yield store
    assert store.close() == 0


def run_threads(work: Callable[[int], None], meanwhile: Callable[[], object] = int) -> None:
    """Do it in 8 threads; what one of them raises is raised here."""
    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(work, number) for number in range(8)]
        meanwhile()
        for one in running:
            one.result(30)


def quiet() -> None:
    """Log as a process does that has set nothing."""
    assert mmc_set_extern_logger(None) == 0
    assert mmc_set_log_level(_WARN) == 0


class Raw:
    """A DEALER socket that says exactly what it is told to."""

    def __init__(self, url: str) -> None:
        """Connect."""
        self._context = zmq.Context[zmq.Socket[bytes]]()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(url)
        self.session = self.epoch = 0

    def send(self, frames: tuple[bytes, ...]) -> Message:
        """Send frames; returns the answer."""
        self._socket.send_multipart(frames)
        assert self._socket.poll(_PATIENCE_MS), "no answer"
        answer = tuple(self._socket.recv_multipart())
        header = decode_header(answer)
        self.epoch = header.epoch
        return decode_body(header, answer)

    def ask(self, message: Message, sequence: int) -> Message:
        """Send a message under a number; returns the answer."""
        return self.send(encode(Header(0, self.session, sequence, 0, self.epoch, 5000), message))

    def greet(self, oldest: int = 1, newest: int = 1) -> Message:
        """Say hello; remembers the session, if it is welcome."""
        answer = self.ask(Hello(7, 0, oldest, newest, 0), 1)
        self.session = getattr(answer, "session", 0)
        return answer

    def __enter__(self) -> Self:
        """The socket itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self._context.destroy(0)


def code_of(answer: Message) -> int:
    """The code of a refusal."""
    assert isinstance(answer, Failure), answer
    return answer.code


# What is right and what is wrong


def well(name: str, memory: Memory) -> dict[str, Any]:
    """Arguments of a call that are right, by name; ``walk`` is an object of 8 bytes."""
    batch = "keys" in FACTS["functions"][name]
    right = {
        "addr": memory.at,
        "size": memory.size,
        "localServiceId": [7],
        "key": "walk",
        "buf": memory.buffer(),
        "options": mmc_put_options(),
        "flags": 0,
        "info": [mmc_data_info()] if batch else mmc_data_info(),
        "keys": ["walk"],
        "keys_count": 1,
        "remove_results": [7],
        "exist_results": [7],
        "bufs": [memory.buffer()],
    }
    return {parameter: right[parameter] for parameter in FACTS["functions"][name]}


WRONG_NUMBERS = (None, -1, "1", 1 << 64)
WRONG_ARRAYS: tuple[Any, ...] = (None, [], [7, 7], (7,), (ctypes.c_int32 * 2)())
WRONG: dict[str, tuple[Any, ...]] = {
    "addr": (0, *WRONG_NUMBERS),
    "size": (0, *WRONG_NUMBERS),
    "localServiceId": (None, [], [7, 7], 7, "7"),
    "key": (None, 7, "", b"", "k" * 256, b"k" * 256, "\u20ac" * 86, "a\0b", b"a\0b", "\ud800"),
    "buf": (None, 7, *(Memory(8).rows(*wrong) for wrong in ((0,) * 5, (4, 0, 8, 1, 1), (8, 1, 8, 1, 1)))),
    "options": (
        None,
        *(mmc_put_options(mediaType=medium) for medium in (2, 7, -1)),
        *(mmc_put_options(policy=policy) for policy in (1, -1)),
        *(mmc_put_options(replicaNum=count) for count in (0, 9, -1)),
        mmc_put_options(preferredLocalServiceIDs=[0, 1]),
        mmc_put_options(replicaNum=2, preferredLocalServiceIDs=[1, 1]),
    ),
    "flags": (1, None, -1, 1 << 32),
    "info": (None, [], 7),
    "keys": (None, "k", b"k", [], ["walk", "other"]),
    "keys_count": (0, 2, *WRONG_NUMBERS),
    "remove_results": WRONG_ARRAYS,
    "exist_results": WRONG_ARRAYS,
    "bufs": (None, [], [Memory(8).buffer()] * 2, [None]),
}
for _at in (0, 1 << 64, (1 << 64) - 4, -8):
    _buffer = Memory(8).buffer()
    _buffer.addr = _at
    WRONG["buf"] += (_buffer,)

BAD_FIELDS: dict[str, tuple[Any, ...]] = {
    "discoveryURL": (None, 7, "", "127.0.0.1:5000", "udp://127.0.0.1:1", "tcp://127.0.0.1:70000"),
    "logLevel": (-1, 4, None, "1"),
    "tlsConfig": (None, tls_config(tlsEnable=True)),
    "logFunc": (7, "print"),
    "rankId": (-1, 1 << 32, None, "0"),
    "timeOut": (-1, 601, None, "1", 0.5),
    "evictThresholdHigh": (0, 101, 80, None, "90"),
    "evictThresholdLow": (0, -1, 90, None, "80"),
    "deviceId": (-1, None, "0"),
    "worldSize": (0, 1025, None, "8"),
    "bmIpPort": (7, "127.0.0.1"),
    "bmHcomUrl": (None, 7, ""),
    "createId": (-1, None, "1"),
    "dataOpType": (None, "", "tcp", "device_rdma", "device_sdma", "host_urma"),
    "localDRAMSize": (0, -1, "", "many", None),
    "localHBMSize": (1, "1GB", -1, None),
    "flags": (1, None),
}
"""Values that the field of a configuration must refuse."""

STARTS: dict[str, Callable[[Any], Any]] = {
    "mmc_client_config_t": mmcc_init,
    "mmc_meta_service_config_t": mmcs_meta_service_start,
    "mmc_local_service_config_t": mmcs_local_service_start,
}
LOCAL = "mmc_local_service_config_t"
CONFIGURED = [(structure, field) for structure in STARTS for field in FACTS["structures"][structure]]
TLS_FILES = [field for field in FIELDS if field.startswith("tls_config.") and "tlsEnable" not in field]
ROWS = ((10, 2, 4, 3, 6), (12, 2, 4, 3, 5), (10, 0, 4, 3, 6), (10, 2, 5, 3, 6), (10, 2, 4, 2, 6))
"""dpitch, layerOffset, width, layerNum, layerCount."""
