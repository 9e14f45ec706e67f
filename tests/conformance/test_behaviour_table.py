"""What users of the existing Python interface see: one test for each row of its table of behaviour."""

from __future__ import annotations

import ctypes
import os

import numpy as np
import pytest

from mmc import DistributedObjectStore, LocalConfig, ReplicateConfig
from tests.conformance import conftest as shared
from tests.conformance.conftest import GETS_INTO, PUTS, Memory, got_into, gotten, name, opened
from tests.integration.processes import Cluster, content_of, wait_until

ONE = ReplicateConfig()
ALL_PUTS = pytest.mark.parametrize("form", PUTS)
Store = DistributedObjectStore


@ALL_PUTS
def test_a_put_of_an_existing_key_keeps_the_first_value(
    form: str, store: Store, other: Store, elsewhere: shared.Elsewhere
) -> None:
    """A second put answers 0 in every form and from every process, and every get has the first value."""
    key = name()
    first = content_of(key, 3000)
    assert PUTS[form](store, key, first, ONE) == 0
    for again in PUTS.values():
        assert again(store, key, b"another", ONE) == 0
        assert again(other, key, b"x" * 3000, ONE) == 0
    said = elsewhere.says(f"[put(store, {key!r}, b'third', ReplicateConfig()) for put in PUTS.values()]")
    assert said == [0] * len(PUTS)
    assert gotten(store, key, 3000) == gotten(other, key, 3000) == {first}
    assert elsewhere.says(f"gotten(store, {key!r}, 3000)") == {first}


def test_of_a_duplicate_in_one_batch_the_first_wins(store: Store) -> None:
    """A key twice in one batch gives 0 for both and keeps the first value, in every form of batch."""
    first, second = Memory(b"first"), Memory(b"other")
    keys = [name() for _ in range(3)]
    assert store.put_batch([keys[0]] * 2, [b"first", b"other"]) == 0
    assert store.batch_put_from([keys[1]] * 2, [first.at, second.at], [5, 5]) == [0, 0]
    lists = [[first.at], [second.at]]
    assert store.batch_put_from_layers([keys[2]] * 2, lists, [[5], [5]]) == [0, 0]
    assert store.get_batch(keys) == [b"first"] * 3


def test_what_is_missing_is_empty_or_3007(store: Store) -> None:
    """A get of a missing key is empty, every get into memory -3007, and hits of the batch are served."""
    hit, miss = name(), name()
    assert store.put(hit, b"there") == 0
    assert store.get(miss) == b""
    assert store.get_batch([hit, miss]) == [b"there", b""]
    for form in GETS_INTO:
        assert got_into(store, form, miss, 5) == (-3007, bytes(5)), form
    memory = Memory(10)
    pointers, sizes = memory.parts(5)
    assert store.batch_get_into([hit, miss], pointers, sizes) == [0, -3007]
    lists = [[pointer] for pointer in pointers]
    assert store.batch_get_into_layers([hit, miss], lists, [[5], [5]]) == [0, -3007]
    assert memory.bytes() == b"there" + bytes(5)
    assert [store.is_exist(hit), store.is_exist(miss)] == store.batch_is_exist([hit, miss]) == [1, 0]


def test_remove_of_a_missing_key_is_3102(store: Store, elsewhere: shared.Elsewhere) -> None:
    """Remove of a missing key, alone or in a batch, is -3102; what was there is gone for every process."""
    keys = [name() for _ in range(3)]
    assert store.put_batch(keys[:2], [b"a", b"b"]) == 0
    assert store.remove(keys[0]) == 0
    assert store.remove(keys[0]) == -3102
    assert store.remove_batch(keys) == [-3102, 0, -3102]
    assert elsewhere.says(f"store.get_batch({keys!r}), store.batch_is_exist({keys!r})") == (
        [b""] * 3,
        [0] * 3,
    )


def test_remove_under_a_lease_is_3104(store: Store, other: Store) -> None:
    """An explicit lease of anyone refuses removal with -3104 until it is taken back."""
    key = name()
    assert store.put(key, b"leased") == 0
    assert other.batch_add_lease([key], 60_000) == [0]
    assert store.remove(key) == other.remove(key) == -3104
    assert store.remove_batch([key]) == [-3104]
    assert store.get(key) == b"leased"
    assert other.batch_remove_lease([key]) == 0
    assert store.remove(key) == 0
    assert other.get(key) == b""


@pytest.mark.parametrize("length", [1, 60, 165, 255])
def test_keys_of_1_to_255_bytes(length: int, store: Store) -> None:
    """A key may have 1 to 255 bytes, counted as UTF-8."""
    for key in ("k" * length, "é" * (length // 2) + "x" * (length % 2)):
        assert store.put(key, content_of(key, 100)) == 0
        assert gotten(store, key, 100) == {content_of(key, 100)}
        assert store.remove(key) == 0


@pytest.mark.parametrize("key", ["", "k" * 256, "é" * 128, "k" * 1000, "nul\0inside", "\0"])
@ALL_PUTS
def test_invalid_keys(form: str, key: str, store: Store) -> None:
    """A key that is empty, of 256 bytes or more, or with a NUL is -3000 in every call."""
    assert PUTS[form](store, key, b"value", ONE) == -3000
    assert gotten(store, key, 5) == {b"", b"-3000"}
    assert store.is_exist(key) == store.remove(key) == -3000
    assert store.batch_add_lease([key]) == store.batch_alloc([key], [5]) == [-3000]
    assert store.get_key_info(key).size() == 0
    assert store.is_exist("nul") == 0


def test_one_invalid_key_fails_alone(store: Store) -> None:
    """An invalid key in a batch is -3000 for itself; the others are put, got, found, leased, removed."""
    a, b = name(), name()
    keys = [a, "", b]
    source, target = Memory(b"aaxxbb"), Memory(6)
    pointers, sizes = source.parts(2, 2)
    targets, _ = target.parts(2, 2)
    wanted = [0, -3000, 0]
    assert store.put_batch(keys, [b"aa", b"xx", b"bb"]) == -3000
    assert store.get_batch(keys) == [b"aa", b"", b"bb"]
    assert store.remove_batch(keys) == wanted
    assert store.batch_put_from(keys, pointers, sizes) == wanted
    assert store.batch_get_into(keys, targets, sizes) == wanted
    assert target.bytes() == b"aa\0\0bb"
    assert store.remove_batch(keys) == wanted
    assert store.batch_put_from_layers(keys, [[at] for at in pointers], [[2]] * 3) == wanted
    assert store.batch_get_into_layers(keys, [[at] for at in targets], [[2]] * 3) == wanted
    assert store.batch_is_exist(keys) == [1, -3000, 1]
    assert [info.size() for info in store.batch_get_key_info(keys)] == [2, 0, 2]
    assert store.batch_add_lease(keys) == wanted
    assert store.batch_remove_lease(keys) == -3000
    assert store.remove_batch(keys) == wanted
    addresses = store.batch_alloc(keys, [2] * 3)
    assert [address > 0 for address in addresses] == [True, False, True]
    assert addresses[1] == -3000
    assert store.batch_write_finish(keys, [1, 1, 1]) == wanted


def test_nothing_to_store_is_3000(store: Store) -> None:
    """An empty value, a size of 0 and a null pointer are -3000, and fail alone in a batch."""
    key, memory = name(), Memory(b"value")
    for empty in (b"", bytearray(), memoryview(b""), np.zeros(0, np.uint8)):
        assert store.put(key, empty) == store.put_batch([key], [empty]) == -3000
    for at, size in ((0, 5), (memory.at, 0), (memory.at, -1)):
        for call in (store.put_from, store.get_into):
            assert call(key, at, size) == -3000
        for layers in (store.put_from_layers, store.get_into_layers):
            assert layers(key, [at], [size]) == layers(key, [memory.at, at], [5, size]) == -3000
        good = name()
        assert store.batch_put_from([key, good], [at, memory.at], [size, 5]) == [-3000, 0]
        assert store.batch_get_into([key, good], [at, memory.at], [size, 5]) == [-3000, 0]
    assert store.put_from_layers(key, [], []) == -3000
    assert store.is_exist(key) == 0


@pytest.mark.parametrize("form", GETS_INTO)
def test_a_size_that_differs_is_3103(form: str, store: Store) -> None:
    """A get into memory of another size than the object's is -3103 and writes nothing."""
    key = name()
    assert store.put(key, b"x" * 100) == 0
    for size in (99, 101, 8):
        assert got_into(store, form, key, size) == (-3103, bytes(size))
    assert got_into(store, form, key, 100) == (0, b"x" * 100)


def test_layers_may_be_split_otherwise(store: Store) -> None:
    """What was put as layers is got as other layers of the same total, and as one piece."""
    source, target, key = Memory(content_of("layers", 1000)), Memory(1000), name()
    assert store.put_from_layers(key, *source.parts(10, 500)) == 0
    assert store.get_into_layers(key, *target.parts(1, 1, 900)) == 0
    assert target.bytes() == source.bytes() == store.get(key)


def test_lists_of_different_lengths_are_3000_for_each(store: Store) -> None:
    """Lists that do not go together give -3000 for every key, and nothing is stored."""
    keys, memory = [name(), name()], Memory(b"value")
    assert store.batch_put_from(keys, [memory.at], [5, 5]) == [-3000] * 2
    assert store.batch_put_from(keys, [memory.at] * 2, [5]) == [-3000] * 2
    assert store.batch_get_into(keys, [memory.at] * 2, [5] * 3) == [-3000] * 2
    assert store.batch_put_from_layers(keys, [[memory.at]], [[5]]) == [-3000] * 2
    assert store.batch_get_into_layers(keys, [[memory.at]] * 2, [[5]]) == [-3000] * 2
    assert store.batch_put_from_layers(keys, [[memory.at], [memory.at]], [[5], [2, 3]]) == [0, -3000]
    assert store.put_batch(keys, [b"value"]) == store.put_from_layers(keys[1], [memory.at], [2, 3]) == -3000
    assert store.batch_alloc(keys, [5]) == store.batch_write_finish(keys, [0]) == [-3000] * 2
    assert store.batch_copy([1, 2], [memory.at], [5, 5]) == -3000
    assert store.batch_is_exist(keys) == [1, 0]


def test_empty_batches(store: Store) -> None:
    """An empty batch gives an empty list, put_batch 0."""
    assert store.put_batch([], []) == 0
    assert shared.answers_to_nothing(store) == [[]] * 11


@pytest.mark.parametrize(
    ("how", "code"),
    shared.REPLICATIONS,
)
@ALL_PUTS
def test_how_to_replicate(form: str, how: ReplicateConfig, code: int, store: Store) -> None:
    """Replicas and preferred ranks are as asked; what cannot be is refused, and nothing is stored."""
    key = name()
    assert PUTS[form](store, key, b"value", how) == code
    assert store.is_exist(key) == (code == 0)
    if code == 0:
        ranks = store.get_key_info(key).loc_list()
        assert len(set(ranks)) == len(ranks) == how.replicaNum
        assert set(how.preferredLocalServiceIDs) - {-1} <= set(ranks)


def test_larger_than_the_pool_is_3013(store: Store) -> None:
    """A value larger than any pool is -3013, and the others of its batch are stored."""
    large = Memory(17 << 20)
    for form in PUTS:
        assert PUTS[form](store, name(), large.bytes(), ONE) == -3013, form
    a, b = name(), name()
    codes = store.batch_put_from([a, name(), b], [large.at] * 3, [10, large.size, 20])
    assert codes == [0, -3013, 0]
    assert [info.size() for info in store.batch_get_key_info([a, b])] == [10, 20]
    assert store.put_batch([a + "x", a + "y", b + "x"], [b"1", large.bytes(), b"2"]) == -3013
    assert store.batch_is_exist([a + "x", a + "y", b + "x"]) == [1, 0, 1]
    assert store.batch_alloc([name()], [large.size]) == [-3013]


@pytest.mark.parametrize(("count", "size"), [(1500, 8), (48, 1 << 20)])
def test_a_batch_larger_than_the_pool(count: int, size: int, store: Store) -> None:
    """A batch of more objects, or more bytes, than there is room for is 0 for each; the oldest vanish."""
    keys, memory = [name() for _ in range(count)], Memory(b"x" * size)
    assert set(store.batch_put_from(keys, [memory.at] * count, [size] * count)) == {0}
    assert store.batch_is_exist(keys[-8:]) == [1] * 8


def test_engines_directions_work_with_host_memory(store: Store) -> None:
    """Direction 0 puts like 3, and 1 gets like 2; 9 is either; any other is -3000."""
    for into, out_of in ((0, 1), (3, 2), (9, 9)):
        keys, source, target = [name() for _ in range(4)], Memory(content_of("d", 80)), Memory(80)
        layers = source.parts(30)
        assert store.put_from(keys[0], source.at, 80, into) == 0
        assert store.batch_put_from([keys[1]], [source.at], [80], into) == [0]
        assert store.put_from_layers(keys[2], *layers, into) == 0
        assert store.batch_put_from_layers([keys[3]], [layers[0]], [layers[1]], into) == [0]
        for key in keys:
            assert store.get_into(key, target.at, 80, out_of) == 0
            assert store.batch_get_into([key], [target.at], [80], out_of) == [0]
            assert store.get_into_layers(key, *target.parts(3), out_of) == 0
            assert store.batch_get_into_layers([key], [[target.at]], [[80]], out_of) == [0]
            assert target.bytes() == source.bytes() == store.get(key)
    for wrong in (-1, 4, 8):
        assert store.put_from(name(), source.at, 80, wrong) == -3000
        assert store.get_into(keys[0], target.at, 80, wrong) == -3000


def test_addresses_of_replicas(store: Store, other: Store, elsewhere: shared.Elsewhere) -> None:
    """A key has one address per replica, and base + offset is copied from in every process."""
    key, content, target = name(), content_of("parts", 9000), Memory(100)
    assert store.put(key, content, ReplicateConfig(2)) == 0
    for one in (store, other):
        assert one.batch_add_lease([key]) == [0]
        info = one.get_key_info(key)
        assert (info.size(), sorted(info.loc_list()), info.type_list()) == (9000, [0, 1], [1, 1])
        assert len(info.gva_list()) == 2
        for base in info.gva_list():
            assert one.batch_copy([base + 4321], [target.at], [100]) == 0
            assert target.bytes() == content[4321:4421]
            pieces = target.parts(60)
            assert one.batch_copy_layers([base + 17], [pieces[0]], [pieces[1]], 2, 0) == 0
            assert target.bytes() == content[17:117]
            assert one.batch_copy([base + 8901], [target.at], [100]) == -3000
        assert one.batch_remove_lease([key]) == 0
    there = f"[store.batch_copy([base + 7], [m.at], [50]) for base in store.get_key_info({key!r}).gva_list()]"
    assert elsewhere.says(f"[(m := Memory(50)), {there}, m.bytes()][1:]") == [[0, 0], content[7:57]]


def test_alloc_of_an_existing_key_is_3006(store: Store, other: Store) -> None:
    """Space for a key that is there, or being written here, is refused with -3006 in its place alone."""
    there, new = name(), name()
    assert store.put(there, b"there") == 0
    first = store.batch_alloc([new, there], [10, 10])
    assert first[0] > 0
    assert first[1] == -3006
    assert store.batch_alloc([there, new], [10, 10]) == [-3006, -3006]
    assert other.batch_alloc([there], [10]) == [-3006]
    assert store.batch_write_finish([new], 1) == [0]


def test_lease_of_what_is_not_readable(store: Store, other: Store) -> None:
    """A lease is -3101 on a key still being written, for every store, and -3007 on a missing one."""
    there, open_key, missing = name(), name(), name()
    assert store.put(there, b"there") == 0
    assert store.batch_alloc([open_key], [10])[0] > 0
    for one in (store, other):
        assert one.batch_add_lease([there, open_key, missing], 1) == [0, -3101, -3007]
    assert store.batch_remove_lease([missing]) == -3007
    assert store.batch_write_finish([open_key], [1]) == [0]
    assert store.batch_add_lease([open_key]) == [-3007]


def test_split_writes_are_invisible_until_they_are_finished(
    store: Store, other: Store, elsewhere: shared.Elsewhere
) -> None:
    """What is allocated cannot be seen; finished with 0 it is there, with another result it never was."""
    good, bad = name(), name()
    keys, content = [good, bad], Memory(content_of(good, 5000))
    addresses = store.batch_alloc(keys, [5000, 5000])
    assert min(addresses) > 0
    assert store.batch_copy(addresses, [content.at] * 2, [4000] * 2, 0) == 0
    tail = [content.at + 4000, content.at + 4500]
    later = [address + 4000 for address in addresses]
    assert store.batch_copy_layers(later, [tail] * 2, [[500, 500]] * 2, 3, 0) == 0
    for one in (store, other):
        assert one.batch_is_exist(keys) == [0, 0]
        assert one.get_batch(keys) == [b"", b""]
        assert one.get_key_info(good).size() == 0
    assert elsewhere.says(f"store.batch_is_exist({keys!r}) + [store.get({good!r})]") == [0, 0, b""]
    assert store.batch_write_finish(keys, [0, -5]) == [0, 0]
    assert gotten(other, good, 5000) == gotten(store, good, 5000) == {content.bytes()}
    assert elsewhere.says(f"store.batch_is_exist({keys!r})") == [1, 0]
    assert store.batch_write_finish(keys, [0, 0]) == [-3011, -3011]
    assert store.batch_write_finish([name()], [0]) == [-3102]
    assert store.batch_copy([addresses[1]], [content.at], [10], 0) == -3000
    assert store.put(bad, b"free again") == 0


def test_a_write_that_failed_was_never_there(store: Store, other: Store) -> None:
    """A key whose write was finished as failed is missing for whoever removes it, the first one too."""
    for remover in (store, other):
        key = name()
        assert store.batch_alloc([key], [10])[0] > 0
        assert remover.remove(key) == -3102
        assert store.batch_write_finish([key], [-1]) == [0]
        assert remover.remove(key) == -3102


def test_contiguous_buffers_of_every_kind(store: Store) -> None:
    """Every contiguous buffer of whatever elements keeps its bytes; any other raises a TypeError."""
    for array in shared.ARRAYS:
        keys = [name(), name()]
        assert store.put(keys[0], array) == store.put_batch([keys[1]], [array]) == 0
        assert store.get_batch(keys) == [array.tobytes()] * 2
    pair = (ctypes.c_int32 * 2)(1, 2)
    for buffer in (bytearray(b"xyz"), memoryview(b"wxyz")[1:3], pair):
        key = name()
        assert store.put(key, buffer) == 0
        assert store.get(key) == bytes(buffer)
    for strided in (shared.ARRAYS[0][:, ::2], shared.ARRAYS[0].T, memoryview(b"abcdef")[::2]):
        with pytest.raises(TypeError):
            store.put(name(), strided)
        with pytest.raises(TypeError):
            store.put_batch([name()], [strided])


def test_before_init_and_after_close_everything_is_3019(cluster: Cluster) -> None:
    """A store that is not open answers -3019 wherever there is a code, else empty."""
    closed = opened(cluster.meta_url)
    assert closed.close() == closed.close() == 0
    for store in (DistributedObjectStore(), closed):
        assert shared.codes_of_every_call(store) == {-3019}
        assert (store.get("k"), store.get_batch(["k", "l"])) == (b"", [b"", b""])
        assert store.get_key_info("k").gva_list() == store.batch_get_key_info(["k"])[0].loc_list() == []
        assert store.get_local_service_id() == 4294967295
        assert store.close() == 0


def test_twice_is_no_error_and_stores_are_independent(cluster: Cluster, store: Store) -> None:
    """Setup, init and close may be called twice with 0; another store goes on, and one may open again."""
    url = cluster.meta_url
    one = DistributedObjectStore()
    config = LocalConfig(meta_service_url=url, log_level="error")
    assert [one.setup(config), one.setup(config), one.init(0, init_bm=False), one.init(0, init_bm=False)] == [
        0
    ] * 4
    key = name()
    assert one.put(key, b"kept") == 0
    assert [one.close(), one.close()] == [0, 0]
    assert store.get(key) == b"kept"
    assert one.init(0, init_bm=False) == 0
    assert one.get(key) == b"kept"
    assert one.close() == 0


def test_close_leaves_nothing(cluster: Cluster) -> None:
    """Close is 0, and the rank's process and its files are gone soon after."""
    before = shared.children_of(os.getpid())
    store = opened(cluster.meta_url, own=True)
    made = shared.children_of(os.getpid()) - before
    assert len(made) == 1
    files = shared.segments_of(next(iter(made)))
    assert files
    assert store.put(name(), b"value", ReplicateConfig(1, [store.get_local_service_id()])) == 0
    assert files & shared.segments_of(os.getpid())
    assert store.close() == 0
    wait_until(lambda: not made & shared.children_of(os.getpid()), "the process ends")
    wait_until(lambda: not any(file.exists() for file in files), "the files go")
    assert not files & shared.segments_of(os.getpid())
