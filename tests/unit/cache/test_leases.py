"""Explicit leases, as the meta service sees them."""

from mmc.cache.leases import Leases


def test_a_key_is_leased_until_the_last_of_its_sessions_ends() -> None:
    """The end of a key's lease is the latest end that a session was promised."""
    leases = Leases()
    leases.add(b"key", 1, 10.0)
    leases.add(b"key", 2, 30.0)
    leases.add(b"key", 3, 20.0)
    assert leases.until(b"key") == 30.0
    leases.remove(b"key", 2)
    assert leases.until(b"key") == 20.0


def test_adding_again_never_shortens() -> None:
    """A promise once given is kept, whatever is asked afterwards."""
    leases = Leases()
    leases.add(b"key", 1, 30.0)
    leases.add(b"key", 1, 10.0)
    assert leases.until(b"key") == 30.0
    leases.expire(10.0)
    assert leases.until(b"key") == 30.0


def test_adding_again_extends() -> None:
    """An extended lease outlives its first end."""
    leases = Leases()
    leases.add(b"key", 1, 10.0)
    leases.add(b"key", 1, 30.0)
    leases.expire(29.9)
    assert leases.until(b"key") == 30.0


def test_a_lease_ends_at_its_end() -> None:
    """A lease that has ended protects nothing and takes no room."""
    leases = Leases()
    leases.add(b"key", 1, 10.0)
    leases.expire(9.9)
    assert leases.until(b"key") == 10.0
    leases.expire(10.0)
    assert leases.until(b"key") == 0.0
    assert len(leases) == 0


def test_one_session_cannot_end_another_s_lease() -> None:
    """A session that has no lease on a key is told so, and changes nothing."""
    leases = Leases()
    leases.add(b"key", 1, 10.0)
    assert not leases.remove(b"key", 2)
    assert not leases.remove(b"other", 1)
    assert leases.until(b"key") == 10.0
    assert leases.remove(b"key", 1)
    assert not leases.remove(b"key", 1)
    assert len(leases) == 0


def test_a_key_that_is_gone_is_not_leased() -> None:
    """With the key, all leases on it are gone; what is put under its name later is not leased."""
    leases = Leases()
    leases.add(b"key", 1, 10.0)
    leases.forget(b"key")
    leases.forget(b"key")
    assert leases.until(b"key") == 0.0
    leases.add(b"key", 2, 40.0)
    leases.expire(20.0)
    assert leases.until(b"key") == 40.0


def test_leases_that_are_extended_all_the_time_take_no_more_room() -> None:
    """However often leases are given again, ended and given anew, only what is leased is kept."""
    leases = Leases()
    for turn in range(5000):
        leases.add(b"kept", 1, 1000.0 + turn)
        leases.add(b"shorter", 1, 90_000.0 - turn)
        leases.remove(b"shorter", 1)
        leases.add(b"gone", 1, 2000.0)
        leases.forget(b"gone")
        leases.check()
        assert leases.queued < 100
    leases.expire(5998.5)
    assert leases.until(b"kept") == 5999.0
    leases.expire(5999.0)
    leases.check()
    assert len(leases) == 0
