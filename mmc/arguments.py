"""What callers hand in, checked and made plain: keys, buffers, counts, times."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence, Sized
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np

from mmc.errors import CacheError, Code, InvalidArgument, shown
from mmc.identifiers import MAX_REPLICAS, are_keys, as_bytes, encode_key, is_key

if TYPE_CHECKING:
    from typing import Any, SupportsIndex

    import numpy.typing as npt
    from typing_extensions import Buffer

    BufferLike = Buffer | npt.NDArray[Any]
    """Whatever has contiguous bytes: before Python 3.12 numpy's arrays do not say so themselves."""

_LONGEST_S = 600.0
_BYTE_BY_BYTE = (1,)
"""The strides of what needs no cast: pieces come by the hundred."""
_SEVERAL = (list, tuple)
_FIELD_NAMES = re.compile(":[^:]*:")
T = TypeVar("T")
_UINT64 = (1 << 64) - 1


class Keys:
    """The keys of a batch: those that are valid, and one code per key for the result."""

    def __init__(self, keys: Iterable[str | bytes]) -> None:
        """An invalid key gets -3000 for itself alone."""
        if type(keys) is not list:
            if isinstance(keys, str | bytes):
                raise InvalidArgument("keys must be a list of keys, not a single one")
            keys = listed(keys, "keys")
        self.valid: list[bytes] = []
        self.positions: list[int] = []
        self.codes: list[Code] = []
        together = _encoded(keys)
        if is_key(together[0]) if len(together) == 1 else are_keys(together):
            self.valid = together
            self.positions = list(range(len(together)))
            self.codes = [Code.OK] * len(together)
        else:
            self._take_one_by_one(keys)

    def _take_one_by_one(self, keys: Iterable[str | bytes]) -> None:
        for position, key in enumerate(keys):
            try:
                self.valid.append(encode_key(key))
            except InvalidArgument:
                self.codes.append(Code.INVALID_ARGUMENT)
                continue
            self.positions.append(position)
            self.codes.append(Code.OK)

    def drop(self, index: int, code: Code) -> None:
        """The valid key at ``index`` is not to be used after all."""
        self.codes[self.positions.pop(index)] = code
        del self.valid[index]

    def spread(self, codes: Sequence[Code]) -> list[Code]:
        """One code per key of the batch, from one per valid key."""
        if len(codes) == len(self.codes):
            self.codes[:] = codes
            return self.codes
        for position, code in zip(self.positions, codes, strict=True):
            self.codes[position] = code
        return self.codes


def _encoded(keys: list[str | bytes]) -> list[bytes]:
    """All keys as bytes; one that is invalid if any is."""
    try:
        return list(map(str.encode, keys))  # type: ignore[arg-type] # bytes are looked at next
    except (TypeError, UnicodeEncodeError):
        pass
    try:
        return list(map(as_bytes, keys))
    except InvalidArgument:
        return [b""]


def view_of(buffer: BufferLike) -> memoryview:
    """The memory of a buffer, whatever its elements are but objects: these are addresses, and not bytes.

    Raises:
        TypeError: not a buffer, one that was released, or one of objects.
    """
    try:
        view = memoryview(buffer)  # type: ignore[arg-type] # numpy's arrays are buffers
    except (ValueError, BufferError) as reason:
        raise TypeError(f"no buffer: {reason}") from None
    if "O" in view.format and "O" in _FIELD_NAMES.sub("", view.format):
        raise TypeError("a buffer of objects: what it holds are addresses in this process")
    return view


def listed(values: Iterable[T], name: str) -> list[T]:
    """Several values as a list.

    Raises:
        InvalidArgument: they are none; names them.
    """
    if not isinstance(values, Iterable):
        raise InvalidArgument(f"{name} must be a list, not {type(values).__name__}")
    return list(values)


def byte_view(buffer: BufferLike, *, writable: bool = False) -> memoryview:
    """The bytes of a contiguous buffer, without a copy.

    Raises:
        TypeError: not a contiguous buffer of plain elements, or not a writable one.
    """
    view = view_of(buffer)
    if not view.nbytes:
        return memoryview(b"")
    if not view.c_contiguous:
        raise TypeError("the buffer must be contiguous")
    if writable and view.readonly:
        raise TypeError("the buffer must be writable")
    return view if view.format == "B" and view.ndim == 1 else view.cast("B")


def pieces_of(value: BufferLike | Sequence[BufferLike], *, writable: bool = False) -> list[memoryview]:
    """The pieces of one object: a buffer, or several that follow one another.

    Raises:
        TypeError: a piece is no contiguous buffer, or not writable where it must be.
        InvalidArgument: there are no bytes.
    """
    parts = value if isinstance(value, _SEVERAL) else (value,)
    pieces = []
    for part in parts:
        try:
            view = memoryview(part)
        except (ValueError, BufferError):
            view = byte_view(part)  # says what is wrong
        if view.format != "B" or view.strides != _BYTE_BY_BYTE or (writable and view.readonly):
            view = byte_view(part, writable=writable)
        if view.nbytes:
            pieces.append(view)
    if not pieces:
        raise InvalidArgument("an object must have at least one byte")
    return pieces


def match_values(
    keys: Keys, values: Sequence[BufferLike | Sequence[BufferLike]], *, writable: bool
) -> list[list[memoryview]]:
    """The pieces for every valid key; a key whose value is empty gets -3000 for itself alone.

    Raises:
        InvalidArgument: not as many values as keys.
        TypeError: a value is no contiguous buffer.
    """
    if (type(values) is not list and not isinstance(values, Sized)) or len(values) != len(keys.codes):
        count = len(values) if isinstance(values, Sized) else f"a {type(values).__name__} of"
        raise InvalidArgument(f"{len(keys.codes)} keys and {count} buffers")
    matched: list[list[memoryview]] = []
    for position in list(keys.positions):
        try:
            matched.append(pieces_of(values[position], writable=writable))
        except CacheError as error:
            keys.drop(len(matched), error.code)
    return matched


def why_invalid(key: str | bytes) -> InvalidArgument:
    """Why an object cannot be stored: its key is none, or else it has no bytes."""
    try:
        encode_key(key)
    except InvalidArgument as wrong:
        return wrong
    return InvalidArgument(f"{shown(key)}: an object has at least one byte")


def checked(check: Callable[..., T], *arguments: object) -> T:
    """What a check of a caller's arguments returns; what is of a wrong type is as wrong as any other value.

    Raises:
        InvalidArgument: an argument is not what it should be.
    """
    try:
        return check(*arguments)
    except (AttributeError, TypeError, ValueError) as wrong:
        raise InvalidArgument(f"{check.__name__.strip('_')}: {wrong}") from None


def whole_number(value: object, name: str, low: int, high: int = _UINT64) -> int:
    """An integer of any kind within a range.

    Raises:
        InvalidArgument: it is none, or out of range; names it.
    """
    try:
        number = operator.index(cast("SupportsIndex", value))
    except TypeError:
        raise InvalidArgument(f"{name} = {value!r}: must be an integer") from None
    if not low <= number <= high:
        raise InvalidArgument(f"{name} = {number}: must be {low} to {high}")
    return number


def check_replicas(replicas: int, preferred: Sequence[int]) -> None:
    """Check how an object is to be replicated.

    Raises:
        InvalidArgument: not 1 to 8 replicas, more preferred ranks than replicas, or one named twice.
    """
    if type(replicas) is int and replicas == 1 and type(preferred) is tuple and not preferred:
        return
    preferred = listed(preferred, "preferred_ranks")
    if not all(isinstance(number, int | np.integer) for number in (replicas, *preferred)):
        raise InvalidArgument(f"replicas = {replicas!r}, preferred_ranks = {preferred!r}: integers")
    if not 1 <= replicas <= MAX_REPLICAS:
        raise InvalidArgument(f"replicas must be 1 to {MAX_REPLICAS}, not {replicas}")
    if len(preferred) > replicas or len(set(preferred)) != len(preferred):
        raise InvalidArgument(f"preferred_ranks {list(preferred)} for {replicas} replicas")


def seconds_of(timeout: float | None, default_ms: int) -> float:
    """A call's time limit in seconds.

    Raises:
        InvalidArgument: not above 0, or above 600.
    """
    if timeout is None:
        return default_ms / 1000
    if not isinstance(timeout, int | float | np.number) or not 0 < timeout <= _LONGEST_S:
        raise InvalidArgument(f"timeout must be above 0 and at most {_LONGEST_S:.0f} s")
    return timeout
