"""Codes, sentences, and the exceptions that carry them."""

import pytest

from mmc.errors import (
    SENTENCES,
    AlreadyExists,
    CacheError,
    CannotCreate,
    Code,
    InvalidArgument,
    NoSystemMemory,
    NotFound,
    RemoteProtocolError,
    error_for,
)

OWN = {
    Code.INVALID_ARGUMENT: InvalidArgument,
    Code.NO_SYSTEM_MEMORY: NoSystemMemory,
    Code.CANNOT_CREATE: CannotCreate,
    Code.EXISTS: AlreadyExists,
    Code.NOT_FOUND: NotFound,
}


def test_every_code_has_a_sentence() -> None:
    """No user meets a bare number."""
    assert set(SENTENCES) == set(Code)
    assert all(sentence and sentence[-1] != "." for sentence in SENTENCES.values())


@pytest.mark.parametrize("code", Code)
def test_an_error_has_its_code_its_sentence_and_what_it_is_about(code: Code) -> None:
    """The error of a code is of the kind that users catch, and says what it concerns."""
    error = error_for(int(code), "key k1")
    assert error.code is code
    assert error.sentence == f"key k1: {SENTENCES[code]}"
    assert str(error) == f"{error.sentence} ({int(code)})"
    assert type(error) is OWN.get(code, CacheError)


def test_the_kinds_have_their_codes() -> None:
    """An error that is raised by its kind has the documented code of that kind."""
    assert {code: kind("why").code for code, kind in OWN.items()} == {c: c for c in OWN}
    assert RemoteProtocolError("why").code is Code.INVALID_ARGUMENT
    assert RemoteProtocolError("why", Code.UNKNOWN_OPERATION).code is Code.UNKNOWN_OPERATION
    assert CacheError("why").code is Code.INTERNAL


def test_a_code_given_to_one_error_is_that_error_s_alone() -> None:
    """The code of one error does not become its kind's."""
    RemoteProtocolError("why", Code.UNKNOWN_OPERATION)
    assert RemoteProtocolError.code is Code.INVALID_ARGUMENT


def test_users_do_not_mistake_a_peer_s_fault_for_their_own() -> None:
    """Garbage from a peer is no InvalidArgument, though it has the same code."""
    assert not issubclass(RemoteProtocolError, InvalidArgument)
    assert issubclass(RemoteProtocolError, CacheError)
