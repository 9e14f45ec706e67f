"""The names that everything else is spoken of by: keys, versions, terms, places, members."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, NewType

import msgpack
from xxhash import xxh3_64_intdigest

from mmc.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

TEXT = ("utf-8", "surrogateescape")
"""How keys are text."""
ANY_RANK = 4294967295
"""The rank number that stands for "whichever is free"."""

LAST_EPOCH = (1 << 31) - 1
"""No service begins a later epoch: a term holds it in half a word."""

MAX_KEY_BYTES = 255
MAX_REPLICAS = 8
key_hash = xxh3_64_intdigest
"""The 64-bit hash of a key, which records store and indexes are searched by."""

_pack = msgpack.Packer().pack
_WORD = 64
_HALF = 32
_HALF_MASK = 0xFFFFFFFF


class ObjectVersion(NamedTuple):
    """Which put an object comes from; chosen by the client, stored with the object, never changed."""

    epoch: int
    client: int
    counter: int
    position: int

    def packed(self) -> PackedVersion:
        """The version as it stands in messages."""
        return pack_versions((self,))[0]


PackedVersion = NewType("PackedVersion", bytes)
"""An object version as it stands in messages."""


def pack_versions(rows: Iterable[tuple[int, int, int, int]]) -> list[PackedVersion]:
    """Object versions, as they stand in messages."""
    return [_pack(row) for row in rows]


def unpack_version(packed: PackedVersion) -> ObjectVersion:
    """The inverse of :func:`pack_versions`, for one."""
    return ObjectVersion(*msgpack.unpackb(packed))


class Term(NamedTuple):
    """(epoch, admission): grows with every admission of a rank."""

    epoch: int
    admission: int

    def packed(self) -> int:
        """The term as one 64-bit word; 0 is no term."""
        return self.epoch << _HALF | self.admission


class Location(NamedTuple):
    """One replica: the generation of a record of a rank."""

    rank: int
    record: int
    generation: int


class Member(NamedTuple):
    """One rank as the meta service knows it and tells it to clients.

    ``data_url`` is where its data server is reached by other hosts; "" if it has none.
    """

    rank: int
    term: int
    state: int
    segment: int
    boot: int
    capacity: int
    path: str
    control_url: str
    data_url: str = ""

    @property
    def host(self) -> tuple[int, str]:
        """What dies together with it: its machine, and there the address of its data server."""
        return self.boot, self.data_url.rpartition(":")[0]


def encode_key(key: str | bytes) -> bytes:
    """A user's key as bytes; the inverse of :func:`decode_key`.

    Raises:
        InvalidArgument: not a ``str`` or ``bytes``, empty, longer than 255 bytes, or with a NUL.
    """
    encoded = as_bytes(key)
    if not 0 < len(encoded) <= MAX_KEY_BYTES:
        raise InvalidArgument(f"a key must have 1 to {MAX_KEY_BYTES} bytes, not {len(encoded)}")
    if 0 in encoded:
        raise InvalidArgument("a key must not contain a NUL byte")
    return encoded


def as_bytes(key: str | bytes) -> bytes:
    """A key, or the beginning of keys, as bytes.

    Raises:
        InvalidArgument: not a ``str`` or ``bytes``, or no UTF-8 can be made of it.
    """
    if isinstance(key, str):
        try:
            return key.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise InvalidArgument("a key must be encodable as UTF-8") from None
    if not isinstance(key, bytes):
        raise InvalidArgument(f"a key must be str or bytes, not {type(key).__name__}")
    return key


def decode_key(key: bytes) -> str:
    """A key as text: bytes that are no UTF-8 become lone surrogates, and these bytes again."""
    return key.decode(*TEXT)


def is_key(key: bytes) -> bool:
    """Whether these bytes can be a key."""
    return 0 < len(key) <= MAX_KEY_BYTES and 0 not in key


def are_keys(keys: Collection[bytes]) -> bool:
    """Whether every one of these can be a key, however many there are."""
    return all(keys) and max(map(len, keys), default=0) <= MAX_KEY_BYTES and 0 not in b"".join(keys)


def home_of(hashed: int, ranks: Sequence[int]) -> int:
    """The home of a key's hash among some ranks."""
    home, heaviest = ranks[0], -1
    for rank in ranks:
        weight = rendezvous_weight(hashed, rank)
        if weight > heaviest:
            home, heaviest = rank, weight
    return home


def rendezvous_weight(hashed: int, rank: int) -> int:
    """The weight of a rank for a key's hash: the highest of the candidates is the key's home."""
    mixed = (hashed ^ (rank + 1) * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    return mixed ^ mixed >> _HALF
