"""Memory that is made present in the background."""

import weakref

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
