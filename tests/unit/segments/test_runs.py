"""A copy that several threads make in parts."""

import os

from hypothesis import given
from hypothesis import strategies as st

from mmc.segments.mapping import heap_memory
from mmc.segments.memory import BESIDE_BYTES
from mmc.segments.reader import Hit, runs_of
from tests.heap import heap_segment


@given(
    sizes=st.lists(st.sampled_from([1, 7, BESIDE_BYTES - 1, BESIDE_BYTES, 3 * BESIDE_BYTES]), max_size=12),
    least=st.sampled_from([BESIDE_BYTES, 2 * BESIDE_BYTES]),
    excess=st.sampled_from([0, 0, 0, 1]),
)
def test_the_runs_of_a_copy_are_all_of_it(sizes: list[int], least: int, excess: int) -> None:
    """In order, each byte once; and none where most bytes lie in small pieces, or the sizes differ."""
    content = os.urandom(64) * (sum(sizes) // 64 + 1)
    segment = heap_segment()
    segment.memory = heap_memory(len(content))
    segment.memory.copy_in(0, memoryview(content))
    targets = [bytearray(size) for size in sizes]
    hit = Hit(segment, 0, 2, 0, 0, sum(sizes) + excess)
    runs = runs_of(hit, [memoryview(target) for target in targets], least)
    large = sum(size for size in sizes if size >= BESIDE_BYTES)
    assert bool(runs) == (bool(sizes) and not excess and 2 * large >= sum(sizes))
    for run in reversed(runs):
        run()
    if runs:
        assert b"".join(targets) == content[: sum(sizes)]
        lengths = [sum(part.nbytes for part in run.targets) for run in runs]
        assert all(least <= length < 3 * least for length in lengths[:-1])
        assert lengths[-1] < 3 * least
