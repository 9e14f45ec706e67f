"""What is measured: one row for each operation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mmc.bench.columns import BARE, MEMMOVE, SOCKET
from mmc.bench.dataset import Part


class Does(Enum):
    """What a row's calls do."""

    GET_NEW = "get a key that this client never saw"
    GET = "get"
    GET_PIECES = "get into many pieces"
    PUT = "put"
    PUT_PIECES = "put from many pieces"
    EXIST = "exist"
    VIEW = "view"
    ONCE = "measured in a way of its own"


class Unit(Enum):
    """How a row's figures read; all but these of ``ONCE`` rows are seconds of a call."""

    MICROSECONDS = "us"
    GIGABYTES = "GB/s"
    MILLISECONDS = "ms"
    PER_SECOND = "/s"
    PERCENT = "%"
    BYTES = "B"
    TIMES = "x"


@dataclass(frozen=True, slots=True)
class Row:
    """One operation.

    ``count`` objects in one call, ``missing`` of them not there; ``calls`` in a round of the full run, on
    objects of ``part``; ``floors`` are the floors that it is held against.  ``far``: over loopback TCP, by
    a client that cannot open our segments.
    """

    name: str
    title: str
    does: Does
    unit: Unit = Unit.MICROSECONDS
    part: Part = Part.SMALL
    count: int = 1
    calls: int = 1
    missing: int = 0
    floors: tuple[str, ...] = ()
    far: bool = False

    @property
    def bytes_per_call(self) -> int:
        """Payload of one call."""
        return self.part.size * self.count


_COPY = (MEMMOVE,)
_ASK = (BARE,)
_TCP = (SOCKET,)
_G = Unit.GIGABYTES
_S, _M, _L = Part.SMALL, Part.MIDDLE, Part.LARGE

TIMED = (
    Row("get_4k_new", "get 4 KiB, key never seen", Does.GET_NEW, calls=2000, floors=_COPY),
    Row("get_4k_warm", "get 4 KiB, warm", Does.GET, calls=4000, floors=_COPY),
    Row("exist_1", "exist, 1 hit", Does.EXIST, calls=1000, floors=_ASK),
    Row("exist_64", "exist, 64 hits", Does.EXIST, count=64, calls=100, floors=_ASK),
    Row("exist_256", "exist, 256 hits", Does.EXIST, count=256, calls=40, floors=_ASK),
    Row("exist_1000", "exist, 1000 hits", Does.EXIST, count=1000, calls=15, floors=_ASK),
    Row("missing_1", "exist, missing key", Does.EXIST, calls=500, missing=1, floors=_ASK),
    Row("missing_64", "exist, 64 keys, 16 missing", Does.EXIST, count=64, calls=100, missing=16, floors=_ASK),
    Row("get_64k", "get 64 KiB", Does.GET, part=Part.MEDIUM, calls=500, floors=_COPY),
    Row("get_1m", "get 1 MiB", Does.GET, part=_M, calls=100, floors=_COPY),
    Row("get_8m", "get 8.57 MiB", Does.GET, _G, _L, calls=16, floors=_COPY),
    Row("get_16x1m", "get 16 x 1 MiB", Does.GET, _G, _M, count=16, calls=8, floors=_COPY),
    Row("get_pieces", "get 8.57 MiB in 122 pieces", Does.GET_PIECES, _G, _L, calls=16, floors=_COPY),
    Row("get_4_layered", "get 4 objects of 122 pieces", Does.GET_PIECES, _G, _L, 4, 4, floors=_COPY),
    Row("put_4k", "put 4 KiB", Does.PUT, calls=500, floors=_ASK),
    Row("put_64k", "put 64 KiB", Does.PUT, part=Part.MEDIUM, calls=200, floors=(*_COPY, *_ASK)),
    Row("put_1m", "put 1 MiB", Does.PUT, part=_M, calls=64, floors=(*_COPY, *_ASK)),
    Row("put_8m", "put 8.57 MiB", Does.PUT, _G, _L, calls=8, floors=_COPY),
    Row("put_64x4k", "put 64 x 4 KiB", Does.PUT, count=64, calls=30, floors=(*_COPY, *_ASK)),
    Row("put_16x1m", "put 16 x 1 MiB", Does.PUT, _G, _M, count=16, calls=4, floors=_COPY),
    Row("put_4_layered", "put 4 objects of 122 pieces", Does.PUT_PIECES, _G, _L, 4, 2, floors=_COPY),
    Row("view_8m", "view of 8.57 MiB", Does.VIEW, part=_L, calls=1000),
)
"""Rows whose calls are timed one by one, in all stores that can do them, by turns."""

FAR = (
    Row("far_get_1m", "get 1 MiB over TCP", Does.GET, part=_M, calls=64, floors=_TCP, far=True),
    Row("far_get_8m", "get 8.57 MiB over TCP", Does.GET, _G, _L, calls=16, floors=_TCP, far=True),
    Row("far_get_16x1m", "get 16 x 1 MiB over TCP", Does.GET, _G, _M, 16, 8, floors=_TCP, far=True),
    Row("far_put_1m", "put 1 MiB over TCP", Does.PUT, part=_M, calls=64, floors=_TCP, far=True),
    Row("far_put_8m", "put 8.57 MiB over TCP", Does.PUT, _G, _L, calls=8, floors=_TCP, far=True),
    Row("far_put_16x1m", "put 16 x 1 MiB over TCP", Does.PUT, _G, _M, 16, 4, floors=_TCP, far=True),
)
"""The same, between hosts: against a plain socket, and against the peer that goes over TCP."""

FIRST_GET = Row("first_get", "first get of a process / its second", Does.ONCE, Unit.TIMES, _L)
FIRST_PUT = Row("first_put", "first put after populate / later", Does.ONCE, Unit.TIMES, _L)
POPULATE = Row("populate", "populating the pools", Does.ONCE, Unit.MILLISECONDS)
READY = Row("ready", "mmc up until ready", Does.ONCE, Unit.MILLISECONDS)
CONNECT = Row("connect", "connect", Does.ONCE, Unit.MILLISECONDS)
CLOSE = Row("close", "close", Does.ONCE, Unit.MILLISECONDS)
IDLE = Row("idle", "idle cluster, of a core", Does.ONCE, Unit.PERCENT)
META_LOOKUP = Row("meta_lookup", "meta service: keys looked up", Does.ONCE, Unit.PER_SECOND)
META_STORE = Row("meta_store", "meta service: objects stored", Does.ONCE, Unit.PER_SECOND)
META_LOOKUP_CPU = Row("meta_lookup_cpu", "meta service: processor time of a key looked up", Does.ONCE)
META_STORE_CPU = Row("meta_store_cpu", "meta service: processor time of an object stored", Does.ONCE)
META_MISS_CPU = Row("meta_miss_cpu", "meta service: processor time of one missing key", Does.ONCE)
META_SCALE = Row("meta_scale", "meta service: cost with many objects / few", Does.ONCE, Unit.TIMES)
META_BYTES = Row("meta_bytes", "meta service: bytes of an object beyond its key", Does.ONCE, Unit.BYTES)

FIRSTS = (FIRST_GET, FIRST_PUT)
LIFE = (READY, CONNECT, CLOSE, IDLE)
META = (
    META_LOOKUP, META_STORE, META_LOOKUP_CPU, META_STORE_CPU, META_MISS_CPU, META_SCALE, META_BYTES,
)  # fmt: skip
ROWS = (*TIMED, *FAR, *FIRSTS, POPULATE, *META, *LIFE)
"""All rows, in the order in which they are shown."""

BY_NAME = {row.name: row for row in ROWS}
