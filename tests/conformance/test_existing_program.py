"""Programs and files written for the existing Python package work with ``mmc``, and what dies is survived."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import mmc
from mmc import DistributedObjectStore, LocalConfig, MetaConfig, MetaService, ReplicateConfig
from mmc.property_file import local_config_from, meta_config_from
from tests.conformance import conftest as shared
from tests.conformance.conftest import Elsewhere, Memory, children_of, free_port, name, opened
from tests.integration.processes import Cluster, content_of, finish, run_python, wait_until

PROGRAM = Path(__file__).with_name("existing_program.py")
Store = DistributedObjectStore
_SERVE = "import sys; from mmc import MetaService; sys.exit(-MetaService.main())"


def test_an_existing_program_runs_with_one_line_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connector written for the existing package verifies its bytes against a configured MetaService."""
    text = PROGRAM.read_text()
    old, new = "from memcache_hybrid import ", "from mmc import "
    assert text.count("memcache_hybrid") == text.count(old) == 1
    program = tmp_path / "program.py"
    program.write_text(text.replace(old, new))
    url = f"tcp://127.0.0.1:{free_port()}"
    settings = tmp_path / "mmc-meta.conf"
    settings.write_text(
        f"# the meta service\nock.mmc.meta_service_url = {url}\n"
        f"ock.mmc.meta_service.config_store_url = tcp://127.0.0.1:{free_port()}\n"
        f"ock.mmc.meta_service.metrics_url = http://127.0.0.1:{free_port()}\n"
        f"ock.mmc.log_path = {tmp_path / 'log'}\nock.mmc.log_level = info\n"
        "ock.mmc.evict_threshold_high = 90\nock.mmc.evict_threshold_low = 80\n"
    )
    monkeypatch.setenv("MMC_META_CONFIG_PATH", str(settings))
    service = run_python(_SERVE)
    try:
        run = subprocess.run(
            [sys.executable, str(program), url], capture_output=True, text=True, timeout=60, check=False
        )
        assert (run.returncode, run.stderr) == (0, ""), run
        assert run.stdout == "verified 384 pieces\n"
    finally:
        service.send_signal(signal.SIGTERM)
        output = finish(service)
    assert service.returncode == 0, output


# What dies


def test_meta_service_killed_and_started_again() -> None:
    """Without the meta service reads of this host go on, all else is -3017; with it again nothing is lost."""
    with Cluster(ranks=1) as cluster:
        store = opened(cluster.meta_url, timeout_s=20, retry_ms=400)
        keys, memory = [name() for _ in range(20)], Memory(500)
        values = [content_of(key, 500) for key in keys]
        assert store.put_batch(keys, values) == 0
        cluster.meta.signal(signal.SIGKILL)
        assert store.put("new", b"value") == store.put_batch(["new"], [b"value"]) == -3017
        assert mmc.last_error().code == -3017
        assert (
            store.remove(keys[0]) == store.get_into("new", memory.at, 500) == store.is_exist("new") == -3017
        )
        assert store.batch_put_from(["new"], [memory.at], [500]) == store.batch_alloc(["new"], [5]) == [-3017]
        assert store.get("new") == b""
        assert store.get_batch(keys) == values
        assert store.batch_is_exist(keys) == [1] * 20
        assert store.get_into(keys[3], memory.at, 500) == 0
        assert memory.bytes() == values[3]
        cluster.meta.start()
        wait_until(lambda: store.put("later", b"value") == 0, "the store reconnects")
        assert store.get_batch(keys) == values
        assert [info.size() for info in store.batch_get_key_info(keys)] == [500] * 20
        assert store.remove_batch(keys) == [0] * 20
        assert store.close() == 0


def test_local_service_killed_and_started_again() -> None:
    """A killed rank's objects are read on this host meanwhile, and are all back when it is."""
    with Cluster(ranks=1) as cluster:
        store = opened(cluster.meta_url)
        keys = [name() for _ in range(20)]
        values = [content_of(key, 500) for key in keys]
        assert store.put_batch(keys, values) == 0
        cluster.locals[0].signal(signal.SIGKILL)
        assert store.get_batch(keys) == values
        with Elsewhere(cluster.meta_url) as late:
            assert late.says(f"store.get_batch({keys[:3]!r})") == values[:3]
            cluster.locals[0].start()
            wait_until(lambda: store.put(name(), b"value") == 0, "the rank is back")
            assert store.get_batch(keys) == values
            assert late.says(f"store.remove_batch({keys!r})") == [0] * 20
        assert store.close() == 0


def test_own_rank_killed(cluster: Cluster) -> None:
    """The rank that init started is started again when it is killed, with all its objects."""
    before = children_of(os.getpid())
    store = opened(cluster.meta_url, own=True)
    made = children_of(os.getpid()) - before
    assert len(made) == 1
    here = ReplicateConfig(1, [store.get_local_service_id()])
    keys = [name() for _ in range(20)]
    values = [content_of(key, 500) for key in keys]
    assert store.put_batch(keys, values, here) == 0
    os.kill(made.pop(), signal.SIGKILL)
    assert store.get_batch(keys) == values
    wait_until(lambda: store.put(name(), b"value", here) == 0, "the rank is back")
    assert store.get_batch(keys) == values
    assert store.close() == 0


def test_a_rank_given_up_takes_its_only_replicas_along(tmp_path: Path) -> None:
    """When a dead rank is given up, keys that only it had are missing, and may be put again elsewhere."""
    limits = tmp_path / "config.toml"
    limits.write_text(
        "[meta]\nsuspect_ms = 400\nserve_ms = 600\ngrace_ms = 400\n[local]\nheartbeat_ms = 100\n"
    )
    with Cluster(ranks=2, config=str(limits)) as cluster:
        store, key, memory = opened(cluster.meta_url), name(), Memory(5)
        assert store.put(key, b"value", ReplicateConfig(1, [1])) == 0
        both = ReplicateConfig(2)
        wait_until(lambda: store.put(key + "-both", b"value", both) == 0, "neither rank is suspect")
        cluster.locals[1].signal(signal.SIGKILL)
        wait_until(lambda: store.get_into(key, memory.at, 5) == -3007, "it is given up")
        assert (store.is_exist(key), store.remove(key), store.get(key + "-both")) == (0, -3102, b"value")
        assert store.put(key, b"other", ReplicateConfig(1, [1])) == -3018
        assert store.put(key, b"other") == 0
        cluster.locals[1].start()
        wait_until(lambda: store.put(name(), b"value", ReplicateConfig(1, [1])) == 0, "the rank is back")
        assert store.get(key) == b"other"
        assert store.close() == 0


# A full pool


def test_filling_past_the_watermark() -> None:
    """Every put is 0; what was read and what is leased outlives what was not, and what is left is right."""
    with Cluster(ranks=1) as cluster:
        store = opened(cluster.meta_url)
        contents = {key: bytes(key, "ascii") * 600 for key in (name() for _ in range(600))}
        keys = list(contents)
        assert store.put_batch(keys[:3], [contents[key] for key in keys[:3]]) == 0
        assert store.batch_add_lease([keys[1]], 60_000) == [0]
        for key in keys[3:]:
            assert store.put(key, contents[key]) == 0
            assert store.put(keys[2], b"does not refresh it") == 0
            assert store.get(keys[0]) == contents[keys[0]]
        there = [key for key in keys if store.is_exist(key)]
        assert there[:2] == keys[:2]
        assert there[-100:] == keys[-100:]
        assert 150 < len(there) < 400
        assert all(store.get(key) == contents[key] for key in there[:2] + there[-100:])
        assert store.close() == 0


def test_a_fragmented_pool_makes_room() -> None:
    """Where every other small object was removed, a large one finds its place."""
    with Cluster(ranks=1) as cluster:
        store = opened(cluster.meta_url)
        keys, small = [name() for _ in range(200)], b"s" * 65536
        assert store.put_batch(keys, [small] * 200) == 0
        assert store.remove_batch(keys[::2]) == [0] * 100
        large = name()
        assert store.put(large, content_of(large, 5 << 20)) == 0
        assert store.get(large) == content_of(large, 5 << 20)
        assert {store.get(key) for key in keys[1::2]} <= {small, b""}
        assert store.close() == 0


# Names, settings, files


def test_defaults() -> None:
    """The settings objects have the documented names and defaults, and take no others."""
    for config, wanted in ((LocalConfig(), shared.LOCAL_DEFAULTS), (MetaConfig(), shared.META_DEFAULTS)):
        assert {one.name: getattr(config, one.name) for one in fields(config)} == wanted
        with pytest.raises(AttributeError):
            config.no_such_setting = 1  # type: ignore[union-attr]
    assert (ReplicateConfig().replicaNum, ReplicateConfig().preferredLocalServiceIDs) == (1, [])
    assert [int(one) for one in mmc.Direction] == [0, 1, 2, 3, 9]
    assert {one.name: int(one) for one in mmc.Medium} == {"HBM": 0, "DRAM": 1, "SSD": 2}


def test_files_hold_every_documented_key(tmp_path: Path) -> None:
    """Both kinds of file take each documented key, with comments and blanks, into its setting."""
    file = tmp_path / "mmc.conf"
    file.write_text(
        "# all\n\n" + "".join(f" ock.mmc.{key}= {value} \n" for key, value in shared.SETTINGS.items())
    )
    local, meta = local_config_from(str(file)), meta_config_from(str(file))
    assert {field: getattr(local, field) for field in shared.LOCAL_FROM_FILE} == shared.LOCAL_FROM_FILE
    assert {field: getattr(meta, field) for field in shared.META_FROM_FILE} == shared.META_FROM_FILE


@pytest.mark.parametrize(
    ("line", "says"),
    shared.WRONG_LINES,
)
def test_wrong_files_are_refused(
    line: str, says: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong line is -3000, and the sentence names file, key, what it was, and what is allowed."""
    file = tmp_path / "mmc.conf"
    file.write_text(f"ock.mmc.{line}\n")
    monkeypatch.setenv("MMC_LOCAL_CONFIG_PATH", str(file))
    assert DistributedObjectStore().init(0) == -3000
    error = mmc.last_error()
    assert error.code == -3000
    for part in (str(file), f"ock.mmc.{line.split(' ', maxsplit=1)[0]}", *says):
        assert part in error.sentence, error.sentence


def test_wrong_meta_settings_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Setup and main refuse what is wrong or not built with -3000 and a sentence; -3008 without settings."""
    for wrong in shared.WRONG_METAS:
        assert MetaService.setup(wrong) == -3000
        assert "MetaConfig." in mmc.last_error().sentence
    for variable in ("MMC_META_CONFIG_PATH", "MMC_LOCAL_CONFIG_PATH"):
        monkeypatch.delenv(variable, raising=False)
    assert MetaService.main() == -3008
    assert DistributedObjectStore().init(0) == -3008
    file = tmp_path / "meta.conf"
    file.write_text("ock.mmc.evict_threshold_high = 101\n")
    monkeypatch.setenv("MMC_META_CONFIG_PATH", str(file))
    assert MetaService.main() == -3000
    assert f"{file}: ock.mmc.evict_threshold_high = 101" in mmc.last_error().sentence
    monkeypatch.setenv("MMC_META_CONFIG_PATH", str(tmp_path / "missing"))
    assert MetaService.main() == -3000


@pytest.mark.parametrize("size", [4194304, "4194304", "2048KB", "4mb", "0.004G", "0.000001TB", "1", "3MiB"])
def test_spellings_of_sizes(size: str | int) -> None:
    """Sizes read in every documented spelling."""
    assert DistributedObjectStore().setup(LocalConfig(dram_size=size)) == 0


def test_a_store_configured_by_a_file(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without setup the file that the variable names is read, and its size, rounded, is the pool's."""
    file = tmp_path / "mmc-local.conf"
    file.write_text(
        f"ock.mmc.meta_service_url = {cluster.meta_url}\nock.mmc.local_service.dram.size = 4097KB\n"
        "ock.mmc.local_service.hcom_url = tcp://127.0.0.1:0\nock.mmc.log_level = error\n"
    )
    monkeypatch.setenv("MMC_LOCAL_CONFIG_PATH", str(file))
    store = DistributedObjectStore()
    assert store.init(0) == 0
    here = ReplicateConfig(1, [store.get_local_service_id()])
    assert store.put(name(), bytes(6 << 20), here) == 0
    assert store.put(name(), bytes((6 << 20) + 1), here) == -3013
    assert store.close() == 0


# What callers hand in


def test_addresses_and_sizes_may_be_numpys(store: Store) -> None:
    """Addresses, sizes and directions, and the lists of them, may be numpy's, and keys too."""
    array, target = np.arange(100, dtype=np.float32), np.zeros(100, np.float32)
    at, to, size = np.uint64(array.ctypes.data), np.uint64(target.ctypes.data), np.int64(400)
    key, numbers, anything = np.str_(name()), np.array([at]), cast("Any", store)
    assert anything.register_buffer(at, size) == anything.unregister_buffer(at, size) == 0
    assert anything.batch_put_from(np.array([key]), numbers, np.array([size]), np.int32(0)) == [0]
    assert anything.batch_get_into((key,), (to,), (size,), np.int32(1)) == [0]
    assert anything.put_from_layers(key + "l", numbers, np.array([size]), np.int64(0)) == 0
    how: Any = ReplicateConfig()
    how.replicaNum, how.preferredLocalServiceIDs = np.int64(1), (np.int32(0),)
    assert anything.put(key + "r", b"v", how) == 0
    assert np.array_equal(array, target)
    base = np.array(anything.get_key_info(key, np.int64(1)).gva_list())
    assert anything.batch_copy(base + 8, np.array([to]), np.array([8]), np.int64(1)) == 0
    assert np.array_equal(target[:2], array[2:4])
    assert anything.batch_is_exist(np.array([key, "none"])) == [1, 0]


@pytest.mark.parametrize("call", shared.NUMPY_CALLS)
def test_counts_may_be_numpys(call: str, cluster: Cluster) -> None:
    """Sizes, times, media, results and devices may be numpy's integers."""
    store, key = opened(cluster.meta_url), name()
    assert store.put(key, b"value") == 0
    try:
        assert shared.NUMPY_CALLS[call](store, key)
    finally:
        store.close()


@pytest.mark.parametrize("call", shared.IMPOSSIBLE)
def test_impossible_arguments_harm_no_later_call(call: str, cluster: Cluster) -> None:
    """What cannot be meant is refused as an argument, and the calls after it are as good as ever."""
    store, key = opened(cluster.meta_url), name()
    assert store.put(key, b"value") == 0
    try:
        try:
            answer = shared.IMPOSSIBLE[call](store, key)
        except TypeError:
            answer = TypeError
        until, codes = time.monotonic() + 0.6, set()

        def goes_on() -> bool:
            codes.add(store.put(name(), b"value"))
            return time.monotonic() > until

        wait_until(goes_on, "the time of a repetition has passed")
        assert (answer in (TypeError, -3000, -3013, [-3000], [-3013]), codes) == (True, {0}), answer
    finally:
        store.close()


def test_empty_arrays_are_3000(store: Store) -> None:
    """An array without elements is an empty value, whatever its shape."""
    for shape in ((0,), (0, 4), (4, 0)):
        assert store.put(name(), np.zeros(shape, np.float32)) == -3000


def test_names_and_orders_of_arguments(store: Store) -> None:
    """Every documented argument may be given by its name, and in the documented order."""
    memory, how, key = Memory(b"value"), ReplicateConfig(), name
    a = key()
    assert store.put(key=a, buf=b"value", replicateConfig=how) == 0
    assert store.put_batch(keys=[a], values=[b"value"], replicateConfig=how) == 0
    assert store.put_from(key=a, buffer_ptr=memory.at, size=5, direct=3, replicateConfig=how) == 0
    assert store.get_into(key=a, buffer_ptr=memory.at, size=5, direct=2) == 0
    lists = {"keys": [a], "buffer_ptrs": [memory.at], "sizes": [5]}
    nested = {"keys": [a], "buffer_ptrs": [[memory.at]], "sizes": [[5]]}
    assert store.batch_put_from(**lists, direct=3, replicateConfig=how) == [0]  # type: ignore[arg-type]
    assert store.batch_get_into(**lists, direct=2) == [0]  # type: ignore[arg-type]
    assert store.batch_put_from_layers(**nested, direct=3, replicateConfig=how) == [0]  # type: ignore[arg-type]
    assert store.batch_get_into_layers(**nested, direct=2) == [0]  # type: ignore[arg-type]
    assert store.put_from_layers(a, [memory.at], [5], 0, how) == store.get_into_layers(a, [memory.at], [5], 1)
    assert store.batch_get_key_info(keys=[a], flag=0)[0].gva_list() == []
    assert store.batch_add_lease(keys=[a], leaseTtlMs=0) == [0]
    assert store.batch_remove_lease(keys=[a]) == 0
    base = store.batch_alloc(keys=[key()], sizes=[5], media=1, leaseTtlMs=0)
    assert store.batch_copy(gva_ptrs=base, buffer_ptrs=[memory.at], sizes=[5], direct=0, flag=0) == 0
    assert store.evict(keys=[a], src_media=1, dst_media=2, flags=0) == -3000
    assert store.prefetch(keys=[a], src_media=2, dst_media=1, flags=0) == -3000
    assert "size=5" in str(store.get_key_info(a)).replace(" ", "")
    assert store.get(a.encode()) == b"value"


def test_at_most_255_buffers_and_8192_in_batches(store: Store) -> None:
    """One object has up to 255 buffers, in a batch 8192; more is -3000, in a batch for that key alone."""
    memory, (few, many, none) = Memory(content_of("buffers", 8193)), (name(), name(), name())
    at, ones = [memory.at + place for place in range(8193)], [1] * 8193
    assert store.put_from_layers(few, at[:255], ones[:255]) == 0
    assert store.get_into_layers(few, at[:255], ones[:255]) == 0
    assert store.put_from_layers(none, at[:256], ones[:256]) == -3000
    assert store.batch_put_from_layers([none, many], [at, at[:8192]], [ones, ones[:8192]]) == [-3000, 0]
    assert store.get_into_layers(many, at[:256], ones[:256]) == -3000
    assert store.batch_get_into_layers([many] * 2, [at, at[:8192]], [ones, ones[:8192]]) == [-3000, 0]
    assert store.get_batch([few, many, none]) == [memory.bytes()[:255], memory.bytes()[:8192], b""]


def test_registered_ranges(store: Store) -> None:
    """A range is registered once, not null, not across another, and let go by the same range."""
    memory = Memory(100_000)
    assert store.register_buffer(memory.at, 50_000) == 0
    assert store.register_buffer(memory.at, 50_000) == -3005
    for at, size in ((0, 10), (memory.at, 0), (memory.at + 9, 9), (memory.at, 60_000), ((1 << 64) - 1, 10)):
        assert store.register_buffer(at, size) == -3000
    assert store.unregister_buffer(memory.at, 49_999) == -3000
    assert store.unregister_buffer(memory.at, 50_000) == 0
    assert store.register_buffer(memory.at, 100_000) == store.unregister_buffer(memory.at, 100_000) == 0


def test_many_threads_one_store(store: Store) -> None:
    """Threads that put, get and remove at once see their own bytes, and their own last error."""

    def work(thread: int) -> bool:
        for number in range(20):
            key = f"thread-{thread}-{number}"
            content, target = content_of(key, 5000), (ctypes.c_char * 5000)()
            codes = store.put(key, content), store.get_into(key, ctypes.addressof(target), 5000)
            if codes != (0, 0) or target.raw != content or store.remove(key) != 0:
                return False
            wanted = -3102 if thread % 2 else -3000
            store.remove(key if thread % 2 else "")
            if mmc.last_error().code != wanted:
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
