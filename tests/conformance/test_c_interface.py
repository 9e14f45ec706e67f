"""A walk of the C interface: its names, every call made well and badly, and what each field does.

A documented field that does nothing fails the walk: each has a test marked with ``shows``.
"""

from __future__ import annotations

import asyncio
import ctypes
import dataclasses
import inspect
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

import mmc
from mmc import aio, capi
from mmc.log import get_log
from tests.conformance import specification as spec
from tests.conformance.specification import FACTS, LOCAL, Memory, Services, put
from tests.integration.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

shows = spec.Shown()
MB = 1 << 20
FUNCTIONS = FACTS["functions"]


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    """A meta service and two local services of 16 MB."""
    with Services() as services:
        yield services


@pytest.fixture
def client(services: Services) -> Iterator[str]:
    """The client of this process, connected; the URL of its cluster."""
    with spec.connected(services.url, timeOut=5):
        yield services.url


def test_the_functions_are_those_of_the_specification() -> None:
    """``mmc.capi`` has every documented function with its parameters in order, and no other."""
    there = {name for name in capi.__all__ if name.startswith("mmc") and inspect.isfunction(vars(capi)[name])}
    assert there == set(FUNCTIONS)
    for name, wanted in FUNCTIONS.items():
        parameters = inspect.signature(vars(capi)[name]).parameters.values()
        optional = FACTS["optional"].get(name, [])
        assert [one.name for one in parameters] == wanted + optional, name
        assert [one.name for one in parameters if one.default is not one.empty] == optional, name


def test_the_asynchronous_functions_are_coroutines_with_the_same_parameters() -> None:
    """``mmc.aio`` has a coroutine for each asynchronous function, and no other function."""
    there = {name for name in aio.__all__ if inspect.isfunction(vars(aio)[name])}
    assert there == set(FACTS["asynchronous"]["names"])
    for name in there:
        coroutine, blocking = vars(aio)[name], vars(capi)[name]
        assert inspect.iscoroutinefunction(coroutine)
        assert list(inspect.signature(coroutine).parameters) == list(inspect.signature(blocking).parameters)


def test_structures_handles_and_enumerations_are_those_of_the_specification() -> None:
    """Each has exactly its documented fields or members, and an unknown field cannot be set."""
    for name, fields in FACTS["structures"].items():
        structure = vars(capi)[name]
        assert {field.name for field in dataclasses.fields(structure)} == set(fields), name
        with pytest.raises(AttributeError):
            structure().undocumented = 1
    for name, members in FACTS["enumerations"].items():
        assert {member.name for member in vars(capi)[name]} == set(members)
    assert all(inspect.isclass(vars(capi)[name]) for name in FACTS["handles"]["names"])


@pytest.mark.parametrize("field", spec.FIELDS)
def test_every_field_has_a_test_that_shows_its_effect(field: str) -> None:
    """A documented field without a test of what it does is as good as ignored."""
    assert field in shows.tests


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("name", spec.CALLS)
def test_a_right_call_is_answered_and_a_wrong_one_is_minus_3000(name: str) -> None:
    """Every argument wrong in turn gets -3000 with a sentence and does nothing; all of them right get 0."""
    assert capi.mmcc_remove("walk", 0) in (0, -3007)
    if name not in ("mmcc_put", "mmcc_batch_put"):
        assert put("walk", b"8 bytes!") == 0
    memory, unlike = Memory(8), {}
    for parameter in FUNCTIONS[name]:
        for wrong in spec.WRONG[parameter]:
            try:
                code = vars(capi)[name](*{**spec.well(name, memory), parameter: wrong}.values())
            except Exception as error:  # boundary: every wrong argument is tried, whatever one of them raises
                code = repr(error)
            if code != -3000 or mmc.last_error().code != -3000 or not mmc.last_error().sentence:
                unlike[f"{parameter} = {wrong!r}"[:70]] = code
    assert memory.bytes() == bytes(8)
    assert unlike == {}
    arguments = spec.well(name, memory)
    assert vars(capi)[name](*arguments.values()) == 0, mmc.last_error()
    assert 7 not in arguments.get("exist_results", []) + arguments.get("remove_results", [])


@pytest.mark.parametrize(("structure", "field"), spec.CONFIGURED)
def test_a_wrong_value_in_a_configuration_is_minus_3000(
    services: Services, structure: str, field: str
) -> None:
    """Every field of a configuration refuses what it cannot mean, and nothing is started."""
    unlike = {}
    for wrong in spec.BAD_FIELDS[field]:
        config = vars(capi)[structure](discoveryURL=services.url)
        if structure == LOCAL:
            config = services.config()
        setattr(config, field, wrong)
        try:
            got = spec.STARTS[structure](config)
        except (TypeError, AttributeError, ValueError) as error:
            unlike[repr(wrong)] = repr(error)
            continue
        if got not in (None, -3000) or mmc.last_error().code != -3000:
            unlike[repr(wrong)] = f"{got}: {mmc.last_error()}"
        if structure == LOCAL and got is not None:
            capi.mmcs_local_service_stop(got)
    capi.mmcc_uninit()
    assert unlike == {}


@shows("mmc_client_config_t.rankId", "mmc_put_options.policy", "mmc_local_service_config_t.discoveryURL")
@pytest.mark.parametrize("rank", [0, 1])
def test_the_client_s_rank_is_its_local_service_and_where_its_puts_land(
    services: Services, rank: int
) -> None:
    """The own rank is answered, in a list or a ctypes integer, and holds what is put without preference."""
    with spec.connected(services.url, rankId=rank):
        number, numbers = ctypes.c_uint32(7), [7]
        assert capi.mmcc_local_service_id(number) == capi.mmcc_local_service_id(numbers) == 0
        assert (number.value, numbers) == (rank, [rank])
        for at in range(4):
            assert put(f"home-{rank}-{at}", b"x") == 0
            assert spec.query(f"home-{rank}-{at}").ranks == [rank]


@shows("mmc_client_config_t.discoveryURL", "mmc_meta_service_config_t.discoveryURL")
@shows("mmc_meta_service_config_t.logLevel")
def test_each_discovery_url_is_a_cluster_of_its_own(
    services: Services, capfd: pytest.CaptureFixture[str]
) -> None:
    """A meta service is found where it was told to be, and knows nothing of another one's ranks and keys."""
    url = spec.free_url()
    with Services(0, discoveryURL=url, logLevel=3) as other:
        assert other.url == url
        assert "service=meta" not in capfd.readouterr().err
        with spec.connected(services.url):
            assert put("only-here", b"x") == 0
        with spec.connected(url):
            assert capi.mmcc_exist("only-here", 0) == -3014, "no rank has reported there"
            assert capi.mmcc_local_service_id([7]) == -3018


@shows("mmc_client_config_t.timeOut")
def test_a_call_ends_by_timeOut(services: Services) -> None:  # noqa: N802 - the field's name
    """With a meta service that stands still, a call returns after timeOut seconds, init too."""
    with spec.connected(services.url, timeOut=1), spec.stopped(spec.pids_of(services.meta)[1]):
        began = time.monotonic()
        assert capi.mmcc_exist("missing", 0) in (-3004, -3017)
        assert 0.8 < time.monotonic() - began < 3
    assert capi.mmcc_init(capi.mmc_client_config_t(spec.free_url(), timeOut=1)) == -3017
    assert time.monotonic() - began < 6


@shows("mmc_client_config_t.logLevel", "mmc_client_config_t.logFunc")
def test_the_client_s_log(services: Services) -> None:
    """The function receives the lines of logLevel and above, each with its level."""
    lines: list[tuple[int, str]] = []
    for level in range(4):
        with spec.connected(services.url, logLevel=level, logFunc=lambda *line: lines.append(line)):
            log = get_log("walk")
            for say in (log.debug, log.info, log.warning, log.error):
                say("walked")
    assert [level for level, text in lines if "walked" in text] == [0, 1, 2, 3, 1, 2, 3, 2, 3, 3]


def test_the_calls_of_the_log() -> None:
    """The function gets lines of the level and above, what it raises goes no further; nonsense is -3000."""
    lines: list[str] = []

    def note(_level: int, line: str) -> None:
        lines.append(line)
        raise RuntimeError(line)

    assert capi.mmc_set_extern_logger(note) == capi.mmc_set_log_level(2) == 0
    get_log("walk").warning("loud")
    assert capi.mmc_set_log_level(3) == 0
    get_log("walk").warning("quiet")
    assert {capi.mmc_set_extern_logger(wrong) for wrong in spec.BAD_FIELDS["logFunc"]} == {-3000}
    assert {capi.mmc_set_log_level(wrong) for wrong in spec.BAD_FIELDS["logLevel"]} == {-3000}
    assert [("loud" in line, "quiet" in line) for line in lines] == [(True, False)]
    spec.quiet()


@shows("tls_config.tlsEnable", *(f"{structure}.tlsConfig" for structure in spec.STARTS))
def test_tls_is_refused_with_a_sentence(services: Services) -> None:
    """Until it is built, TLS that is asked for is an error and never ignored."""
    for structure, start in spec.STARTS.items():
        config = vars(capi)[structure](discoveryURL=services.url, tlsConfig=capi.tls_config(tlsEnable=True))
        assert start(config) in (None, -3000)
        assert "TLS" in str(mmc.last_error())


@shows(*spec.TLS_FILES)
@pytest.mark.parametrize("field", spec.TLS_FILES)
def test_the_files_of_tls_are_accepted_while_it_is_off(services: Services, field: str) -> None:
    """A path of TLS that leads nowhere hinders nobody while TLS is off."""
    tls = capi.tls_config()
    setattr(tls, field.partition(".")[2], "/nonexistent")
    with spec.connected(services.url, tlsConfig=tls):
        assert capi.mmcc_exist("missing", 0) == -3007


@shows("ReplicateConfig.replicaNum", "ReplicateConfig.preferredLocalServiceIDs")
@shows("mmc_put_options.replicaNum", "mmc_put_options.preferredLocalServiceIDs", "mmc_put_options.mediaType")
def test_replicas_are_where_they_were_asked_for(client: str) -> None:
    """So many ranks hold it, among them the preferred ones, whichever structure asks; media are DRAM."""
    wanted = ((2, [-1], [0, 1]), (1, [0], [0]), (1, [1], [1]), (2, [1], [0, 1]))
    with spec.opened_store(client) as store:
        for at, (copies, preferred, ranks) in enumerate(wanted):
            config = capi.ReplicateConfig(copies, preferred)
            assert put(f"c-{at}", b"x", mediaType=at % 2, **dataclasses.asdict(config)) == 0
            assert store.put(f"python-{at}", b"x", config) == 0
            for key in (f"c-{at}", f"python-{at}"):
                assert sorted(spec.query(key).ranks) == ranks
                assert spec.query(key).types == [1] * copies
    assert put("ssd", b"x", mediaType=2) == -3000


@shows("mmc_meta_service_config_t.evictThresholdHigh", "mmc_meta_service_config_t.evictThresholdLow")
def test_thresholds_and_log_level_of_a_meta_service(capfd: pytest.CaptureFixture[str]) -> None:
    """A pool stays as it is up to the high threshold, is evicted down to the low one above it."""
    with Services(1, logLevel=1, evictThresholdHigh=60, evictThresholdLow=30) as other:
        assert "service=meta" in capfd.readouterr().err
        with spec.connected(other.url):
            for number in range(18):  # of 32 that fit: 56 %
                assert put(f"fill-{number}", bytes(MB // 2)) == 0
            wait_until(lambda: other.counters(0)["used_bytes"] == 9 * MB, "all of it is counted")
            for number in range(18, 21):  # 66 %
                assert put(f"fill-{number}", bytes(MB // 2)) == 0
            wait_until(lambda: 3 * MB < other.counters(0)["used_bytes"] < 6 * MB, "it is evicted")


@shows(*(f"{LOCAL}.{field}" for field in ("rankId", "bmIpPort", "bmHcomUrl", "localDRAMSize", "logFunc")))
def test_a_local_service_is_what_its_configuration_says(services: Services) -> None:
    """It has its number and size, listens and hears at its addresses; its death is told under no lock."""
    ended: list[bool] = []
    url = spec.free_url()

    def note(_level: int, line: str) -> None:
        if "died" in line:
            stopping = threading.Thread(target=capi.mmcs_local_service_stop, args=(fifth,))
            stopping.start()
            stopping.join(3)
            ended.append(not stopping.is_alive())

    with socket.create_server(("127.0.0.1", 0)) as events:
        events.settimeout(5)
        hears = f"tcp://127.0.0.1:{events.getsockname()[1]}"
        fields = {"rankId": 5, "bmHcomUrl": url, "bmIpPort": hears, "localDRAMSize": "4MB", "logLevel": 2}
        with services.added(**fields, logFunc=note) as fifth:
            assert fifth.rankId == 5
            assert spec.listens(url)
            events.accept()[0].close()
            wait_until(lambda: services.counters(5).get("capacity_bytes") == 4 * MB, "it says its size")
            services.kill(fifth)
            wait_until(lambda: bool(ended), "its death is logged")
    spec.quiet()
    assert ended == [True]


@shows(f"{LOCAL}.logLevel", f"{LOCAL}.worldSize", f"{LOCAL}.createId")
def test_ranks_of_another_cluster_are_refused(services: Services, capfd: pytest.CaptureFixture[str]) -> None:
    """All ranks have the same worldSize and createId; the service itself logs from logLevel on."""
    for fields in ({"worldSize": 9}, {"createId": 1}):
        assert services.add(**fields) is None
        assert mmc.last_error().code == -3000
        assert f"{fields}".strip("{}'").replace("': ", " ") in mmc.last_error().sentence
    heard = [""]

    def is_told() -> bool:
        heard[0] += capfd.readouterr().err
        return "event=serving" in heard[0]

    with services.added(logLevel=1, localDRAMSize="4MB"):
        wait_until(is_told, "the service says that it serves")
    heard[0] = ""
    with services.added(logLevel=3, localDRAMSize="4MB"):
        pass
    assert not is_told()


@shows(*(f"{LOCAL}.{field}" for field in ("deviceId", "localHBMSize", "flags")))
def test_what_has_no_other_effect_here_is_checked_and_named(services: Services) -> None:
    """Devices, their memory and flags, and a rank beyond the world, are refused by name."""
    for field, wrong in {"deviceId": -1, "localHBMSize": "1GB", "flags": 1, "rankId": spec.WORLD}.items():
        assert services.add(**{field: wrong}) is None
        assert mmc.last_error().code == -3000
        assert field in mmc.last_error().sentence


@shows(f"{LOCAL}.dataOpType")
def test_the_log_says_that_there_is_no_rdma(services: Services) -> None:
    """``host_rdma`` says once that there is none here; what asks for less does not; devices are refused."""
    lines: list[str] = []
    for kind in ("host_shm", "host_rdma"):
        assert not any("RDMA" in line for line in lines)
        with services.added(dataOpType=kind, logLevel=1, logFunc=lambda _, line: lines.append(line)):
            pass
    spec.quiet()
    assert services.add(dataOpType="device_rdma") is None
    assert "RDMA" in mmc.last_error().sentence
    assert sum("RDMA" in line for line in lines) == 1


@shows(*(field for field in spec.FIELDS if field.partition(".")[0] in ("mmc_buffer", "oneDim", "twoDim")))
@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("rows", spec.ROWS)
def test_rows_are_stored_packed(rows: tuple[int, ...]) -> None:
    """What is put with two dimensions is got with one, and the other way round; the rest stays untouched."""
    pitch, first, width, count, layers = rows
    cells = [pitch * row + at for row in range(first, first + count) for at in range(width)]
    source, flat, back = Memory(bytes(range(1, 73))), Memory(len(cells) + 2), Memory(72)
    packed = bytes(source.bytes()[at] for at in cells)
    key = f"rows-{rows}"
    for medium in (0, 1):
        buffer = source.rows(*rows)
        buffer.type = medium
        assert capi.mmcc_put(f"{key}-{medium}", buffer, capi.mmc_put_options(), 0) == 0
    buffer.type = 2
    assert capi.mmcc_put(key, buffer, capi.mmc_put_options(), 0) == -3000
    assert capi.mmcc_get(f"{key}-0", flat.buffer(1, len(cells)), 0) == 0
    assert flat.bytes() == b"\0" + packed + b"\0"
    assert put(key, packed) == 0
    assert capi.mmcc_get(key, back.rows(*rows), 0) == 0
    assert {at for at, byte in enumerate(back.bytes()) if byte} == set(cells)
    assert bytes(back.bytes()[at] for at in cells) == packed
    assert capi.mmcc_get(key, back.rows(pitch, first, width, count, first + count), 0) == 0
    for wrong in ((pitch, first, width, count, first + count - 1), (width - 1, first, width, count, layers)):
        assert capi.mmcc_get(key, back.rows(*wrong), 0) == -3000


@shows(*(field for field in spec.FIELDS if field.startswith("mmc_data_info.")))
@pytest.mark.usefixtures("client")
def test_what_is_known_of_an_object() -> None:
    """Size, lease, replicas, ranks and media are what they are; of a missing object all is zero."""
    assert put("known", bytes(100), replicaNum=2) == 0
    wait_until(lambda: spec.query("known").numBlobs == 2, "both replicas are known")
    info = spec.query("known")
    assert info == capi.mmc_data_info(100, 0, 2, valid=True, ranks=info.ranks, types=[1, 1])
    assert sorted(info.ranks) == [0, 1]
    capi.opened_client().add_lease("known")
    assert spec.query("known").prot == 1
    assert capi.mmcc_query("missing", info, 0) == -3007
    assert info == capi.mmc_data_info()


@pytest.mark.usefixtures("client")
def test_a_batch_has_a_code_for_each_key() -> None:
    """One key that fails alone has its code in its place, in lists and in ctypes arrays."""
    keys, memories = ["b0", "", "b1"], [Memory(bytes([at] * 8)) for at in range(1, 4)]
    options, buffers = capi.mmc_put_options(), [memory.buffer() for memory in memories]
    results, array = [7, 7, 7], (ctypes.c_int32 * 3)(7, 7, 7)
    assert capi.mmcc_batch_put(keys, 3, buffers, options, 0, results) == -3000
    assert results == [0, -3000, 0]
    assert capi.mmcc_batch_put(keys, 3, buffers, options, 0) == -3006
    assert capi.mmcc_batch_get(["b1", "no", "b0"], 3, buffers, 0, array) == -3007
    assert list(array) == [0, -3007, 0]
    assert [memory.bytes()[0] for memory in memories] == [3, 2, 1]
    infos = [capi.mmc_data_info(valid=True) for _ in range(3)]
    assert capi.mmcc_batch_query(["b0", "no", "b1"], 3, infos, 0) == 0
    assert [info.valid for info in infos] == [True, False, True]
    assert capi.mmcc_batch_exist(["b0", "no", "b1"], 3, array, 0) == 0
    assert list(array) == [0, -3007, 0]
    assert capi.mmcc_batch_remove(["b0", "no", "b1"], 3, results, 0) == 1
    assert results == [0, -3007, 0]


@pytest.mark.usefixtures("client")
def test_event_loops_one_after_another() -> None:
    """Each loop makes all asynchronous calls on the same client, at once."""

    async def work(number: int) -> None:
        memories, options = [Memory(bytes([at])) for at in range(8)], capi.mmc_put_options()
        keys, buffers = [f"loop-{number}-{at}" for at in range(8)], [memory.buffer() for memory in memories]
        puts = [aio.mmcc_put(key, buffer, options, 0) for key, buffer in zip(keys, buffers, strict=True)]
        assert not any(await asyncio.gather(*puts))
        assert await aio.mmcc_batch_put(keys, 8, buffers, options, 0) == -3006
        assert await aio.mmcc_get(keys[1], buffers[0], 0) == 0
        assert await aio.mmcc_batch_get(keys[::-1], 8, buffers, 0, [7] * 8) == 0
        assert [memory.bytes()[0] for memory in memories] == list(range(7, -1, -1))
        assert await aio.mmcc_query(keys[0], info := capi.mmc_data_info(), 0) == 0
        assert info.size == 1
        assert not any(await asyncio.gather(*(aio.mmcc_remove(key, 0) for key in keys)))

    for number in range(3):
        asyncio.run(work(number))
