"""What clients found: their gets and hits, summed by the meta service.

Reads need no message, so each client counts its own and tells its totals since it began.  Only what is new
against its last word is added here: telling again, or in another session, adds nothing.
"""

from __future__ import annotations

from collections import OrderedDict

_LARGEST = (1 << 64) - 1


class Tally:
    """Gets and hits of all clients, those that are gone too; both count objects."""

    def __init__(self, clients_max: int) -> None:
        """The last words of ``clients_max`` clients are remembered.

        One that was forgotten and speaks again is counted again from its beginning.
        """
        self._clients_max = clients_max
        self._told: OrderedDict[int, tuple[int, int]] = OrderedDict()
        self.gets = 0
        self.hits = 0

    def __len__(self) -> int:
        """How many clients are remembered."""
        return len(self._told)

    def tell(self, client: int, gets: int, hits: int) -> None:
        """A client's totals since it began; a lower one is an older word, and changes nothing."""
        old_gets, old_hits = self._told.pop(client, (0, 0))
        gets, hits = max(gets, old_gets), max(hits, old_hits)
        self.gets = min(self.gets + gets - old_gets, _LARGEST)
        self.hits = min(self.hits + hits - old_hits, _LARGEST)
        self._told[client] = (gets, hits)
        if len(self._told) > self._clients_max:
            self._told.popitem(last=False)

    def forget(self, client: int) -> None:
        """The client is gone for good; what it found stays in the sums."""
        self._told.pop(client, None)
