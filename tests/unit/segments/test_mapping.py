"""Memory over a buffer or a mapped file."""

import mmap
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmc.segments.mapping import BufferMemory, address_of, heap_memory, map_descriptor

SIZES = [0, 1, 7, 8, 100, (1 << 18) - 1, 1 << 18, 500_000]
"""Small copies and large ones, which take another way."""

SPACE = 600_000


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("at", [0, 3, 4096])
def test_copies_take_exactly_their_bytes(size: int, at: int) -> None:
    """What is copied in is copied out again, and no byte around it changes."""
    memory = heap_memory(SPACE)
    memory.copy_in(0, memoryview(b"\xaa" * SPACE))
    content = os.urandom(size)
    memory.copy_in(at, memoryview(content))
    target = bytearray(size + 2)
    memory.copy_out(at, memoryview(target)[1 : size + 1])
    assert bytes(target) == b"\0" + content + b"\0"
    everything = memory.read(0, SPACE)
    assert everything == b"\xaa" * at + content + b"\xaa" * (SPACE - at - size)


@pytest.mark.parametrize("size", [8, 1 << 18])
def test_nothing_is_copied_beyond_the_end(size: int) -> None:
    """A copy that would leave the memory is a fault, and happens in no part."""
    memory = heap_memory(300_000)
    beyond = len(memory) - size + 1
    with pytest.raises((AssertionError, ValueError)):
        memory.copy_in(beyond, memoryview(b"\xff" * size))
    with pytest.raises((AssertionError, ValueError)):
        memory.copy_out(beyond, memoryview(bytearray(size)))
    assert memory.read(0, len(memory)) == bytes(len(memory))


@pytest.mark.parametrize("size", [0, 1, 65536])
def test_a_view_is_read_only_and_shows_what_is_there(size: int) -> None:
    """A view shows the memory itself, now and later, and cannot be written through."""
    memory = heap_memory(SPACE)
    view = memory.view(16, size)
    assert (view.nbytes, view.readonly) == (size, True)
    memory.copy_in(16, memoryview(b"x" * size))
    assert bytes(view) == b"x" * size


def test_a_view_at_the_very_end_is_empty() -> None:
    """An empty object may lie at the end of a segment."""
    memory = heap_memory(64)
    assert memory.view(64, 0).nbytes == 0


@pytest.mark.parametrize(("at", "size"), [(0, 65), (64, 1), (-1, 1), (65, 0)])
def test_no_view_leaves_the_memory(at: int, size: int) -> None:
    """A view that would leave the memory is a fault."""
    with pytest.raises(AssertionError):
        heap_memory(64).view(at, size)


def test_words_and_bytes_are_one_memory() -> None:
    """A word is the eight bytes at eight times its position, little end first."""
    memory = heap_memory(64)
    memory.words[2] = 0x0807060504030201
    assert memory.read(16, 8) == bytes(range(1, 9))
    memory.copy_in(24, memoryview(b"\xff" * 8))
    assert memory.words[3] == (1 << 64) - 1


def test_a_column_is_every_so_many_words() -> None:
    """A column loads words a stride apart, and no others."""
    memory = heap_memory(8 * 20)
    for word in range(20):
        memory.words[word] = word
    assert memory.column(2, 6, 3) == [2, 8, 14]
    assert memory.column(5, 1, 4) == [5, 6, 7, 8]
    assert memory.column(5, 1, 0) == []


def test_a_fence_stops_nobody() -> None:
    """Whoever fences goes on, also when others are doing so."""
    memory = heap_memory(8)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: memory.fence(), range(100))) == [None] * 100


def test_heap_memory_has_whole_words() -> None:
    """Memory on the heap is rounded up to words, and zeroed."""
    memory = heap_memory(13)
    assert len(memory) == 16
    assert memory.read(0, 16) == bytes(16)
    assert memory.writable


def test_the_address_is_that_of_the_first_byte() -> None:
    """Addresses of parts of one buffer differ by the distance of the parts."""
    buffer = memoryview(bytearray(100))
    assert address_of(buffer[40:]) == address_of(buffer) + 40
    assert address_of(memoryview(b"read-only")) > 0


@pytest.fixture
def descriptor(shm: Path) -> int:
    """A file of four pages."""
    path = shm / "file"
    path.write_bytes(bytes(4 * mmap.PAGESIZE))
    return os.open(path, os.O_RDWR | os.O_CLOEXEC)


def mapped(descriptor: int, *, writable: bool) -> BufferMemory:
    """The file, mapped."""
    return map_descriptor(descriptor, 4 * mmap.PAGESIZE, writable=writable)


def test_two_mappings_of_a_file_are_one_memory(descriptor: int) -> None:
    """What one mapping stores another sees, though the descriptor is closed."""
    writer, reader = (mapped(descriptor, writable=writable) for writable in (True, False))
    os.close(descriptor)
    writer.words[7] = 99
    writer.copy_in(4096, memoryview(b"bytes"))
    assert reader.words[7] == 99
    assert reader.read(4096, 5) == b"bytes"
    assert (writer.writable, reader.writable) == (True, False)


def test_a_read_only_mapping_cannot_be_stored_in(descriptor: int) -> None:
    """A store into a mapping without permission is refused, not a crash."""
    memory = mapped(descriptor, writable=False)
    os.close(descriptor)
    with pytest.raises(TypeError):
        memory.words[0] = 1
    with pytest.raises(TypeError):
        memory.copy_in(0, memoryview(b"x"))


def test_a_view_keeps_its_mapping(descriptor: int) -> None:
    """Whoever holds a view may let go of everything else."""
    memory = mapped(descriptor, writable=True)
    os.close(descriptor)
    memory.copy_in(0, memoryview(b"still here"))
    view = memory.view(0, 10)
    del memory
    assert bytes(view) == b"still here"


@pytest.mark.parametrize(
    ("start", "size", "steps"), [(0, 16384, 4), (1, 4096, 2), (4096, 1 << 30, 3), (0, 0, 0)]
)
def test_populating_covers_the_range_in_steps(descriptor: int, start: int, size: int, steps: int) -> None:
    """Memory is populated page by page from the page of its start, and never beyond the end."""
    memory = mapped(descriptor, writable=True)
    os.close(descriptor)
    assert len(list(memory.populate(start, size, mmap.PAGESIZE))) == steps
    assert memory.read(0, len(memory)) == bytes(len(memory))


def test_populating_what_is_no_more_ends_at_once(descriptor: int) -> None:
    """Where the kernel refuses, populating is over and nothing else happens."""
    memory = mapped(descriptor, writable=True)
    os.ftruncate(descriptor, 0)
    os.close(descriptor)
    assert list(memory.populate(0, len(memory), mmap.PAGESIZE)) == []


def test_what_may_only_be_read_is_populated_for_reading(descriptor: int) -> None:
    """In as many steps as it has pages."""
    memory = mapped(descriptor, writable=False)
    os.close(descriptor)
    assert len(list(memory.populate(0, len(memory), mmap.PAGESIZE))) == -(-len(memory) // mmap.PAGESIZE)


def test_a_truncated_file_is_noticed_without_touching_it(descriptor: int) -> None:
    """Memory is whole until its file is shorter than the mapping; nothing of it is loaded to find out."""
    memory = mapped(descriptor, writable=True)
    assert memory.is_whole()
    os.truncate(descriptor, 0)
    assert not memory.is_whole()
    assert heap_memory(64).is_whole()
