"""When a curve of the soak is flat."""

from __future__ import annotations

import pytest

from scripts.crashing.curves import Curves, is_flat

_TIMES = [0.0, 30.0, 60.0, 90.0]


@pytest.mark.parametrize(
    ("name", "values", "flat"),
    [
        ("meta: memory MiB", [20.0, 20.5, 20.2, 20.9], True),
        ("meta: memory MiB", [20.0, 21.0, 22.0, 23.0], False),
        ("meta: memory MiB", [23.0, 22.0, 21.0, 20.0], True),
        ("meta: memory MiB", [100.0, 101.0, 102.0, 102.5], True),
        ("meta: descriptors", [14, 15, 15, 14], True),
        ("meta: descriptors", [14, 14, 14, 15], False),
        ("ranks: reserved_bytes", [0, 0, 0, 4096], False),
        ("shared memory: MiB", [519.0, 519.0, 519.0, 519.5], False),
    ],
)
def test_flat_is_what_the_script_says(name: str, values: list[float], flat: bool) -> None:
    """Memory may rise a little along a line; anything else ends no higher than it began."""
    assert is_flat(name, _TIMES, values) is flat


def test_what_is_missing_in_a_round_is_not_flat() -> None:
    """A process that was not there is no proof of anything."""
    curves = Curves()
    curves.add(1.0, {"a: threads": 1})
    curves.add(2.0, {"a: threads": 1, "b: threads": 1})
    curves.add(3.0, {"b: threads": 1})
    assert curves.tell(0) == ["a: threads", "b: threads"]
    assert curves.csv().splitlines()[0] == "seconds,a: threads,b: threads"
