"""The floor of every message: a bare request and reply through a broker, with Python at both ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.bench.stores.contract import Store
from mmc.config import load_config
from mmc.zeromq.echo import Asker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mmc.bench.stores.contract import Call, Item

_FRAMES = (b"h" * 24, b"b" * 120)
"""As large as the header and the body of a request about one key."""


class Bare(Store):
    """Whatever is asked of it is one request and its reply."""

    keeps = False

    def __init__(self, url: str) -> None:
        """Connect to the broker before the echo."""
        config = load_config()
        self._asker = Asker(url, config.wire, config.broker)

    def _ask(self) -> None:
        self._asker.ask(_FRAMES)

    def get(self, items: Sequence[Item]) -> Call:
        """One request."""
        return self._ask

    def put(self, items: Sequence[Item]) -> Call:
        """One request."""
        return self._ask

    def exist(self, keys: Sequence[str]) -> Call:
        """One request, however many the keys."""
        return self._ask

    def close(self) -> None:
        """Disconnect."""
        self._asker.close()
