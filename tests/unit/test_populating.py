"""Memory that is made present in the background."""

import weakref
from threading import Thread

import pytest

from mmc.populating import Populating
from mmc.segments.mapping import heap_memory

SIZE = 1 << 26
STEP = 1 << 16


@pytest.mark.parametrize("begins", [True, False])
def test_nothing_is_kept_after_the_end(*, begins: bool) -> None:
    """Neither what it is at nor what waits: a closed client's segments go at once."""
    populating = Populating(STEP)
    memories = [heap_memory(SIZE) for _ in range(2)]
    for memory in memories:
        populating.add(memory)
    if begins:
        populating.begin()
    populating.end()
    left = [weakref.ref(memory) for memory in memories]
    del memory
    memories.clear()
    assert [each() for each in left] == [None, None]


def test_a_client_that_is_closed_while_its_thread_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end waits for the thread that is being started, instead of failing."""
    populating = Populating(STEP)
    failures: list[Exception] = []
    closers: list[Thread] = []

    def end() -> None:
        try:
            populating.end()
        except RuntimeError as failure:
            failures.append(failure)

    class Late(Thread):
        """Somebody else closes the client before this one has started."""

        def start(self) -> None:
            """Begin once the other has ended it, or waits."""
            closers.append(Thread(target=end))
            closers[0].start()
            closers[0].join(0.2)
            super().start()

    populating.add(heap_memory(SIZE))
    monkeypatch.setattr("threading.Thread", Late)
    populating.begin()
    closers[0].join(10)
    assert failures == []
    assert not closers[0].is_alive()
