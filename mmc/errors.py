"""The documented codes, and the exceptions that carry them.

Every failure that a user can meet is a :class:`CacheError` with one of the documented codes and a
sentence.  Garbage from a peer raises :class:`RemoteProtocolError` and nothing else; a fault of our
own is an assertion.
"""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """The documented result codes (0 is success, negative is failure)."""

    OK = 0
    INTERNAL = -1
    INVALID_ARGUMENT = -3000
    NO_SYSTEM_MEMORY = -3001
    CANNOT_CREATE = -3002
    NOT_SERVING = -3003
    TIMED_OUT = -3004
    REPEATED_CALL = -3005
    EXISTS = -3006
    NOT_FOUND = -3007
    NOT_SET_UP = -3008
    DUPLICATE_SEQUENCE = -3009
    UNKNOWN_SEQUENCE = -3010
    ALREADY_COMPLETED = -3011
    TOO_LARGE = -3013
    UNREACHABLE = -3014
    UNKNOWN_OPERATION = -3015
    NO_SPACE = -3016
    META_UNREACHABLE = -3017
    NO_SUCH_RANK = -3018
    CLIENT_CLOSED = -3019
    WRONG_STATE = -3101
    WRONG_KEY = -3102
    WRONG_SIZE = -3103
    LEASED = -3104


class CacheError(Exception):
    """A failure with a documented code.

    Attributes:
        code: the documented code, a member of :class:`Code`.
        sentence: what happened, and where it helps, what to do.
    """

    code: Code = Code.INTERNAL

    def __init__(self, sentence: str, code: Code | None = None) -> None:
        """Keep the sentence, and the code where it is not the class's own."""
        if code is not None:
            self.code = code
        self.sentence = sentence
        super().__init__(f"{sentence} ({int(self.code)})")


class InvalidArgument(CacheError):
    """The caller handed in something that can never work."""

    code = Code.INVALID_ARGUMENT


class NoSystemMemory(CacheError):
    """The operating system refuses memory."""

    code = Code.NO_SYSTEM_MEMORY


class CannotCreate(CacheError):
    """A service or segment cannot be made."""

    code = Code.CANNOT_CREATE


class AlreadyExists(CacheError):
    """The key, or the asked rank, is taken."""

    code = Code.EXISTS


class NotFound(CacheError):
    """The key is unknown or not yet readable."""

    code = Code.NOT_FOUND


class RemoteProtocolError(CacheError):
    """A peer sent something that is not a valid message."""

    code = Code.INVALID_ARGUMENT


_BY_CODE: dict[Code, type[CacheError]] = {
    kind.code: kind for kind in (InvalidArgument, NoSystemMemory, CannotCreate, AlreadyExists, NotFound)
}

_CODES = {int(code): code for code in Code}


def told_code(number: int) -> Code:
    """The code that a peer told; one that is not documented is a fault of the peer's, -1."""
    return _CODES.get(number, Code.INTERNAL)


SENTENCES: dict[Code, str] = {
    Code.OK: "done",
    Code.INTERNAL: "a fault inside the cache",
    Code.INVALID_ARGUMENT: "invalid argument",
    Code.NO_SYSTEM_MEMORY: "the operating system refuses memory",
    Code.CANNOT_CREATE: "the service cannot be created",
    Code.NOT_SERVING: "the peer is not serving",
    Code.TIMED_OUT: "the deadline passed",
    Code.REPEATED_CALL: "the call was already made",
    Code.EXISTS: "the object already exists",
    Code.NOT_FOUND: "there is no such object",
    Code.NOT_SET_UP: "neither set up nor configured",
    Code.DUPLICATE_SEQUENCE: "this sequence number was already used",
    Code.UNKNOWN_SEQUENCE: "this sequence number is not known, nor whether the request ran",
    Code.ALREADY_COMPLETED: "already completed",
    Code.TOO_LARGE: "larger than the pool",
    Code.UNREACHABLE: "a rank that may hold the object cannot be reached",
    Code.UNKNOWN_OPERATION: "unknown operation",
    Code.NO_SPACE: "no space, and nothing evictable is left",
    Code.META_UNREACHABLE: "no answer from the broker or the meta service",
    Code.NO_SUCH_RANK: "no such live rank",
    Code.CLIENT_CLOSED: "the client is not open",
    Code.WRONG_STATE: "the object is still being written, evicted or removed",
    Code.WRONG_KEY: "not a key that this client allocated",
    Code.WRONG_SIZE: "the size differs from the object's",
    Code.LEASED: "the object is under an explicit lease",
}


_SHOWN = 80


def shown(about: str | bytes) -> str:
    """A key, or what else an error is about, in a sentence: never a megabyte of it."""
    told = about if isinstance(about, str) else repr(about)
    told = told if told.isprintable() else repr(told)
    return told if len(told) <= _SHOWN else f"{told[: _SHOWN - 3]}..."


def error_for(code: int, about: str) -> CacheError:
    """The exception for a code; ``about`` names the key or call it concerns."""
    known = Code(code)
    kind = _BY_CODE.get(known, CacheError)
    return kind(f"{about}: {SENTENCES[known]}", known)


def raise_for(code: Code, about: str | bytes) -> None:
    """Raise the exception of a code that is not 0; ``about`` names the key or call it concerns.

    Raises:
        CacheError: of that code.
    """
    if code != Code.OK:
        raise error_for(code, shown(about))
