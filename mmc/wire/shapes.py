"""What a message's field may hold: each shape says yes or no to a decoded value.

Shapes are attached to the fields of the messages as annotations, so that the declaration of a
message is its validation and its documentation at once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Annotated, Any, NamedTuple, NewType, TypeGuard

from mmc.identifiers import MAX_REPLICAS, Member, are_keys, is_key

MAX_TEXT = 4096
MAX_KEYS = 16384
_TEXTS = 3
"""So many fields of a member are texts, the last ones."""
_INT63 = 1 << 63
_INTEGERS: set[type] = {int}
_BYTES: set[type] = {bytes}
_TUPLES: set[type] = {tuple}


class Shape(NamedTuple):
    """A field's name in the wire reference, and the test of a decoded value.

    What msgpack has decoded is an integer of 64 bits, and a list of at most ``MAX_KEYS``: neither is looked
    at again.  Lists are tested as wholes: a test of each item by itself would cost more than all else that
    is done with it.  A list of one is tested by its item: a request about one key is waited for by every put.
    """

    name: str
    holds: Callable[[object], bool]


def _is_uint(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_text(value: object) -> bool:
    return type(value) is str and len(value.encode()) <= MAX_TEXT


def _is_tuple_of(value: object, kind: set[type]) -> TypeGuard[tuple[Any, ...]]:
    return type(value) is tuple and set(map(type, value)) <= kind


def _are_uints(value: object) -> bool:
    if type(value) is tuple and len(value) == 1:
        return type(value[0]) is int and value[0] >= 0
    return _is_tuple_of(value, _INTEGERS) and (not value or min(value) >= 0)


def _is_code(value: object) -> bool:
    return type(value) is int and value < _INT63


def _are_codes(value: object) -> bool:
    if type(value) is tuple and len(value) == 1:
        return _is_code(value[0])
    return _is_tuple_of(value, _INTEGERS) and (not value or max(value) < _INT63)


def _are_keys(value: object) -> bool:
    if type(value) is tuple and len(value) == 1:
        return type(value[0]) is bytes and is_key(value[0])
    return _is_tuple_of(value, _BYTES) and are_keys(value)


def _are_rows(width: int, value: object) -> bool:
    """A tuple of tuples of ``width`` unsigned words."""
    if type(value) is tuple and len(value) == 1:
        return _is_row(value[0], width)
    return _is_tuple_of(value, _TUPLES) and _have_words(value, width)


def _is_row(value: object, width: int) -> bool:
    return (
        type(value) is tuple
        and len(value) == width
        and set(map(type, value)) == _INTEGERS
        and min(value) >= 0
    )


def _have_words(rows: tuple[tuple[Any, ...], ...], width: int) -> bool:
    words = tuple(chain.from_iterable(rows))
    return (
        set(map(len, rows)) <= {width} and set(map(type, words)) <= _INTEGERS and min(words, default=0) >= 0
    )


def _are_places(value: object) -> bool:
    """A tuple of tuples of at most ``MAX_REPLICAS`` places."""
    if type(value) is tuple and len(value) == 1 and type(value[0]) is tuple and len(value[0]) <= 1:
        return not value[0] or _is_row(value[0][0], 3)
    if not _is_tuple_of(value, _TUPLES) or max(map(len, value), default=0) > MAX_REPLICAS:
        return False
    places = tuple(chain.from_iterable(value))
    return set(map(type, places)) <= _TUPLES and _have_words(places, 3)


def _is_member(value: object) -> bool:
    if type(value) is not tuple or len(value) != len(Member._fields):
        return False
    return all(map(_is_uint, value[:-_TEXTS])) and all(map(_is_text, value[-_TEXTS:]))


def _are_members(value: object) -> bool:
    return _is_tuple_of(value, _TUPLES) and all(map(_is_member, value))


def _are_counters(value: object) -> bool:
    return _is_tuple_of(value, _TUPLES) and all(
        len(row) == 2 and _is_text(row[0]) and _is_uint(row[1])  # noqa: PLR2004 - a pair
        for row in value
    )


def _are_rank_counters(value: object) -> bool:
    return _is_tuple_of(value, _TUPLES) and all(
        len(row) == 2 and _is_uint(row[0]) and _are_counters(row[1])  # noqa: PLR2004 - a pair
        for row in value
    )


Raw = NewType("Raw", bytes)
"""Bytes that travel in a frame of their own, behind the metadata."""

Place = tuple[int, int, int]
Counter = tuple[str, int]

Uint = Annotated[int, Shape("uint", _is_uint)]
Bool = Annotated[bool, Shape("bool", lambda value: type(value) is bool)]
Code_ = Annotated[int, Shape("code", _is_code)]
Text = Annotated[str, Shape("text", _is_text)]
Uints = Annotated[tuple[int, ...], Shape("uint list", _are_uints)]
Codes_ = Annotated[tuple[int, ...], Shape("code list", _are_codes)]
Keys = Annotated[tuple[bytes, ...], Shape("key list", _are_keys)]
Places = Annotated[
    tuple[tuple[Place, ...], ...],
    Shape("list of lists of (rank, record, generation)", _are_places),
]
Versions = Annotated[
    tuple[tuple[int, int, int, int], ...],
    Shape("list of (epoch, client, counter, position)", partial(_are_rows, 4)),
]
Terms = Annotated[tuple[tuple[int, int], ...], Shape("list of (rank, term)", partial(_are_rows, 2))]
Members = Annotated[tuple[Member, ...], Shape("list of members", _are_members)]
Counters = Annotated[tuple[Counter, ...], Shape("list of (name, uint)", _are_counters)]
RankCounters = Annotated[
    tuple[tuple[int, tuple[Counter, ...]], ...],
    Shape("list of (rank, list of (name, uint))", _are_rank_counters),
]
RawBytes = Annotated[Raw, Shape("raw frame", lambda value: type(value) is bytes)]
