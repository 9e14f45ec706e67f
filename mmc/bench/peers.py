"""The peers that are installed: their servers, started for one run, and who uses them."""

from __future__ import annotations

import os
import shutil
import socket
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mmc.bench.columns import MEMCACHED, MOONCAKE, MOONCAKE_SHM, MOONCAKE_TCP, REDIS
from mmc.bench.contender import Contender
from mmc.bench.desk import Desk
from mmc.bench.processes import Hand, Program
from mmc.bench.stores.contract import Where

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmc.bench.dataset import Dataset
    from mmc.bench.ending import Ending

_READY_S = 20.0
_ASK_S = 120.0
_LOOPBACK = "127.0.0.1"
_MIB = 1 << 20
_ROOM_PERCENT = 140
"""Servers may hold so much of what is stored: more is put meanwhile, and some is lost to their order."""
_SPARE_BYTES = 768 * _MIB


class Need(NamedTuple):
    """What a peer is made of: Python modules, and programs."""

    modules: tuple[str, ...]
    programs: tuple[str, ...] = ()


NEEDS = {
    REDIS: Need(("redis", "hiredis"), ("redis-server",)),
    MEMCACHED: Need(("pymemcache",), ("memcached",)),
    MOONCAKE: Need(("mooncake",)),
    MOONCAKE_TCP: Need(("mooncake",)),
    MOONCAKE_SHM: Need(("mooncake",)),
}


def unpacked() -> Path:
    """Where ``scripts/peers`` unpacks servers."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "mmc-peers"


def find_program(name: str) -> str:
    """Where a program is: on PATH or unpacked; "" when it is nowhere."""
    return shutil.which(name) or shutil.which(name, path=str(unpacked() / "usr" / "bin")) or ""


def missing_parts(column: str) -> list[str]:
    """What a peer lacks on this machine."""
    need = NEEDS[column]
    modules = [f"the Python package of {name}" for name in need.modules if find_spec(name) is None]
    return modules + [name for name in need.programs if not find_program(name)]


def library_path() -> dict[str, str]:
    """The environment in which unpacked libraries are found."""
    folders = [str(path) for part in ("usr/lib", "lib") for path in sorted((unpacked() / part).glob("*-*-*"))]
    if not folders:
        return {}
    return {"LD_LIBRARY_PATH": os.pathsep.join(filter(None, [*folders, os.environ.get("LD_LIBRARY_PATH")]))}


class Peers:
    """Starts peers, and ends what was started for them."""

    def __init__(self, folder: Path, dataset: Dataset, ending: Ending) -> None:
        """``folder`` is for sockets and logs; whatever is started ends with ``ending``."""
        self._folder = folder
        self._dataset = dataset
        self._ending = ending
        self._bytes = _ROOM_PERCENT * dataset.stored_bytes // 100 + _SPARE_BYTES

    def start(self, column: str) -> Contender:
        """Start a peer, and load every object into it.

        Raises:
            BenchError: something of it does not start, or does not take the objects.
        """
        makers: dict[str, Callable[[], Contender]] = {
            REDIS: self._redis,
            MEMCACHED: self._memcached,
            MOONCAKE: self._mooncake,
            MOONCAKE_TCP: self._mooncake_over_tcp,
            MOONCAKE_SHM: self._mooncake_beside,
        }
        return makers[column]()

    def _hand(self, column: str, role: str) -> Hand:
        log = self._folder / f"{column}-{role}.log"
        hand = Hand(f"the {role} of {column}", self._dataset, library_path(), log)
        self._ending.keep(hand)
        return hand

    def _program(self, column: str, *command: str) -> Program:
        program = Program(column, command, library_path(), self._folder / f"{column}.log")
        self._ending.keep(program)
        return program

    def _redis(self) -> Contender:
        path = self._folder / "redis.sock"
        words = ("--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no",
                 "--daemonize", "no", "--logfile", str(self._folder / "redis-server.log"),
                 "--dir", str(self._folder))  # fmt: skip
        server = self._program(REDIS, find_program("redis-server"), *words)
        server.await_(lambda: _answers(path), _READY_S)
        return self._two_hands(REDIS, str(path))

    def _memcached(self) -> Contender:
        path = self._folder / "memcached.sock"
        words = ["-s", str(path), "-m", str(self._bytes // _MIB), "-I", "16m", "-c", "64"]
        if os.geteuid() == 0:
            words += ["-u", "root"]
        server = self._program(MEMCACHED, find_program("memcached"), *words)
        server.await_(lambda: _answers(path), _READY_S)
        return self._two_hands(MEMCACHED, str(path))

    def _two_hands(self, column: str, address: str) -> Contender:
        """A writer that loads, and afterwards a fresh reader."""
        hands = []
        for role in ("writer", "reader"):
            hand = self._hand(column, role)
            hand.ask(_ASK_S, Desk.open, Where(column, address))
            if role == "writer":
                hand.ask(_ASK_S, Desk.load, column)
            hands.append(hand)
        return Contender(column, *hands)

    def _master(self, column: str) -> str:
        port, metrics = _free_port(), _free_port()
        words = (f"--rpc_port={port}", f"--metrics_port={metrics}", "--enable_metric_reporting=false")
        master = self._program(column, _of_mooncake("mooncake_master"), *words)
        master.await_(lambda: _listens(port), _READY_S)
        return f"{_LOOPBACK}:{port}"

    def _mooncake(self) -> Contender:
        """One process that brings the memory, writes and reads."""
        hand = self._hand(MOONCAKE, "process")
        hand.ask(_ASK_S, Desk.open, Where(MOONCAKE, self._master(MOONCAKE), self._bytes))
        hand.ask(_ASK_S, Desk.load, MOONCAKE)
        return Contender(MOONCAKE, hand, hand)

    def _mooncake_over_tcp(self) -> Contender:
        """A process that brings the memory, and another that writes and reads over TCP."""
        column = MOONCAKE_TCP
        address = self._master(column)
        self._hand(column, "holder").ask(_ASK_S, Desk.open, Where(column, address, self._bytes))
        hand = self._hand(column, "reader")
        hand.ask(_ASK_S, Desk.open, Where(column, address))
        hand.ask(_ASK_S, Desk.load, column)
        return Contender(column, hand, hand)

    def _mooncake_beside(self) -> Contender:
        """A client process that holds the objects, and one that shares memory with it, writes and reads."""
        column = MOONCAKE_SHM
        port = _free_port()
        words = (f"--host={_LOOPBACK}", f"--port={port}", f"--global_segment_size={self._bytes // _MIB}MB",
                 f"--master_server_address={self._master(column)}", "--metadata_server=P2PHANDSHAKE",
                 "--protocol=tcp")  # fmt: skip
        client = self._program(column, _of_mooncake("mooncake_client"), *words)
        client.await_(lambda: _listens(port), _READY_S)
        hand = self._hand(column, "process")
        hand.ask(_ASK_S, Desk.open, Where(column, f"{_LOOPBACK}:{port}"))
        hand.ask(_ASK_S, Desk.load, column)
        return Contender(column, hand, hand)


def _of_mooncake(program: str) -> str:
    """A program that the Python package brings."""
    spec = find_spec("mooncake")
    assert spec is not None
    assert spec.submodule_search_locations
    return str(Path(spec.submodule_search_locations[0]) / program)


def _answers(path: Path) -> bool:
    with closing(socket.socket(socket.AF_UNIX)) as tried:
        return tried.connect_ex(str(path)) == 0


def _listens(port: int) -> bool:
    with closing(socket.socket()) as tried:
        return tried.connect_ex((_LOOPBACK, port)) == 0


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind((_LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
