"""The calls of a row: which keys they take, what is checked, and what is left afterwards."""

from __future__ import annotations

import pytest

from mmc.bench.dataset import Content, Dataset, Part
from mmc.bench.rows import BY_NAME
from mmc.bench.workload import Workload, WrongBytesError, never_seen
from tests.unit.bench.dictionary_store import DictionaryStore

DATASET = Dataset(200, 4, 4, 2)


@pytest.fixture
def store() -> DictionaryStore:
    """A loaded store."""
    return DictionaryStore()


@pytest.fixture
def workload(store: DictionaryStore) -> Workload:
    """What is measured of it."""
    made = Workload(store, DATASET, Content.drawn(0), seed=0)
    made.load()
    return made


def test_every_object_is_loaded(store: DictionaryStore, workload: Workload) -> None:
    """A loaded store has every key of every size, with its bytes."""
    assert workload.can(BY_NAME["get_8m"])
    assert len(store.kept) == DATASET.objects
    assert sum(map(len, store.kept.values())) == DATASET.stored_bytes


def test_a_key_that_is_to_be_new_is_read_once(store: DictionaryStore, workload: Workload) -> None:
    """Rounds of the row for new keys never draw a key twice, and no other row draws one of them."""
    for _ in range(3):
        assert len(workload.measure(BY_NAME["get_4k_new"], 40).nanoseconds) == 40
    assert len(set(store.asked)) == len(store.asked) == never_seen(DATASET.small)
    new = set(store.asked)
    store.asked.clear()
    workload.measure(BY_NAME["get_4k_warm"], 300)
    assert not new & set(store.asked)


def test_new_keys_run_out_with_a_sentence(workload: Workload) -> None:
    """More reads of new keys than there are new keys are refused."""
    with pytest.raises(WrongBytesError, match="every key was read before"):
        workload.measure(BY_NAME["get_4k_new"], DATASET.small)


@pytest.mark.parametrize("row", ["get_4k_warm", "get_1m", "get_16x1m", "put_4k"])
def test_a_wrong_byte_is_seen(store: DictionaryStore, workload: Workload, row: str) -> None:
    """One flipped bit in what a store gives ends the measurement."""
    store.spoils = True
    with pytest.raises(WrongBytesError, match="other bytes"):
        workload.measure(BY_NAME[row], 2)


def test_a_wrong_answer_is_seen(store: DictionaryStore, workload: Workload) -> None:
    """A store that denies a key which is there ends the measurement."""
    workload.measure(BY_NAME["missing_64"], 3)
    store.denies = True
    with pytest.raises(WrongBytesError, match="wrong about a key"):
        workload.measure(BY_NAME["exist_64"], 3)


def test_puts_leave_nothing(store: DictionaryStore, workload: Workload) -> None:
    """What a row has put is removed, and its messages are counted."""
    before = set(store.kept)
    measured = workload.measure(BY_NAME["put_64x4k"], 5)
    assert measured.messages == len(measured.nanoseconds) == 5
    assert set(store.kept) == before


def test_a_store_is_asked_only_for_what_it_can(workload: Workload) -> None:
    """A store without pieces and views has no figures in their rows."""
    assert not workload.can(BY_NAME["get_pieces"])
    assert not workload.can(BY_NAME["put_4_layered"])
    assert not workload.can(BY_NAME["view_8m"])
    assert workload.can(BY_NAME["exist_1000"])


def test_keys_are_as_long_as_they_are_in_use() -> None:
    """Keys are distinct, of 60 to 165 bytes, and of every length between."""
    keys = DATASET.keys(Part.SMALL)
    assert len(set(keys)) == DATASET.small
    assert {len(key) for key in keys} == set(range(60, 166))
    assert DATASET.key(Part.SMALL, 1) != DATASET.key(Part.MIDDLE, 1) != DATASET.key(Part.MIDDLE, 1, "put")


def test_objects_differ() -> None:
    """Objects of a size have different bytes, the same in every process."""
    first, second = Content.drawn(7), Content.drawn(7)
    for part in Part:
        assert first.of(part, 1).tobytes() == second.of(part, 1).tobytes()
        assert first.of(part, 1).tobytes() != first.of(part, 2).tobytes()
        assert first.of(part, 1).nbytes == part.size
