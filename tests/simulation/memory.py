"""Shared memory of the simulated host: many processes, each with its store buffer, on one buffer.

1. Loads and stores of words are atomic.  Between any two operations of a thread it may stall, and other
   processes run.  Copies are made in pieces, between which it may stall as well.
2. x86-TSO: a store waits in its process's buffer, in order, until a fence, a message sent, or a moment of
   chance makes it visible; the process itself sees it at once.  A dead process's stores become visible.
3. Payload is written directly, behind what was stored before it.  So payload is never seen later than
   here; what payload needs is the order of stores, and that the buffer keeps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tests.simulation.world import World
from tests.word_by_word import WordByWord

WORD = 8
_WORD_MASK = (1 << 64) - 1
_BUFFERED_MAX = 24
_PIECES = 3
_SMALLEST_PIECE = 64
_LONG_S = 0.001
_NEVER = 10**9


class SharedBytes:
    """The bytes of one segment, and who looks on at stores."""

    def __init__(self, size: int) -> None:
        """Zeroed."""
        self.bytes = memoryview(bytearray(size))
        self.words = self.bytes.cast("Q")
        self.on_words: Callable[[Processor, int], None] | None = None
        self.on_payload: Callable[[Processor, int, int], None] | None = None

    def __len__(self) -> int:
        """Bytes of memory."""
        return len(self.bytes)


class Processor:
    """One process's way to memory: where it stalls, and its stores that nobody else sees yet."""

    def __init__(self, world: World, name: str) -> None:
        """The buffer is empty.

        ``received_from``: the client of another host whose bytes are being stored, if any.
        """
        self.name = name
        self.dead = False
        self._stalled_s = 0.0
        self._long_stalls: list[tuple[float, float]] = []
        self.on_crash: Callable[[], None] | None = None
        self.buffer: deque[tuple[SharedBytes, int, int]] = deque()
        self.left = world.chance.run_length()
        self.armed: int | None = None
        self.received_from: int | None = None
        self._world = world
        self._draining = False

    def stall(self) -> None:
        """Stand still for a while, or for ever."""
        world = self._world
        chance = world.chance
        self.left = chance.run_length()
        strand = world.current
        if strand is None or self.dead:
            return
        if self.on_crash is not None and (self.armed is not None or chance.crashes()):
            self.armed = None
            self.on_crash()
            strand.park()
        self.make_visible(chance.visible(len(self.buffer)))
        seconds = chance.stall()
        self.note_stall(seconds)
        world.count("stalls")
        strand.pause(seconds)

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """No thread stalls within: somebody only looks."""
        left, self.left = self.left, _NEVER
        try:
            yield
        finally:
            self.left = left

    def note_stall(self, seconds: float) -> None:
        """From now on a thread stands still for so long."""
        if seconds < _LONG_S:
            self._stalled_s += seconds
        else:
            self._long_stalls.append((self._world.now, self._world.now + seconds))

    @property
    def stood_still(self) -> float:
        """For how long threads have stood still until now, together, in seconds."""
        now = self._world.now
        return self._stalled_s + sum(min(end, now) - start for start, end in self._long_stalls)

    def split(self, count: int) -> int:
        """Where a load of several words is interrupted."""
        return self._world.chance.split(count)

    def _drain_later(self) -> None:
        self._draining = False
        self.drain()

    def store(self, shared: SharedBytes, at: int, value: int) -> None:
        """Put a store at the end of the buffer."""
        if self.dead:
            return
        assert 0 <= value <= _WORD_MASK, f"{value} is no word"
        if not self._world.chance.mix.buffers_stores:
            self._show(shared, at, value)
            return
        self.buffer.append((shared, at, value))
        if not self._draining:
            self._draining = True
            self._world.after(self._world.chance.retention(), self._drain_later)
        if len(self.buffer) > _BUFFERED_MAX:
            self.make_visible(1)

    def make_visible(self, count: int) -> None:
        """Let the oldest stores of the buffer be seen."""
        for _ in range(count):
            self._show(*self.buffer.popleft())

    def drain(self) -> None:
        """Let every store be seen."""
        while self.buffer:
            self._show(*self.buffer.popleft())

    def _show(self, shared: SharedBytes, at: int, value: int) -> None:
        if shared.on_words is not None:
            shared.on_words(self, at)
        shared.words[at] = value

    def die(self) -> None:
        """What was stored becomes visible; nothing is stored any more."""
        self.drain()
        self.dead = True


class ProcessWords:
    """A segment's words as one process sees them."""

    def __init__(self, shared: SharedBytes, processor: Processor) -> None:
        """Loads see the process's own stores first."""
        self._shared = shared
        self._words = shared.words
        self._processor = processor

    def __getitem__(self, at: int) -> int:
        """Load."""
        processor = self._processor
        processor.left -= 1
        if processor.left <= 0:
            processor.stall()
        if processor.buffer:
            for shared, where, value in reversed(processor.buffer):
                if where == at and shared is self._shared:
                    return value
        return self._words[at]

    def __setitem__(self, at: int, value: int) -> None:
        """Store."""
        processor = self._processor
        processor.left -= 1
        if processor.left <= 0:
            processor.stall()
        processor.store(self._shared, at, value)


class ProcessMemory(WordByWord):
    """A segment's memory as one process sees it; implements :class:`mmc.segments.memory.Memory`.

    Where words are loaded one after the other, it may stall between any two.
    """

    def __init__(self, shared: SharedBytes, processor: Processor, *, writable: bool = True) -> None:
        """``writable``: whether the process mapped it so."""
        self._shared = shared
        self._processor = processor
        self.words = ProcessWords(shared, processor)
        self.writable = writable

    def fence(self) -> None:
        """Make all earlier stores visible before any later load."""
        self._step()
        self._processor.drain()

    def _step(self) -> None:
        self._processor.left -= 1
        if self._processor.left <= 0:
            self._processor.stall()

    def column(self, start: int, stride: int, count: int) -> list[int]:
        """Load words, with a stall somewhere between them now and then."""
        processor = self._processor
        processor.left -= 1 + count // WORD
        if processor.left > 0:
            return self._load(start, stride, count)
        first = self._load(start, stride, self._processor.split(count))
        processor.stall()
        rest = start + len(first) * stride
        return first + self._load(rest, stride, count - len(first))

    def _load(self, start: int, stride: int, count: int) -> list[int]:
        column = self._shared.words[start : start + stride * count : stride].tolist()
        for shared, at, value in self._processor.buffer:
            if shared is self._shared and at >= start and (at - start) % stride == 0:
                position = (at - start) // stride
                if position < count:
                    column[position] = value
        return column

    def read(self, at: int, size: int) -> bytes:
        """Copy ``size`` bytes from byte ``at``, in pieces."""
        target = bytearray(size)
        self.copy_out(at, memoryview(target))
        return bytes(target)

    def copy_out(self, at: int, target: memoryview) -> None:
        """Copy from byte ``at`` into ``target``, in pieces."""
        target = target.cast("B")
        for start, end in _pieces(target.nbytes):
            self._step()
            target[start:end] = self._shared.bytes[at + start : at + end]

    def copy_out_each(self, at: int, targets: Sequence[memoryview], *, beside: bool = False) -> None:
        """Copy into buffers that follow one another: strands take turns anyway."""
        for target in targets:
            self.copy_out(at, target)
            at += target.nbytes

    def copy_in(self, at: int, source: memoryview) -> None:
        """Copy ``source`` to byte ``at``, in pieces."""
        source = source.cast("B")
        for start, end in _pieces(source.nbytes):
            self._step()
            if self._processor.dead:
                return
            self._processor.drain()
            if self._shared.on_payload is not None:
                self._shared.on_payload(self._processor, at + start, at + end)
            self._shared.bytes[at + start : at + end] = source[start:end]

    def view(self, at: int, size: int) -> memoryview:
        """Give a read-only window on ``size`` bytes, without a copy."""
        return self._shared.bytes[at : at + size].toreadonly()

    def window(self, at: int, size: int) -> memoryview:
        """Give a window on ``size`` bytes: who receives into it does so by :meth:`copy_in`."""
        return self._shared.bytes[at : at + size]


def _pieces(size: int) -> list[tuple[int, int]]:
    step = max(_SMALLEST_PIECE, -(-size // _PIECES))
    return [(start, min(start + step, size)) for start in range(0, size, step)]
