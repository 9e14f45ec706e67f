"""``DistributedObjectStore``: the interface that Python users already have.

Methods return documented codes: 0, or negative; :func:`mmc.last_error` has the sentence.  Batches return one
code per key, and an invalid key or buffer fails alone.  A put of a key that exists answers 0, and the first
value stays.  Pointers are addresses in this process as integers; the memory is the caller's and must stay
until the call returns.  All methods may be called from many threads; none raises but for a wrong type.

Each object has its own state.  In a forked child a store goes on with a connection of its own; it cannot be
pickled.
"""

from __future__ import annotations

import operator
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from mmc.arguments import whole_number
from mmc.errors import Code, InvalidArgument
from mmc.key_info import INTO_POOL, OUT_OF_POOL, Direction, KeyInfo
from mmc.raw_memory import pieces_at
from mmc.settings import ReplicateConfig
from mmc.store_life import StoreLife
from mmc.zeromq.clock import now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.arguments import BufferLike
    from mmc.opened_store import OpenedStore

_MOST_LAYERS = 255
_MOST_BATCH_LAYERS = 8192
T = TypeVar("T")
Key = str | bytes


class DistributedObjectStore(StoreLife):
    """A store: after :meth:`setup` and :meth:`init`, a client, and with ``init_bm`` a rank of its own."""

    # Bytes

    def put(self, key: Key, buf: BufferLike, replicateConfig: ReplicateConfig | None = None) -> int:
        """Store a contiguous buffer of at least one byte.

        Returns:
            0, also where the key exists; -3000, -3004, -3010, -3013, -3016, -3017, -3018, -3101.

        Raises:
            TypeError: ``buf`` is no contiguous buffer.
        """
        return self._code(key, lambda opened: opened.put([key], [buf], replicateConfig))

    def put_batch(
        self,
        keys: Sequence[Key],
        values: Sequence[BufferLike],
        replicateConfig: ReplicateConfig | None = None,
    ) -> int:
        """Store buffers; 0, or the first code, as of :meth:`put`, of one that failed; others are stored."""
        codes = self._codes(keys, lambda opened: opened.put(keys, values, replicateConfig))
        if len(keys) != len(values):
            return int(Code.INVALID_ARGUMENT)
        return next((code for code in codes if code), 0)

    def get(self, key: Key) -> bytes:
        """A copy of an object; ``b""`` where there is none: :func:`mmc.last_error` says why.

        Its code is -3007 missing; -3000 an invalid key; -3004, -3014, -3017 nobody could tell; -3019.
        """
        return self.get_batch([key])[0]

    def get_batch(self, keys: Sequence[Key]) -> list[bytes]:
        """Copies of objects, as :meth:`get`; the error is that of the first that failed."""
        contents: list[bytes | None] = [None] * len(keys)

        def read(opened: OpenedStore) -> Sequence[int]:
            contents[:], codes = opened.get(keys)
            return codes

        self._codes(keys, read)
        return [content or b"" for content in contents]

    # Memory by address

    def put_from(
        self,
        key: Key,
        buffer_ptr: int,
        size: int,
        direct: int = Direction.H2G,
        replicateConfig: ReplicateConfig | None = None,
    ) -> int:
        """Store ``size`` bytes from an address on; codes as :meth:`put`."""
        return self.batch_put_from([key], [buffer_ptr], [size], direct, replicateConfig)[0]

    def get_into(self, key: Key, buffer_ptr: int, size: int, direct: int = Direction.G2H) -> int:
        """Copy an object of exactly ``size`` bytes to an address.

        Returns:
            0; -3007 missing; -3103 the sizes differ, and nothing was written; -3004, -3014, -3017 nobody
            could tell.
        """
        return self.batch_get_into([key], [buffer_ptr], [size], direct)[0]

    def batch_put_from(
        self,
        keys: Sequence[Key],
        buffer_ptrs: Sequence[int],
        sizes: Sequence[int],
        direct: int = Direction.H2G,
        replicateConfig: ReplicateConfig | None = None,
    ) -> list[int]:
        """Store memory: of each key ``sizes[i]`` bytes from ``buffer_ptrs[i]`` on; per key as :meth:`put`."""
        return self.batch_put_from_layers(keys, _each(buffer_ptrs), _each(sizes), direct, replicateConfig)

    def batch_get_into(
        self,
        keys: Sequence[Key],
        buffer_ptrs: Sequence[int],
        sizes: Sequence[int],
        direct: int = Direction.G2H,
    ) -> list[int]:
        """Copy objects to memory; one code per key as :meth:`get_into`.

        Memory whose code is neither 0 nor -3103 may hold anything.
        """
        return self.batch_get_into_layers(keys, _each(buffer_ptrs), _each(sizes), direct)

    def put_from_layers(
        self,
        key: Key,
        buffer_ptrs: Sequence[int],
        sizes: Sequence[int],
        direct: int = Direction.H2G,
        replicateConfig: ReplicateConfig | None = None,
    ) -> int:
        """Store one object gathered from up to 255 pieces of memory; codes as :meth:`put`."""
        return self._put_layers([key], [buffer_ptrs], [sizes], direct, replicateConfig, _MOST_LAYERS)[0]

    def get_into_layers(
        self, key: Key, buffer_ptrs: Sequence[int], sizes: Sequence[int], direct: int = Direction.G2H
    ) -> int:
        """Scatter one object to up to 255 pieces of memory, of its size together; as :meth:`get_into`."""
        return self._get_layers([key], [buffer_ptrs], [sizes], direct, _MOST_LAYERS)[0]

    def batch_put_from_layers(
        self,
        keys: Sequence[Key],
        buffer_ptrs: Sequence[Sequence[int]],
        sizes: Sequence[Sequence[int]],
        direct: int = Direction.H2G,
        replicateConfig: ReplicateConfig | None = None,
    ) -> list[int]:
        """Store objects, each gathered from up to 8192 pieces of memory; per key as :meth:`put`."""
        return self._put_layers(keys, buffer_ptrs, sizes, direct, replicateConfig, _MOST_BATCH_LAYERS)

    def batch_get_into_layers(
        self,
        keys: Sequence[Key],
        buffer_ptrs: Sequence[Sequence[int]],
        sizes: Sequence[Sequence[int]],
        direct: int = Direction.G2H,
    ) -> list[int]:
        """Scatter objects, each to up to 8192 pieces of memory; one code per key as :meth:`get_into`."""
        return self._get_layers(keys, buffer_ptrs, sizes, direct, _MOST_BATCH_LAYERS)

    def _put_layers(
        self,
        keys: Sequence[Key],
        pointers: Sequence[Any],
        sizes: Sequence[Any],
        direct: int,
        replicas: ReplicateConfig | None,
        most: int,
    ) -> list[int]:
        def put(opened: OpenedStore) -> Sequence[int]:
            _check_direction(direct, INTO_POOL)
            values = _all_pieces(keys, pointers, sizes, most, writable=False)
            return opened.put(keys, values, replicas)

        return self._codes(keys, put)

    def _get_layers(
        self, keys: Sequence[Key], pointers: Sequence[Any], sizes: Sequence[Any], direct: int, most: int
    ) -> list[int]:
        def get(opened: OpenedStore) -> Sequence[int]:
            _check_direction(direct, OUT_OF_POOL)
            targets = _all_pieces(keys, pointers, sizes, most, writable=True)
            return opened.client.get_into_batch(keys, targets)

        return self._codes(keys, get)

    # Asking

    def is_exist(self, key: Key) -> int:
        """1 there; 0 not there; -3000 an invalid key; -3004, -3014, -3017 nobody could tell; -3019."""
        return self.batch_is_exist([key])[0]

    def batch_is_exist(self, keys: Sequence[Key]) -> list[int]:
        """As :meth:`is_exist`, per key; refreshes recency and promises nothing."""
        return self._codes(keys, lambda opened: opened.exist(keys))

    def get_key_info(self, key: Key, flag: int = 1) -> KeyInfo:
        """An object's size, ranks, media and addresses; empty where there is none: codes as :meth:`get`.

        ``flag`` 0 leaves the addresses out.
        """
        return self.batch_get_key_info([key], flag)[0]

    def batch_get_key_info(self, keys: Sequence[Key], flag: int = 1) -> list[KeyInfo]:
        """As :meth:`get_key_info`, per key."""
        infos = [KeyInfo() for _ in keys]

        def ask(opened: OpenedStore) -> Sequence[int]:
            if flag not in (0, 1):
                raise InvalidArgument(f"flag must be 0 or 1, not {flag!r}")
            infos[:], codes = opened.query(keys, with_addresses=bool(flag))
            return codes

        self._codes(keys, ask)
        return infos

    # Removing and leasing

    def remove(self, key: Key) -> int:
        """0, and no later get by anyone finds it; -3102 missing; -3104 leased; -3004, -3010, -3017, -3018."""
        return self.remove_batch([key])[0]

    def remove_batch(self, keys: Sequence[Key]) -> list[int]:
        """As :meth:`remove`, per key."""
        return self._codes(keys, lambda opened: opened.remove(keys))

    def remove_all(self) -> int:
        """Remove every object; 0, or the first code of one that stayed (-3104 where it is leased)."""
        return self._code("remove_all", lambda opened: [opened.remove_all()])

    def batch_add_lease(self, keys: Sequence[Key], leaseTtlMs: int = 0) -> list[int]:
        """Have objects neither evicted nor removed for ``leaseTtlMs`` (0: the configured time) from now.

        Returns:
            Per key 0; -3007 missing; -3101 being written, evicted or removed.
        """
        return self._codes(keys, lambda opened: opened.client.lease_batch(keys, leaseTtlMs))

    def batch_remove_lease(self, keys: Sequence[Key]) -> int:
        """End this store's leases early; 0, or the first code of a key that failed (-3007 missing)."""
        codes = self._codes(keys, lambda opened: opened.client.unlease_batch(keys))
        return next((code for code in codes if code), 0)

    # Registered memory

    def register_buffer(self, ptr: int, size: int) -> int:
        """Announce memory that will be copied from or to; its pages are made present.

        Returns:
            0; -3000 null, or it overlaps a registered range; -3005 registered.  Closing lets it go.
        """
        return self._code(ptr, lambda opened: opened.registered(partial(opened.ranges.register, ptr, size)))

    def unregister_buffer(self, ptr: int, size: int) -> int:
        """Let a registered range go; -3000 where exactly this one is not registered."""
        return self._code(ptr, lambda opened: opened.registered(partial(opened.ranges.unregister, ptr, size)))

    # Split writes

    def batch_alloc(
        self, keys: Sequence[Key], sizes: Sequence[int], media: int = 1, leaseTtlMs: int = 0
    ) -> list[int]:
        """Space for objects of these sizes in bytes, invisible until :meth:`batch_write_finish`.

        Args:
            keys: their names, taken from now on.
            sizes: bytes.
            media: 1 DRAM; 0 HBM means DRAM where there is no device.
            leaseTtlMs: from now on for so long, the finished object is neither evicted nor removed; 0: once
                finished it is like any other.

        Returns:
            Per key the address of its bytes, to be written with :meth:`batch_copy` or by the caller, or a
            code: -3006 exists; -3000, -3004, -3013, -3016, -3017, -3018, -3101.
        """

        def allocate(opened: OpenedStore) -> Sequence[int]:
            if media not in (0, 1):
                raise InvalidArgument(f"media = {media!r}: 1 (DRAM) or 0 (HBM); there is no SSD tier")
            ttl_ms = whole_number(leaseTtlMs, "leaseTtlMs", 0, opened.lease_max_ms)
            until = now() + ttl_ms / 1000 if ttl_ms else 0.0
            return opened.writes.allocate(keys, sizes, until)

        return self._codes(keys, allocate)

    def batch_copy(
        self,
        gva_ptrs: Sequence[int],
        buffer_ptrs: Sequence[int],
        sizes: Sequence[int],
        direct: int = Direction.G2L,
        flag: int = 0,
    ) -> int:
        """Copy between addresses of the pool (base + offset) and memory.

        Args:
            gva_ptrs: addresses within what :meth:`batch_alloc` or ``gva_list()`` gave.
            buffer_ptrs: addresses of memory, which stays the caller's.
            sizes: bytes.
            direct: 1 or 2 from the pool, 0 or 3 to it (open writes only).
            flag: reserved, 0.

        Returns:
            0, or the first code of a copy that failed, while the others are made: -3000 no such address;
            -3007 the replica has passed away.
        """
        return self.batch_copy_layers(gva_ptrs, _each(buffer_ptrs), _each(sizes), direct, flag)

    def batch_copy_layers(
        self,
        gva_ptrs: Sequence[int],
        buffer_ptrs: Sequence[Sequence[int]],
        sizes: Sequence[Sequence[int]],
        direct: int = Direction.G2L,
        flag: int = 0,
    ) -> int:
        """As :meth:`batch_copy`, each address with pieces of memory that follow one another there."""

        def copy(opened: OpenedStore) -> Sequence[int]:
            if flag != 0:
                raise InvalidArgument(f"flag is reserved and must be 0, not {flag!r}")
            if direct not in (*INTO_POOL, *OUT_OF_POOL):
                raise InvalidArgument(f"direct = {direct!r}: 0 to 3")
            if not len(gva_ptrs) == len(buffer_ptrs) == len(sizes):
                raise InvalidArgument("lists of different lengths")
            return opened.copy(gva_ptrs, buffer_ptrs, sizes, into_pool=direct in INTO_POOL)

        codes = self._codes(gva_ptrs, copy)
        return next((code for code in codes if code), 0)

    def batch_write_finish(self, keys: Sequence[Key], res: Sequence[int] | int) -> list[int]:
        """End split writes: where ``res`` (for all, or per key) is 0 the object is readable, else gone.

        Returns:
            Per key 0; -3102 not allocated here; -3011 finished before; -3101 being copied to.
        """

        def finish(opened: OpenedStore) -> Sequence[int]:
            results = _for_each(res, len(keys))
            if len(results) != len(keys):
                raise InvalidArgument(f"{len(keys)} keys and {len(results)} results")
            return opened.writes.finish(keys, publish=[result == 0 for result in results])

        return self._codes(keys, finish)

    # Tiers

    def evict(self, keys: Sequence[Key], src_media: int = 1, dst_media: int = 2, flags: int = 0) -> int:
        """-3000: there is no SSD tier to move objects to."""
        return self._no_tier("evict")

    def prefetch(self, keys: Sequence[Key], src_media: int = 2, dst_media: int = 1, flags: int = 0) -> int:
        """-3000: there is no SSD tier to move objects from."""
        return self._no_tier("prefetch")

    def _no_tier(self, call: str) -> int:
        def refuse(_opened: OpenedStore) -> NoReturn:
            raise InvalidArgument(f"{call}: there is no SSD tier yet; objects are in DRAM alone")

        return self._code(call, refuse)


def _for_each(res: Sequence[int] | int, count: int) -> Sequence[int]:
    """One result for each key: as given, or one for all."""
    try:
        return [operator.index(res)] * count  # type: ignore[arg-type] # a list is not one
    except TypeError:
        return res  # type: ignore[return-value] # not one for all


def _each(values: Sequence[T]) -> list[list[T]]:
    return [[value] for value in values]


def _check_direction(direct: int, allowed: tuple[Direction, ...]) -> None:
    if direct not in (*allowed, Direction.AUTO):
        names = ", ".join(f"{one.name} = {int(one)}" for one in (*allowed, Direction.AUTO))
        raise InvalidArgument(f"direct = {direct!r}: one of {names}")


def _all_pieces(
    keys: Sequence[object], pointers: Sequence[Any], sizes: Sequence[Any], most: int, *, writable: bool
) -> list[list[memoryview]]:
    """The pieces of memory of each key; none where they are invalid, which fails that key alone."""
    if not len(keys) == len(pointers) == len(sizes):
        raise InvalidArgument(f"{len(keys)} keys, {len(pointers)} buffers and {len(sizes)} sizes")
    pieces: list[list[memoryview]] = []
    for some, lengths in zip(pointers, sizes, strict=True):
        try:
            pieces.append(pieces_at(some, lengths, most, writable=writable))
        except InvalidArgument:
            pieces.append([])
    return pieces
