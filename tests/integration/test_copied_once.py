"""Bytes are copied once: between the caller's buffers and the segment, and nowhere else."""

import tracemalloc
from collections.abc import Callable, Iterator, Sequence

import pytest

from mmc.client import Client
from mmc.identifiers import MAX_KEY_BYTES
from mmc.segments.mapping import BufferMemory
from tests.integration.processes import Cluster

MIB = 1 << 20
Buffers = memoryview | Sequence[memoryview]
_LITTLE = MIB // 4
"""More than a call needs for itself, and less than any object here."""


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """A client of one rank."""
    with Cluster(ranks=1, dram=str(256 * MIB)) as cluster, Client(cluster.meta_url) as client:
        client.wait_for_ranks(1)
        yield client


class Counted:
    """The bytes that this process copies into and out of segments."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nothing yet."""
        self.bytes = 0
        for name in ("copy_in", "copy_out", "copy_out_each"):
            monkeypatch.setattr(BufferMemory, name, self._counting(getattr(BufferMemory, name)))

    def _counting(self, copy: Callable[..., None]) -> Callable[..., None]:
        def counting(memory: BufferMemory, at: int, buffers: Buffers, **how: bool) -> None:
            several = [buffers] if isinstance(buffers, memoryview) else buffers
            self.bytes += sum(buffer.nbytes for buffer in several)
            copy(memory, at, buffers, **how)

        return counting


def taken_by(call: Callable[[], object]) -> int:
    """How many bytes of memory a call took at its most."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def pieces_of(size: int) -> list[bytearray]:
    """Buffers of ``size`` bytes together."""
    return [bytearray(b"\1" * (size // 4)) for _ in range(4)]


@pytest.mark.parametrize("size", [MIB, 8 * MIB])
def test_each_byte_is_copied_once(client: Client, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Puts and gets copy as many bytes as the object has, in one piece, in several, and in batches."""
    whole, pieces = bytearray(b"\2" * size), pieces_of(size)
    calls: list[Callable[[], object]] = [
        lambda: client.put(f"whole-{size}", whole),
        lambda: client.put(f"pieces-{size}", pieces),
        lambda: client.put_batch([f"batch-{size}"], [whole]),
        lambda: client.get_into(f"whole-{size}", whole),
        lambda: client.get_into(f"pieces-{size}", pieces),
        lambda: client.get_into_batch([f"batch-{size}"], [whole]),
    ]
    counted = Counted(monkeypatch)
    for call in calls:
        before = counted.bytes
        assert taken_by(call) < _LITTLE
        assert 0 <= counted.bytes - before - size <= MAX_KEY_BYTES, "the object, and the key of a put"


def test_a_view_copies_nothing(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever its size, and whatever is made from it."""
    client.put("seen", bytes(8 * MIB))
    counted = Counted(monkeypatch)

    def look() -> None:
        with client.view("seen") as memory:
            assert memory[-1] == 0

    assert taken_by(look) < _LITTLE
    assert counted.bytes == 0


def test_new_bytes_are_made_once(client: Client) -> None:
    """``get`` makes the bytes that it returns, and no others."""
    client.put("made", bytes(8 * MIB))
    assert taken_by(lambda: client.get("made")) < 8 * MIB + _LITTLE
