"""How often the meta service was asked for what, by the names that monitors know."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mmc.wire import requests

if TYPE_CHECKING:
    from mmc.wire.operations import Message

OPERATIONS = (
    "alloc", "batch_alloc", "remove", "batch_remove", "update_state", "batch_update_state", "query",
    "batch_query", "get_all_keys", "mount", "unmount",
)  # fmt: skip


class Traffic:
    """Requests and those that failed as a whole, since the service began."""

    def __init__(self) -> None:
        """Nothing was asked."""
        self.requests: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()

    def asked(self, message: Message) -> None:
        """A request is about to be executed."""
        name = operation_of(message)
        if name:
            self.requests[name] += 1

    def failed(self, message: Message) -> None:
        """It was refused as a whole."""
        name = operation_of(message)
        if name:
            self.failures[name] += 1

    def counters(self) -> dict[str, int]:
        """``<operation>_requests`` and ``<operation>_failures`` of each operation."""
        counted = {f"{name}_requests": self.requests[name] for name in OPERATIONS}
        return counted | {f"{name}_failures": self.failures[name] for name in OPERATIONS}


def operation_of(message: Message) -> str:
    """The name of what is asked; "" where monitors know none."""
    match message:
        case requests.Claim(keys=keys):
            return _batched("alloc", len(keys))
        case requests.Remove(keys=keys):
            return _batched("remove", len(keys))
        case requests.Lookup(keys=keys):
            return _batched("query", len(keys))
        case requests.Confirmed(records=records):
            return _batched("update_state", len(records))
        case requests.ListKeys():
            return "get_all_keys"
        case requests.Join():
            return "mount"
        case requests.Leave():
            return "unmount"
        case _:
            return ""


def _batched(name: str, count: int) -> str:
    return name if count == 1 else f"batch_{name}"
