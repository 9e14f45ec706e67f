"""How often the meta service was asked for what, by the names that monitors know."""

from __future__ import annotations

from collections import Counter

from mmc.wire import requests
from mmc.wire.operations import Message

OPERATIONS = (
    "alloc", "batch_alloc", "remove", "batch_remove", "update_state", "batch_update_state", "query",
    "batch_query", "get_all_keys", "mount", "unmount",
)  # fmt: skip

_NAMES: dict[type[Message], tuple[str, str, str]] = {
    requests.Claim: ("alloc", "batch_alloc", "keys"),
    requests.Remove: ("remove", "batch_remove", "keys"),
    requests.Lookup: ("query", "batch_query", "keys"),
    requests.Confirmed: ("update_state", "batch_update_state", "records"),
    requests.ListKeys: ("get_all_keys", "", ""),
    requests.Join: ("mount", "", ""),
    requests.Leave: ("unmount", "", ""),
}
"""The name of a message about one thing, of one about any other number, and the list of these things."""
_NAMELESS = ("", "", "")


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
    single, batched, items = _NAMES.get(type(message), _NAMELESS)
    return batched if items and len(getattr(message, items)) != 1 else single
