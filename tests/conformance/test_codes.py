"""Every documented code, provoked as a program would meet it; then many threads, and event loops."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

import mmc
from mmc import aio, capi
from mmc.actors.client import calls
from mmc.errors import Code
from mmc.services.launch import LaunchOptions
from mmc.wire.codec import RETRY, Header, encode
from mmc.wire.operations import Operation
from mmc.wire.requests import Lookup, Remove
from tests.conformance import specification as spec
from tests.conformance.specification import FACTS, Memory, Services, put
from tests.integration.processes import Service, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

MB = 1 << 20


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    """A meta service and two local services of 16 MB."""
    with Services() as services:
        yield services


@pytest.fixture(scope="module")
def lonely() -> Iterator[Services]:
    """A meta service and one local service of 16 MB, in a world of one."""
    with Services(0) as services:
        assert services.add(worldSize=1) is not None, mmc.last_error()
        yield services


@pytest.fixture
def client(services: Services) -> Iterator[mmc.Client]:
    """The client of this process, whose calls take 1 s at most."""
    with spec.connected(services.url, timeOut=1):
        yield capi.opened_client()


@pytest.fixture
def store(services: Services) -> Iterator[mmc.DistributedObjectStore]:
    """A store without memory of its own."""
    with spec.opened_store(services.url) as store:
        yield store


def failed(code: int, *words: str) -> None:
    """The last failure of this thread has this code, and these words in its sentence."""
    assert mmc.last_error().code == code
    assert all(word in mmc.last_error().sentence for word in words), mmc.last_error().sentence


def test_the_codes_are_those_of_the_specification_and_minus_3012_is_none() -> None:
    """Exactly the documented numbers exist; -3012, which stands for nothing, does not."""
    assert {int(code) for code in Code} == set(FACTS["codes"]["numbers"])
    assert -3012 not in set(Code)


def test_minus_1_is_a_fault_of_our_own_with_its_stack_in_the_log(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where our own code fails, C gets -1, the log the stack, nothing is stored, and the client goes on."""
    lines: list[str] = []

    def fail(_copy: calls.Copy) -> None:
        raise RuntimeError("planted")

    with spec.connected(services.url, logFunc=lambda _, line: lines.append(line)):
        with monkeypatch.context() as planted:
            planted.setattr(calls.Copy, "perform", fail)
            assert put("faulty", b"x") == -1
        failed(-1)
        assert any("Traceback" in line and "planted" in line for line in lines)
        assert capi.mmcc_exist("faulty", 0) == -3007
        assert put("faulty", b"x") == 0


def test_minus_3000_for_malformed_frames_and_unknown_versions(services: Services) -> None:
    """Garbage, and a hello of versions that nobody speaks here, are refused with a code."""
    with spec.Raw(services.url) as raw:
        for frames in ((b"",), (b"\xc1",), (b"x" * 1000, b"")):
            assert spec.code_of(raw.send(frames)) == -3000
        assert spec.code_of(raw.greet(2, 3)) == -3000


def test_minus_3000_for_null() -> None:
    """A null address stays null with any offset, a null configuration is none; stopping nothing is 0."""
    assert capi.mmcs_meta_service_stop(None) == capi.mmcs_local_service_stop(None) == 0
    assert capi.mmcc_uninit() == capi.mmcc_uninit() == 0
    for wrong in (Memory(8).buffer(64, 8), Memory(8).rows(8, 1, 8, 1, 2)):
        for wrong.addr in (0, -8):
            with pytest.raises(mmc.InvalidArgument):
                wrong.pieces(writable=False)
    for start in spec.STARTS.values():
        assert start(None) in (None, -3000)
        failed(-3000)


def test_minus_3001_for_a_pool_that_does_not_fit(services: Services) -> None:
    """The sentence names what is wanted, what there is and the remedy."""
    assert services.add(localDRAMSize="4TB") is None
    failed(-3001, "MB free", "MB are needed", "--shm-size", "segment_dir")


def test_minus_3002_for_an_address_in_use_and_a_directory_that_cannot_hold_segments(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service whose address is taken or not of this host, or whose directory is no good, is not made."""
    with socket.create_server(("127.0.0.1", 0)) as busy:
        url = f"tcp://127.0.0.1:{busy.getsockname()[1]}"
        assert capi.mmcs_meta_service_start(capi.mmc_meta_service_config_t(url)) is None
        failed(-3002, url)
    assert services.add(bmHcomUrl="tcp://192.0.2.1:7000") is None
    failed(-3002, "192.0.2.1")
    for directory in ("/nonexistent", "/proc"):
        monkeypatch.setenv("MMC_LOCAL_SEGMENT_DIR", directory)
        assert services.add() is None
        failed(-3002, directory)


def test_minus_3003_from_a_rank_that_is_stopping(services: Services) -> None:
    """A rank that leaves, and still waits for the meta service's word, refuses clients meanwhile."""
    url = spec.free_url()
    with spec.Raw(url) as raw, services.added(bmHcomUrl=url) as leaving:
        assert spec.code_of(raw.greet()) == -3018
        with spec.stopped(spec.pids_of(services.meta)[1]):
            ending = threading.Thread(target=capi.mmcs_local_service_stop, args=(leaving,))
            ending.start()
            wait_until(lambda: spec.code_of(raw.greet()) == -3003, "it refuses", 1)
            ending.join()


def test_minus_3004_when_the_rank_of_a_removal_stands_still(services: Services, client: mmc.Client) -> None:
    """The meta service lives and the rank does not answer by the deadline: undecided, and later done."""
    assert put("slow", b"x", preferredLocalServiceIDs=[1]) == 0
    wait_until(lambda: client.query("slow").size == 1, "it is known")
    with spec.stopped(spec.pids_of(services.locals[1])[0]):
        assert capi.mmcc_remove("slow", 0) == -3004
        failed(-3004, "slow")
    wait_until(lambda: capi.mmcc_exist("slow", 0) == -3007, "it is removed")


@pytest.mark.usefixtures("client")
def test_minus_3005_for_what_was_done_already(services: Services) -> None:
    """A second init, a second service on a URL, a second rank of a number, a range registered twice."""
    assert capi.mmcc_init(capi.mmc_client_config_t(services.url)) == -3005
    assert capi.mmcs_meta_service_start(capi.mmc_meta_service_config_t(services.url)) is None
    failed(-3005)
    assert services.add(rankId=0) is None
    failed(-3005)
    memory = Memory(100)
    assert capi.mmcc_register_buffer(memory.at, 50) == 0
    assert capi.mmcc_register_buffer(memory.at, 50) == -3005
    assert capi.mmcc_register_buffer(memory.at + 49, 50) == -3000
    assert capi.mmcc_register_buffer(memory.at + 50, 50) == 0


def test_minus_3005_is_for_a_url_and_port_0_is_another_one_each_time() -> None:
    """A process may start several services at any free port."""
    anywhere = "tcp://127.0.0.1:0"
    with Services(0, discoveryURL=anywhere) as first, Services(0, discoveryURL=anywhere) as second:
        assert first.url != second.url
        assert capi.mmcs_meta_service_start(capi.mmc_meta_service_config_t(first.url)) is None
        failed(-3005)


@pytest.mark.usefixtures("client")
def test_minus_3006_for_a_key_that_exists_and_a_rank_that_is_taken(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first object stays; a rank of another process keeps its number."""
    assert put("twice", b"first") == 0
    assert put("twice", b"other") == -3006
    memory = Memory(5)
    assert capi.mmcc_get("twice", memory.buffer(), 0) == 0
    assert memory.bytes() == b"first"
    monkeypatch.setenv("MMC_META_SUSPECT_MS", "1000")
    options = LaunchOptions(
        meta_url=services.url, control_url="tcp://127.0.0.1:0", dram="4MB", rank=6, keep=False
    )
    other = Service("local", options)
    try:
        assert services.add(rankId=6) is None
        failed(-3006)
    finally:
        other.end()


@pytest.mark.usefixtures("client")
def test_minus_3007_and_minus_3101_while_it_is_written(store: mmc.DistributedObjectStore) -> None:
    """No call finds what is being written; a lease fails at once, a put at its deadline, until it is done."""
    assert store.batch_alloc(["open"], [8])[0] > 0
    for key in ("missing", "open"):
        assert capi.mmcc_exist(key, 0) == -3007
        assert capi.mmcc_get(key, Memory(8).buffer(), 0) == -3007
        assert capi.mmcc_query(key, capi.mmc_data_info(), 0) == -3007
    assert capi.mmcc_remove("missing", 0) == -3007
    failed(-3007, "missing")
    assert store.batch_add_lease(["open"]) == [-3101]
    began = time.monotonic()
    assert put("open", b"x") == -3101
    assert 0.5 < time.monotonic() - began < 3
    assert store.batch_write_finish(["open"], 0) == [0]
    assert put("open", b"x") == -3006


def test_minus_3008_with_neither_setup_nor_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store and a meta service that nobody has told anything do not guess."""
    for variable in ("MMC_LOCAL_CONFIG_PATH", "MMC_META_CONFIG_PATH"):
        monkeypatch.delenv(variable, raising=False)
    assert mmc.DistributedObjectStore().init(0) == -3008
    failed(-3008)
    assert mmc.MetaService.main() == -3008


def test_minus_3009_minus_3010_and_minus_3015_on_a_raw_socket(client: mmc.Client, services: Services) -> None:
    """A number used again, one that never was in the window, and an operation nobody knows."""
    remove = Remove((b"missing",))
    with spec.Raw(services.url) as raw:
        raw.greet()
        first = raw.ask(remove, 1)
        assert spec.code_of(raw.ask(remove, 1)) == -3009
        assert raw.send(encode(Header(0, raw.session, 1, RETRY, raw.epoch, 5000), remove)) == first
        assert spec.code_of(raw.ask(remove, 5000)) == -3010
        head, body = encode(Header(0, raw.session, 2, 0, raw.epoch), Lookup((b"k",)))
        unknown = head.replace(bytes([Operation.LOOKUP]), b"\x63", 1)
        assert spec.code_of(raw.send((unknown, body))) == -3015
        raw.session += 1
        assert spec.code_of(raw.ask(remove, 2)) == -3010
    with spec.Raw(client.connection.actor.members[0].control_url) as rank:
        assert spec.code_of(rank.ask(Lookup((b"k",)), 1)) == -3015


def test_minus_3011_for_a_second_finish_and_minus_3102_for_what_is_not_ours(
    store: mmc.DistributedObjectStore,
) -> None:
    """A write ends once; what this store did not allocate, or does not have, it cannot finish or remove."""
    assert store.batch_alloc(["split"], [8])[0] > 0
    assert store.batch_write_finish(["split"], 0) == [0]
    assert store.batch_write_finish(["split", "never"], 0) == [-3011, -3102]
    assert store.remove("missing") == -3102


def test_minus_3013_for_what_is_too_large_and_minus_3016_for_no_space(lonely: Services) -> None:
    """Too large for the pool, a rank beyond worldSize; a pool of leased objects, too few ranks for copies."""
    assert lonely.add(worldSize=1) is None
    failed(-3013)
    with spec.connected(lonely.url, timeOut=3):
        assert put("large", bytes(20 * MB)) == -3013
        assert put("copies", b"x", replicaNum=2) == -3016
        keys = [f"leased-{number}" for number in range(6)]
        for key in keys:
            assert put(key, bytes(2 * MB)) == 0
            capi.opened_client().add_lease(key)
        assert put("more", bytes(6 * MB)) == -3016
        assert not any(capi.opened_client().unlease_batch(keys))
        assert put("more", bytes(6 * MB)) == 0


def test_minus_3014_for_a_miss_while_a_rank_has_not_reported(services: Services, client: mmc.Client) -> None:
    """A new meta service that has not heard a rank cannot say that a key is missing; hits stay hits."""
    assert put("hit", b"x", preferredLocalServiceIDs=[1]) == 0
    wait_until(lambda: client.query("hit").size == 1, "it is known")
    with spec.stopped(spec.pids_of(services.locals[0])[0]):
        os.kill(spec.pids_of(services.meta)[1], signal.SIGKILL)
        wait_until(lambda: capi.mmcc_exist("missing", 0) == -3014, "the new one knows of the rank")
        wait_until(lambda: capi.mmcc_exist("hit", 0) == 0, "the other rank has reported")
        assert capi.mmcc_get("missing", Memory(8).buffer(), 0) == -3014
        assert capi.mmcc_query("missing", capi.mmc_data_info(), 0) == -3014
        results = [7, 7]
        assert capi.mmcc_batch_exist(["hit", "missing"], 2, results, 0) == 0
        assert results == [0, -3014]
    wait_until(lambda: capi.mmcc_exist("missing", 0) == -3007, "both have reported")


def test_minus_3017_without_an_answer(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody at the URL, or a meta service that stands still."""
    with spec.connected(services.url, timeOut=1), spec.stopped(spec.pids_of(services.meta)[1]):
        results = [7]
        assert capi.mmcc_batch_exist(["missing"], 1, results, 0) == 0
        assert results == [-3017]
        assert capi.mmcc_exist("missing", 0) == -3017
    monkeypatch.setenv("MMC_CLIENT_CONNECT_TIMEOUT_MS", "300")
    url = spec.free_url()
    assert capi.mmcc_init(capi.mmc_client_config_t(url)) == -3017
    failed(-3017, url)
    assert services.add(discoveryURL=url) is None
    failed(-3017, url)


def test_minus_3018_for_a_rank_that_is_not_there(services: Services) -> None:
    """A preferred rank, and the client's own one, must be live."""
    with spec.connected(services.url):
        assert put("nowhere", b"x", preferredLocalServiceIDs=[spec.WORLD - 1]) == -3018
    assert capi.mmcc_init(capi.mmc_client_config_t(services.url, rankId=spec.WORLD - 1, timeOut=1)) == -3018


@pytest.mark.parametrize("name", spec.CALLS)
def test_minus_3019_without_a_client(services: Services, name: str) -> None:
    """Before init and after uninit every call, a coroutine too, answers -3019 and touches no output."""
    for _ in range(2):
        arguments = spec.well(name, Memory(8))
        assert vars(capi)[name](*arguments.values()) == -3019
        failed(-3019)
        assert arguments.get("exist_results", arguments.get("remove_results", [7])) == [7]
        if name in FACTS["asynchronous"]["names"]:
            assert asyncio.run(vars(aio)[name](*arguments.values())) == -3019
        with spec.connected(services.url):
            pass


def test_minus_3103_for_another_size_and_minus_3104_under_a_lease(client: mmc.Client) -> None:
    """A buffer of another size than the object's stays untouched; a leased object is not removed."""
    assert put("sized", b"12345678") == 0
    for size in (1, 7, 9):
        memory = Memory(size)
        assert capi.mmcc_get("sized", memory.buffer(), 0) == -3103
        assert memory.bytes() == bytes(size)
    failed(-3103, "sized")
    client.add_lease("sized")
    assert capi.mmcc_remove("sized", 0) == -3104
    results = [7]
    assert capi.mmcc_batch_remove(["sized"], 1, results, 0) == 1
    assert results == [-3104]
    client.remove_lease("sized")
    assert capi.mmcc_remove("sized", 0) == 0


# Many threads, many loops


@pytest.mark.usefixtures("client")
def test_each_thread_has_its_own_answers_and_its_own_last_failure() -> None:
    """Many calls at once get each its own object and code; another thread's last failure is untouched."""
    assert capi.mmcc_remove("main's", 0) == -3007

    def work(number: int) -> None:
        assert mmc.last_error().code == 0
        for at in range(30):
            key, content, memory = f"t-{number}-{at}", bytes([number + 1] * 64), Memory(64)
            assert put(key, content) == 0
            assert capi.mmcc_get(key, memory.buffer(), 0) == 0
            assert memory.bytes() == content
            assert capi.mmcc_batch_exist([key, f"no-{key}"], 2, [7, 7], 0) == 0
            wrong = (put(key, content), -3006) if number % 2 else (capi.mmcc_exist(f"no-{key}", 0), -3007)
            assert wrong[0] == wrong[1] == mmc.last_error().code
            assert capi.mmcc_remove(key, 0) == 0

    spec.run_threads(work)
    failed(-3007, "main's")


def test_uninit_while_others_call(services: Services) -> None:
    """Calls in progress finish or answer -3019, those after it answer -3019; it fails in no thread."""
    begun = threading.Barrier(9)

    def work(number: int) -> None:
        codes = {put(f"u-{number}", b"x")}
        begun.wait(10)
        while -3019 not in codes:
            codes |= {put(f"u-{number}", b"x"), capi.mmcc_exist(f"u-{number}", 0)}
        assert codes <= {0, -3006, -3019}

    for _ in range(6):
        with spec.connected(services.url):
            spec.run_threads(work, lambda: (begun.wait(10), capi.mmcc_uninit()))


def test_a_cancelled_coroutine_leaves_the_client_usable(services: Services, client: mmc.Client) -> None:
    """Cancelled while a rank stands still; afterwards it is as if the call had been made or not."""

    async def cancel() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(aio.mmcc_remove("cancelled", 0), 0.2)
        assert await aio.mmcc_query("other", capi.mmc_data_info(), 0) == 0

    for key in ("cancelled", "other"):
        assert put(key, b"x", preferredLocalServiceIDs=[1]) == 0
        wait_until(lambda key=key: client.query(key).size == 1, "it is known")  # type: ignore[misc]
    with spec.stopped(spec.pids_of(services.locals[1])[0]):
        asyncio.run(cancel())
    wait_until(lambda: capi.mmcc_exist("cancelled", 0) == -3007, "its removal was under way")
    assert put("cancelled", b"again") == 0
