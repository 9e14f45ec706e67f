"""Memory between two processes, so that every order of their steps can be tried.

1. A :class:`Journal` is a writer's memory: it notes each word that is stored, in order.
2. A :class:`Replayed` memory is a reader's: before each word that it loads, some more of a writer's
   stores arrive.  Stores arrive in their order and loads are made in theirs, as on x86.
3. A :class:`Buffered` memory is a processor's that writes and reads: its stores reach the others when
   it fences, and no sooner, which x86 allows.
"""

from collections.abc import Callable, Iterator, Sequence

from mmc.segments.layout import WORD
from mmc.segments.memory import Words
from tests.word_by_word import WordByWord

Store = tuple[int, int]
"""A word's position and its new value."""


class _Loads:
    """Words whose loads and stores are functions."""

    def __init__(self, load: Callable[[int], int], store: Callable[[int, int], None]) -> None:
        self._load = load
        self._store = store

    def __getitem__(self, at: int, /) -> int:
        return self._load(at)

    def __setitem__(self, at: int, value: int, /) -> None:
        self._store(at, value)


class WordMemory(WordByWord):
    """Memory made of nothing but loads and stores of single words."""

    writable = True

    def __init__(self, load: Callable[[int], int], store: Callable[[int, int], None]) -> None:
        """Every access goes through these two."""
        self.words: Words = _Loads(load, store)

    def fence(self) -> None:
        """Nothing waits here."""

    def column(self, start: int, stride: int, count: int) -> list[int]:
        """Load ``count`` words, one after the other."""
        return [self.words[start + stride * number] for number in range(count)]

    def read(self, at: int, size: int) -> bytes:
        """Copy ``size`` bytes, word by word."""
        first, last = at // WORD, -(-(at + size) // WORD)
        loaded = b"".join(self.words[word].to_bytes(WORD, "little") for word in range(first, last))
        return loaded[at - first * WORD :][:size]

    def copy_out(self, at: int, target: memoryview) -> None:
        """Copy into ``target``, word by word."""
        target[:] = self.read(at, target.nbytes)

    def copy_out_each(self, at: int, targets: Sequence[memoryview], *, beside: bool = False) -> None:
        """Copy into buffers that follow one another, word by word."""
        for target in targets:
            self.copy_out(at, target)
            at += target.nbytes

    def copy_in(self, at: int, source: memoryview) -> None:
        """Copy ``source`` to whole words from ``at`` on; the last is filled up with zeros."""
        data = bytes(source)
        assert at % WORD == 0
        for start in range(0, len(data), WORD):
            word = data[start : start + WORD].ljust(WORD, b"\0")
            self.words[(at + start) // WORD] = int.from_bytes(word, "little")

    def view(self, at: int, size: int) -> memoryview:
        """Give a copy: nothing here can be shared."""
        return memoryview(self.read(at, size))


class Journal(WordMemory):
    """A writer's memory, and everything that was stored in it."""

    def __init__(self, image: list[int]) -> None:
        """It begins with these words, which are not in the journal."""
        self.image = image
        self.stores: list[Store] = []
        super().__init__(image.__getitem__, self._note)

    def _note(self, at: int, value: int) -> None:
        self.image[at] = value
        self.stores.append((at, value))


class Replayed(WordMemory):
    """A reader's memory, in which a writer's stores arrive while it reads."""

    writable = False

    def __init__(self, image: list[int], stores: list[Store], arrivals: Iterator[int]) -> None:
        """Before each load so many stores arrive as ``arrivals`` says next."""
        self._image = image
        self._stores = stores
        self._arrivals = arrivals
        self.arrived = 0
        super().__init__(self._load, self._refuse)

    def arrive(self, count: int) -> None:
        """Let the next stores arrive."""
        for at, value in self._stores[self.arrived : self.arrived + count]:
            self._image[at] = value
            self.arrived += 1

    def _load(self, at: int) -> int:
        self.arrive(next(self._arrivals, 0))
        return self._image[at]

    @staticmethod
    def _refuse(at: int, value: int) -> None:
        raise AssertionError(f"a reader stores {value} in word {at}")


class Buffered(WordMemory):
    """A processor's memory: its stores wait until it fences."""

    def __init__(self, shared: Words, before_step: Callable[[], None]) -> None:
        """``before_step`` runs before each load and store, and before stores reach the others."""
        self._shared = shared
        self._before_step = before_step
        self._waiting: list[Store] = []
        super().__init__(self._load, self._store)

    def _load(self, at: int) -> int:
        self._before_step()
        own = [value for position, value in self._waiting if position == at]
        return own[-1] if own else self._shared[at]

    def _store(self, at: int, value: int) -> None:
        self._before_step()
        self._waiting.append((at, value))

    def fence(self) -> None:
        """Every store is seen by the others before any later load."""
        self.drain()

    def drain(self) -> None:
        """What waited reaches the others, at the latest when the processor does something else."""
        self._before_step()
        for at, value in self._waiting:
            self._shared[at] = value
        self._waiting.clear()
