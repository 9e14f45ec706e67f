"""How a fault is planted: a function of the product is replaced, for a while, by a careless version of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import ModuleType

from tests.simulation.memory import ProcessMemory

Plant = Callable[[ExitStack], None]


@contextmanager
def _replaced(target: object, name: str, value: object) -> Iterator[None]:
    original = getattr(target, name)
    setattr(target, name, value)
    try:
        yield
    finally:
        setattr(target, name, original)


def replace(stack: ExitStack, target: object, name: str, value: object) -> None:
    """Put something else in place of an attribute, until the stack closes."""
    stack.enter_context(_replaced(target, name, value))


def fence_left_out(module: ModuleType, function: str) -> Plant:
    """The fences in this function of the product are not there."""
    original = ProcessMemory.fence

    def fence(memory: ProcessMemory) -> None:
        caller = sys._getframe(1).f_code  # noqa: SLF001 - which of the fences it is
        if (caller.co_filename, caller.co_name) != (module.__file__, function):
            original(memory)

    def plant(stack: ExitStack) -> None:
        replace(stack, ProcessMemory, "fence", fence)

    return plant
