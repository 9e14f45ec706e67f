"""What a field may hold, at the edges of what msgpack decodes."""

import pytest

from mmc.identifiers import MAX_KEY_BYTES, MAX_REPLICAS
from mmc.wire.codec import PLANS
from mmc.wire.shapes import MAX_KEYS, MAX_TEXT, Shape

SHAPES: dict[str, Shape] = {shape.name: shape for plan in PLANS.values() for shape in plan.shapes}
"""Every shape that a message uses."""

WORD = (1 << 64) - 1
INT63 = 1 << 63
MEMBER = (1, 2, 3, 4, 5, 6, "path", "url", "data")

HOLDS: list[tuple[str, object]] = [
    ("uint", 0),
    ("uint", WORD),
    ("bool", True),
    ("bool", False),
    ("code", -INT63),
    ("code", INT63 - 1),
    ("text", ""),
    ("text", "x" * MAX_TEXT),
    ("uint list", ()),
    ("uint list", (0, WORD)),
    ("uint list", (0,) * MAX_KEYS),
    ("code list", (-INT63, INT63 - 1)),
    ("key list", (b"k", b"k" * MAX_KEY_BYTES)),
    ("list of lists of (rank, record, generation)", ((), ((1, 2, 3),) * MAX_REPLICAS)),
    ("list of lists of (rank, record, generation)", (((1, 2, 3),) * MAX_REPLICAS,) * MAX_KEYS),
    ("list of lists of (rank, record, generation)", (((1, 2, WORD),),)),
    ("list of (epoch, client, counter, position)", ((0, 1, 2, WORD),)),
    ("list of (rank, term)", ((1, WORD),)),
    ("list of members", (MEMBER,)),
    ("list of (name, uint)", (("hits", WORD),)),
    ("list of (rank, list of (name, uint))", ((1, (("hits", 2),)), (WORD, ()))),
    ("raw frame", b""),
]

REFUSES: list[tuple[str, object]] = [
    ("uint", -1),
    ("uint", True),
    ("uint", 1.0),
    ("uint", None),
    ("bool", 1),
    ("bool", None),
    ("code", INT63),
    ("code", False),
    ("text", "x" * (MAX_TEXT + 1)),
    ("text", b"bytes"),
    ("uint list", [1]),
    ("uint list", (-1,)),
    ("uint list", (True,)),
    ("uint list", (1, -1)),
    ("uint list", (1, True)),
    ("uint list", (1, None)),
    ("code list", (INT63,)),
    ("code list", (1.0,)),
    ("key list", (b"",)),
    ("key list", (b"k" * (MAX_KEY_BYTES + 1),)),
    ("key list", (b"nul\0inside",)),
    ("key list", ("text",)),
    ("key list", (b"key", b"")),
    ("key list", (b"key", b"k" * (MAX_KEY_BYTES + 1))),
    ("key list", (b"key", b"nul\0inside")),
    ("key list", (b"key", "text")),
    ("key list", b"key"),
    ("list of lists of (rank, record, generation)", (((1, 2, 3),) * (MAX_REPLICAS + 1),)),
    ("list of lists of (rank, record, generation)", (((1, 2),),)),
    ("list of lists of (rank, record, generation)", ((1,),)),
    ("list of lists of (rank, record, generation)", ((), ((1, 2),))),
    ("list of lists of (rank, record, generation)", ((), (1, 2, 3))),
    ("list of lists of (rank, record, generation)", (((1, 2, -3),),)),
    ("list of lists of (rank, record, generation)", ((1, 2, 3),)),
    ("list of lists of (rank, record, generation)", (1,)),
    ("list of (epoch, client, counter, position)", ((0, 1, 2),)),
    ("list of (epoch, client, counter, position)", ((0, 1, 2, "3"),)),
    ("list of (epoch, client, counter, position)", ((0, 1, 2, 3), (0, 1, 2))),
    ("list of (epoch, client, counter, position)", ((0, 1, 2, 3), (0, 1, 2, -3))),
    ("list of (rank, term)", ((1, 2, 3),)),
    ("list of members", (MEMBER[:-1],)),
    ("list of members", ((*MEMBER[:-1], 8),)),
    ("list of members", ((-1, *MEMBER[1:]),)),
    ("list of members", (MEMBER[0],)),
    ("list of members", MEMBER),
    ("list of members", [MEMBER]),
    ("list of members", (MEMBER[1:],)),
    ("list of members", ((0, *MEMBER),)),
    ("list of members", ((*MEMBER[:5], -1, *MEMBER[6:]),)),
    ("list of members", ((*MEMBER[:6], 7, MEMBER[7]),)),
    ("list of (name, uint)", (("hits",),)),
    ("list of (name, uint)", [("hits", 1)]),
    ("list of (name, uint)", ((1, 2),)),
    ("list of (name, uint)", (("hits", -1),)),
    ("list of (name, uint)", ((("hits", 1), ("misses", 2)),)),
    ("list of (rank, list of (name, uint))", ((1, ((2, 3),)),)),
    ("list of (rank, list of (name, uint))", ((-1, ()),)),
    ("list of (rank, list of (name, uint))", ((1,),)),
    ("list of (rank, list of (name, uint))", [(1, ())]),
    ("raw frame", "text"),
    ("raw frame", bytearray(b"bytes")),
]


@pytest.mark.parametrize(("name", "value"), HOLDS, ids=lambda value: repr(value)[:40])
def test_a_shape_holds_what_it_names(name: str, value: object) -> None:
    """A value up to the limits of its shape is accepted."""
    assert SHAPES[name].holds(value)


@pytest.mark.parametrize(("name", "value"), REFUSES, ids=lambda value: repr(value)[:40])
def test_a_shape_refuses_what_is_beyond_it(name: str, value: object) -> None:
    """A value of another type, out of range or of another length is refused."""
    assert not SHAPES[name].holds(value)


def test_every_shape_has_its_examples() -> None:
    """Each shape that a message uses is tried with something it holds and something it refuses."""
    assert {name for name, _ in HOLDS} == {name for name, _ in REFUSES} == set(SHAPES)
