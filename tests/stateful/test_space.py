"""Free space against a list of what is used (S6)."""

from itertools import pairwise

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from mmc.cache.space import LARGE_ALIGNMENT, SMALL_ALIGNMENT, Space, rounded

sizes = st.one_of(st.integers(0, 300), st.integers(4000, 4200), st.integers(0, 20000), st.just(1 << 20))


class SpaceMachine(RuleBasedStateMachine):
    """Extents taken and given back in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.capacity = 0
        self.space = Space(0)
        self.used: dict[int, int] = {}

    @initialize(capacity=st.sampled_from([64, 4096, 10000, 65536, 65600, 100000]))
    def begin(self, capacity: int) -> None:
        """A space of some size, whole pages or not."""
        self.capacity = capacity
        self.space = Space(capacity)

    def holes(self) -> list[tuple[int, int]]:
        """The free extents, worked out from what is used: (offset, length)."""
        edges = [(0, 0), *sorted(self.used.items()), (self.capacity, 0)]
        return [
            (offset + length, following - offset - length)
            for (offset, length), (following, _) in pairwise(edges)
            if following > offset + length
        ]

    @rule(size=sizes)
    def allocate(self, size: int) -> None:
        """The smallest hole that can hold the object gives its place, and none else does."""
        length = rounded(size)
        alignment = LARGE_ALIGNMENT if size >= LARGE_ALIGNMENT else SMALL_ALIGNMENT
        fitting = [
            (free, start)
            for start, free in self.holes()
            if start + -start % alignment + length <= start + free
        ]
        offset = self.space.allocate(size)
        if not fitting:
            assert offset is None
            return
        assert offset is not None
        assert offset % alignment == 0
        smallest, start = min(fitting)
        assert start <= offset <= offset + length <= start + smallest
        self.used[offset] = length

    @precondition(lambda self: self.used)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        """Any extent is given back."""
        offset = data.draw(st.sampled_from(sorted(self.used)))
        self.space.release(offset, self.used.pop(offset))

    @precondition(lambda self: self.used)
    @rule(data=st.data())
    def release_the_end(self, data: st.DataObject) -> None:
        """The end of an extent is given back, as when an object turned out smaller."""
        offset = data.draw(st.sampled_from(sorted(self.used)))
        length = self.used[offset]
        keep = SMALL_ALIGNMENT * data.draw(st.integers(1, length // SMALL_ALIGNMENT))
        if keep < length:
            self.space.release(offset + keep, length - keep)
            self.used[offset] = keep

    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        """What is free is worked out again from what is used, in whatever order it is listed."""
        used = data.draw(st.permutations(sorted(self.used.items())))
        self.space = Space(self.capacity, used)

    @invariant()
    def space_is_consistent(self) -> None:
        """S6: used and free extents tile the capacity, and the sums agree with the list."""
        self.space.check(list(self.used.items()))
        free = [length for _, length in self.holes()]
        assert self.space.free_bytes == sum(free)
        assert self.space.largest == max(free, default=0)
        assert self.space.holes == len(free)

    def teardown(self) -> None:
        """S6: when all is released, all comes back in one piece."""
        for offset, length in self.used.items():
            self.space.release(offset, length)
        self.space.check([])
        assert self.space.largest == self.space.free_bytes == self.capacity
        assert self.space.holes == (1 if self.capacity else 0)


TestSpace = SpaceMachine.TestCase
TestSpace.__doc__ = "Extents never overlap, and come back in one piece."
