"""Strategies of what travels and what is stored: words, keys, and every kind of message."""

from collections.abc import Callable
from typing import cast

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from mmc.identifiers import Location, Member, ObjectVersion
from mmc.wire.blocks import REPLIES_OF_DATA, REQUESTS_TO_DATA
from mmc.wire.codec import PLANS, Header
from mmc.wire.operations import WIRE_VERSION, Message
from mmc.wire.replies import EVENTS, REPLIES
from mmc.wire.requests import REQUESTS_TO_META, REQUESTS_TO_RANK
from mmc.wire.shapes import Raw

LARGEST_WORD = (1 << 64) - 1
LONGEST_LIST = 4

KINDS: tuple[type[Message], ...] = tuple(
    dict.fromkeys(
        (*REQUESTS_TO_META, *REQUESTS_TO_RANK, *REPLIES, *EVENTS, *REQUESTS_TO_DATA, *REPLIES_OF_DATA)
    )
)
"""Every kind of message."""

EDGES = (0, 1, 127, 128, 255, 256, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, LARGEST_WORD)

words = st.one_of(st.sampled_from(EDGES), st.integers(0, LARGEST_WORD))
codes = st.one_of(st.integers(-3200, 10), st.integers(-(1 << 63), (1 << 63) - 1))
texts = st.text(max_size=20)
keys = st.binary(min_size=1, max_size=255).map(lambda raw: raw.replace(b"\0", b"\1"))
versions = st.builds(ObjectVersion, words, words, words, words)
places = st.builds(Location, words, words, words)
members = st.builds(Member, words, words, words, words, words, words, texts, texts)
counters = st.tuples(texts, words)

_SCALARS: dict[str, SearchStrategy[object]] = {
    "uint": words,
    "bool": st.booleans(),
    "code": codes,
    "text": texts,
    "raw frame": st.binary(max_size=64).map(Raw),
}
_ITEMS: dict[str, SearchStrategy[object]] = {
    "uint list": words,
    "code list": codes,
    "key list": keys,
    "list of lists of (rank, record, generation)": st.lists(places.map(tuple), max_size=LONGEST_LIST).map(
        tuple
    ),
    "list of (epoch, client, counter, position)": versions.map(tuple),
    "list of (rank, term)": st.tuples(words, words),
    "list of members": members,
    "list of (name, uint)": counters,
    "list of (rank, list of (name, uint))": st.tuples(
        words, st.lists(counters, max_size=LONGEST_LIST).map(tuple)
    ),
}


def lists_of(item: SearchStrategy[object], length: int | None) -> SearchStrategy[object]:
    """Tuples of this length, or of any."""
    shortest, longest = (0, LONGEST_LIST) if length is None else (length, length)
    return st.lists(item, min_size=shortest, max_size=longest).map(tuple)


@st.composite
def messages(draw: DrawFn, kind: type[Message]) -> Message:
    """Valid messages of one kind, drawn from the shapes of its fields."""
    plan = PLANS[kind.operation]
    common = draw(st.integers(0, LONGEST_LIST))
    values = []
    for name, shape in zip(plan.names, plan.shapes, strict=True):
        if shape.name in _SCALARS:
            values.append(draw(_SCALARS[shape.name]))
        else:
            length = common if name in kind.aligned else None
            values.append(draw(lists_of(_ITEMS[shape.name], length)))
    return cast("Callable[..., Message]", kind)(*values)


any_messages = st.sampled_from(KINDS).flatmap(messages)

headers = st.builds(Header, words, words, words, words, words, words, words, version=st.just(WIRE_VERSION))
"""Headers of this wire version, whatever else they say."""
