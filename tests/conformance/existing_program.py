"""An engine's connector, as it was written for the existing package: it knows nothing else of the cache."""

from memcache_hybrid import DistributedObjectStore, LocalConfig, ReplicateConfig  # type: ignore[import-not-found]

# isort: split
import ctypes
import hashlib
import sys
import threading
from collections.abc import Iterator
from enum import Enum

import numpy as np
import numpy.typing as npt

LAYERS, BLOCKS, TOKENS, WIDTH = 8, 24, 16, 64
INFO_BYTES = 4096
ARENA_BYTES = 8 << 20
LEASE_MS = 5000


class MmcDirect(Enum):
    """Directions by number, as engines write them down for themselves."""

    COPY_L2G = 0
    COPY_G2L = 1


class Pool:
    """The paged KV cache of one rank: per layer an array of blocks for keys and one for values."""

    def __init__(self) -> None:
        shape = (BLOCKS, TOKENS, WIDTH)
        self.keys = [np.zeros(shape, np.float16) for _ in range(LAYERS)]
        self.values = [np.zeros(shape, np.float16) for _ in range(LAYERS)]

    def arrays(self) -> Iterator[npt.NDArray[np.float16]]:
        """Every array, layer by layer."""
        for pair in zip(self.keys, self.values, strict=True):
            yield from pair

    def fill(self) -> None:
        """Other numbers in every block."""
        for number, array in enumerate(self.arrays()):
            array[:] = np.random.default_rng(number).random(array.shape)

    def place_of(self, block: int) -> tuple[list[int], list[int]]:
        """Addresses and sizes of one block, layer by layer."""
        addresses = [array.ctypes.data + block * array.strides[0] for array in self.arrays()]
        sizes = [array[block].nbytes for array in self.arrays()]
        return addresses, sizes


class Connector:
    """What the engine calls."""

    def __init__(self, meta_url: str, device: int, dram: str) -> None:
        config = LocalConfig()
        config.meta_service_url = meta_url
        config.dram_size = dram
        config.protocol = "host_shm"
        config.hcom_url = "tcp://127.0.0.1:0"
        config.log_level = "error"
        self.store = DistributedObjectStore()
        if self.store.get_local_service_id() != 4294967295:
            raise RuntimeError("an id before init")
        if self.store.setup(config) != 0 or self.store.init(device) != 0:
            raise RuntimeError("the store cannot be opened")
        self.rank = self.store.get_local_service_id()

    def register(self, pool: Pool) -> None:
        """Announce every array."""
        for array in pool.arrays():
            check(self.store.register_buffer(array.ctypes.data, array.nbytes) == 0, "register_buffer")

    def exists(self, keys: list[str]) -> list[bool]:
        """Which of the blocks are cached."""
        return [code == 1 for code in self.store.batch_is_exist(keys)]

    def save(self, keys: list[str], pool: Pool, blocks: list[int]) -> list[int]:
        """Offload blocks."""
        places = [pool.place_of(block) for block in blocks]
        how = ReplicateConfig()
        how.replicaNum = 1
        how.preferredLocalServiceIDs = [self.rank]
        codes: list[int] = self.store.batch_put_from_layers(
            keys, [at for at, _ in places], [size for _, size in places], MmcDirect.COPY_L2G.value, how
        )
        return codes

    def load(self, keys: list[str], pool: Pool, blocks: list[int]) -> list[int]:
        """Bring blocks back."""
        places = [pool.place_of(block) for block in blocks]
        codes: list[int] = self.store.batch_get_into_layers(
            keys, [at for at, _ in places], [size for _, size in places], MmcDirect.COPY_G2L.value
        )
        return codes


def check(holds: bool, what: str) -> None:
    """Stop the program where something is wrong."""
    if not holds:
        raise SystemExit(f"wrong: {what}")


def key_of(block: int) -> str:
    """The key that an engine makes of a block's tokens."""
    digest = hashlib.sha256(b"tokens of block %d" % block).hexdigest()
    return f"model/DeepSeek-V3@pcp:0@dcp:0@head_or_tp_rank:0@pp_rank:0@{digest}"


def whole_blocks(first: Connector, second: Connector) -> None:
    """One connector offloads every block, in batches from several threads; the other brings them back."""
    source, target = Pool(), Pool()
    source.fill()
    first.register(source)
    second.register(target)
    keys = [key_of(block) for block in range(BLOCKS)]
    check(not any(first.exists(keys)), "nothing is there at the beginning")

    def save(blocks: list[int]) -> None:
        codes = first.save([keys[block] for block in blocks], source, blocks)
        failures.extend(code for code in codes if code != 0)

    failures: list[int] = []
    threads = [threading.Thread(target=save, args=(list(range(at, BLOCKS, 3)),)) for at in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(not failures, f"batch_put_from_layers: {failures}")
    check(all(second.exists(keys)), "all is there")
    check(second.exists([key_of(BLOCKS), keys[0]]) == [False, True], "batch_is_exist")

    elsewhere = list(reversed(range(BLOCKS)))
    check(second.load(keys, target, elsewhere) == [0] * BLOCKS, "batch_get_into_layers")
    for a, b in zip(source.arrays(), target.arrays(), strict=True):
        check(np.array_equal(a, b[::-1]), "the bytes of every block")
    check(second.load([key_of(BLOCKS), keys[0]], target, [0, 1]) == [-3007, 0], "a miss among hits")
    check(first.save(keys[:2], target, [0, 1]) == [0, 0], "a put of what exists")
    check(second.store.remove_batch([*keys, key_of(BLOCKS)]) == [0] * BLOCKS + [-3102], "remove_batch")
    check(not any(first.exists(keys)), "nothing is there at the end")


def single_buffers(first: Connector, second: Connector) -> None:
    """Metadata in ctypes buffers, one object at a time, and bytes."""
    arena = (ctypes.c_uint8 * ARENA_BYTES)()
    start = ctypes.addressof(arena)
    source, target = start + 12345, start + ARENA_BYTES // 2 + 1
    content = bytes(range(256)) * (INFO_BYTES // 256)
    ctypes.memmove(source, content, INFO_BYTES)
    check(first.store.register_buffer(start, ARENA_BYTES) == 0, "register an arena")
    check(first.store.put_from("info", source, INFO_BYTES, 0) == 0, "put_from")
    check(second.store.is_exist("info") == 1, "is_exist")
    check(second.store.get_into("info", target, INFO_BYTES, 1) == 0, "get_into")
    check(ctypes.string_at(target, INFO_BYTES) == content == second.store.get("info"), "the metadata's bytes")
    check(second.store.put("text", b"some text") == 0, "put")
    check(first.store.put_batch(["a", "b"], [b"1", bytearray(b"2")]) == 0, "put_batch")
    check(first.store.get_batch(["a", "text", "none", "b"]) == [b"1", b"some text", b"", b"2"], "get_batch")
    check(first.store.unregister_buffer(start, ARENA_BYTES) == 0, "unregister_buffer")


def layer_by_layer(first: Connector, second: Connector) -> None:
    """Allocate, copy each layer when it is ready, finish; then copy each layer back from base + offset."""
    source, target = Pool(), Pool()
    source.fill()
    keys = [f"{hashlib.sha256(b'layers %d' % block).hexdigest()}_0_k" for block in range(4)]
    places = [source.place_of(block) for block in range(4)]
    sizes = places[0][1]
    total = sum(sizes)
    bases = first.store.batch_alloc(keys, [total] * 4)
    check(min(bases) > 0, f"batch_alloc: {bases}")
    for layer in range(LAYERS):
        at = sum(sizes[: 2 * layer])
        code = first.store.batch_copy_layers(
            [base + at for base in bases],
            [addresses[2 * layer : 2 * layer + 2] for addresses, _ in places],
            [sizes[2 * layer : 2 * layer + 2]] * 4,
            MmcDirect.COPY_L2G.value,
        )
        check(code == 0, "batch_copy_layers into the pool")
        check(not any(second.exists(keys)), "not to be seen before it is finished")
    check(first.store.batch_write_finish(keys, [0, 0, 0, -1]) == [0] * 4, "batch_write_finish")
    check(second.exists(keys) == [True] * 3 + [False], "what was finished is there")

    check(second.store.batch_add_lease(keys[:3], LEASE_MS) == [0] * 3, "batch_add_lease")
    check(first.store.remove(keys[0]) == -3104, "a leased object stays")
    for block, key in enumerate(keys[:3]):
        info = second.store.get_key_info(key)
        check((info.size(), info.type_list()) == (total, [1]), str(info))
        check(info.loc_list()[0] in (first.rank, second.rank), str(info))
        base = info.gva_list()[0]
        addresses, _ = target.place_of(block)
        for piece, address in enumerate(addresses):
            at = sum(sizes[:piece])
            code = second.store.batch_copy([base + at], [address], [sizes[piece]], MmcDirect.COPY_G2L.value)
            check(code == 0, "batch_copy from base + offset")
    check(second.store.batch_remove_lease(keys[:3]) == 0, "batch_remove_lease")
    for a, b in zip(source.arrays(), target.arrays(), strict=True):
        check(np.array_equal(a[:3], b[:3]), "the bytes of every layer")
    check(first.store.remove_batch(keys[:3]) == [0] * 3, "remove_batch")


def main() -> None:
    """Two connectors of one host, each with a pool, use everything."""
    first = Connector(sys.argv[1], 0, "32MB")
    second = Connector(sys.argv[1], 1, "32MB")
    check(first.rank != second.rank, "each has a rank")
    whole_blocks(first, second)
    single_buffers(first, second)
    layer_by_layer(first, second)
    # an object is listed once its rank has confirmed it, and a lease has the rank asked
    check(first.store.batch_add_lease(["text"], LEASE_MS) == [0], "a lease")
    check(first.store.batch_remove_lease(["text"]) == 0, "the end of it")
    check(first.store.remove_all() == 0, "remove_all")
    check(second.store.get("text") == b"", "nothing is left")
    check([second.store.close(), first.store.close()] == [0, 0], "close")
    print("verified", LAYERS * BLOCKS * 2, "pieces")


if __name__ == "__main__":
    main()
