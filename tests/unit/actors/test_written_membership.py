"""What is written down is told from what became of it on a disk."""

import itertools

import msgpack
import pytest

from mmc.actors.meta import MetaActor
from mmc.actors.meta.roster import is_membership
from mmc.config import load_config
from mmc.identifiers import ANY_RANK


def written() -> bytes:
    """What a meta service without ranks writes down."""
    config, numbers = load_config(), itertools.count(1000)
    return MetaActor(config.meta, config.wire, lambda: next(numbers), 1.0).roster.persisted().data


def packed(epoch: object, rows: object) -> bytes:
    """Something of that shape."""
    data = msgpack.packb((epoch, rows))
    assert isinstance(data, bytes)
    return data


@pytest.mark.parametrize("rows", [(), ((0, 77, 0), (1, 78, 0), (0, 79, 1), (0, 80, 1))])
def test_what_is_written_is_read(rows: tuple[tuple[int, int, int], ...]) -> None:
    """Members and those who were given up, and an epoch."""
    assert is_membership(written())
    assert is_membership(packed(5, rows))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 4096,
        b"garbage",
        written()[:-1],
        written() + b"x",
        packed("1", ()),
        packed(0, ()),
        packed(1 << 40, ()),
        packed(5, 7),
        packed(5, ((0, 77),)),
        packed(5, ((0, 77, 3),)),
        packed(5, ((0, "segment", 0),)),
        packed(5, ((ANY_RANK, 77, 0),)),
        packed(5, ((-1, 77, 0),)),
        packed(5, ((0, 77, 0), (0, 78, 0))),
        packed(5, ((0, 77, 0), (1, 77, 0))),
    ],
)
def test_what_a_disk_made_of_it_is_not(data: bytes) -> None:
    """Nothing that could not have been written is taken up."""
    assert not is_membership(data)
