"""Threads that copy together."""

import os
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from mmc.transfer.crew import Crew

MIB = 1 << 20


@pytest.fixture(params=[1, 2, 8])
def crew(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Crew]:
    """Crews of several sizes, on a machine that has cores for all of them."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(8)))
    crew = Crew(request.param)
    yield crew
    crew.close()


class Noted:
    """Work of so many equal parts that notes who did them, and may fail; without parts it is not shared."""

    def __init__(self, size: int, parts: int, *, fails: bool = False) -> None:
        self.size = size
        self._parts = parts
        self.done_by: list[int] = []
        self.finished = 0
        self._fails = fails

    def parts(self, least: int, total: int) -> list[Callable[[], object]]:
        """Each is done as the whole is."""
        assert least == MIB
        assert total >= 2 * MIB
        return [self.perform] * self._parts

    def finish(self) -> None:
        """Note how many parts were done by then."""
        self.finished = len(self.done_by)

    def perform(self) -> None:
        """Note it."""
        self.done_by.append(threading.get_ident())
        if self._fails:
            raise ValueError("as planned")


@pytest.mark.parametrize("size", [0, 1, MIB, 2 * MIB - 1, 2 * MIB, 5 * MIB + 123])
def test_a_copy_is_whole(crew: Crew, size: int) -> None:
    """Whatever its size, all of it and nothing else is copied."""
    source = np.frombuffer(os.urandom(size), np.uint8)
    target = np.zeros(size + 2, np.uint8)
    crew.copy(target[1:-1], source)
    assert np.array_equal(target[1:-1], source)
    assert (target[0], target[-1]) == (0, 0)


@pytest.mark.parametrize(("count", "size"), [(0, 0), (1, 8 * MIB), (9, MIB), (40, 64)])
def test_each_work_is_done_once(crew: Crew, count: int, size: int) -> None:
    """However many there are, and whoever does them."""
    works = [Noted(size, 1) for _ in range(count)]
    crew.perform(works)
    assert [len(work.done_by) for work in works] == [1] * count


def test_a_work_is_finished_when_all_its_parts_are_done(crew: Crew) -> None:
    """Where nobody helps it is done as a whole."""
    works = [Noted(2 * MIB, 5) for _ in range(3)]
    crew.perform(works)
    done = [len(work.done_by) for work in works]
    assert (done, [work.finished for work in works]) in (([5] * 3, [5] * 3), ([1] * 3, [0] * 3))


@pytest.mark.parametrize("work", [(MIB, 0), (1000, 1)])
def test_small_pieces_are_not_shared(crew: Crew, work: tuple[int, int]) -> None:
    """What would take longer with help is done by the caller alone."""
    works = [Noted(MIB, 1), *(Noted(*work) for _ in range(8))]
    crew.perform(works)
    assert {who for each in works for who in each.done_by} == {threading.get_ident()}


def test_large_copies_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two works that wait for each other both end: two threads have them at the same time."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0, 1})
    crew = Crew(2)
    together = threading.Barrier(2, timeout=30)

    class Meeting(Noted):
        def perform(self) -> None:
            """Meet first."""
            together.wait()
            super().perform()

    works = [Meeting(4 * MIB, 1) for _ in range(2)]
    crew.perform(works)
    crew.close()
    assert len({who for work in works for who in work.done_by}) == 2


def test_a_failure_is_told_when_nobody_copies_any_more(crew: Crew) -> None:
    """An exception reaches the caller; what others had begun is over by then."""
    works = [Noted(4 * MIB, 1, fails=at == 1) for at in range(4)]
    with pytest.raises(ValueError, match="as planned"):
        crew.perform(works)
    assert all(len(work.done_by) <= 1 for work in works)


def test_a_closed_crew_copies_alone(crew: Crew) -> None:
    """Who comes late gets the copy all the same."""
    crew.copy(np.zeros(4 * MIB, np.uint8), np.ones(4 * MIB, np.uint8))
    crew.close()
    target = np.zeros(4 * MIB, np.uint8)
    crew.copy(target, np.ones(4 * MIB, np.uint8))
    assert target.all()


@pytest.mark.parametrize(("cores", "spared"), [({3}, 0), ({3, 4}, 1), ({3}, 1)])
def test_no_more_threads_than_cores(cores: set[int], spared: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is one core for this process, or one that is not spared, nobody helps."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: cores)
    crew = Crew(8, spared)
    works = [Noted(4 * MIB, 1) for _ in range(8)]
    crew.perform(works)
    assert {who for work in works for who in work.done_by} == {threading.get_ident()}
