"""Looking on at product code: hooks around methods of one object, which change nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Hook = Callable[..., None]


def observe(target: object, name: str, *, before: Hook | None = None, after: Hook | None = None) -> None:
    """Call ``before(*arguments)`` and ``after(result, *arguments)`` around a method of one object."""
    method = getattr(target, name)

    def observed(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever the method takes
        if before is not None:
            before(*arguments, **named)
        result = method(*arguments, **named)
        if after is not None:
            after(result, *arguments, **named)
        return result

    setattr(target, name, observed)
