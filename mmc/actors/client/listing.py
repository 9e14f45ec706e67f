"""Operations that list: the readable keys of the cluster, page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mmc.actors.client.calls import Replies
from mmc.errors import Code, error_for
from mmc.identifiers import decode_key
from mmc.wire import replies, requests

if TYPE_CHECKING:
    from mmc.actors.client.calls import Operation
    from mmc.actors.client.service import ClientActor


class Cursor(NamedTuple):
    """Where a listing goes on: a rank, and a record of it."""

    rank: int
    record: int


BEGINNING = Cursor(0, 0)
"""Where a listing begins; also what follows its last page."""


def list_keys(client: ClientActor, deadline: float, *, cursor: Cursor) -> Operation[replies.KeyPage | Code]:
    """One page of readable keys, at most ``keys_per_message``; -3014 while a member has not reported."""
    ticket = client.ask_meta(requests.ListKeys(*cursor, client.limits.keys_per_message), deadline)
    yield Replies([ticket])
    if isinstance(ticket.reply, replies.KeyPage):
        return ticket.reply
    return ticket.code if ticket.code != Code.OK else Code.INTERNAL


class Listing:
    """The keys with a prefix, told once each, as page after page arrives.

    It remembers every key that it has told: replicas would repeat them.
    """

    def __init__(self, prefix: bytes) -> None:
        """Nothing is known yet."""
        self._prefix = prefix
        self._told: set[bytes] = set()
        self.cursor = BEGINNING
        self.is_complete = False

    def take(self, page: replies.KeyPage | Code) -> list[str]:
        """The keys of a page that are news.

        Raises:
            CacheError: -3014, -3017, -3004: nobody could tell.
        """
        if isinstance(page, Code):
            raise error_for(page, "listing keys")
        fresh = [key for key in page.keys if key.startswith(self._prefix) and key not in self._told]
        self._told.update(fresh)
        self.cursor = Cursor(page.next_rank, page.next_record)
        self.is_complete = self.cursor == BEGINNING
        return [decode_key(key) for key in dict.fromkeys(fresh)]
