"""Who reserves and writes records: a client's actor, or the proxy of other hosts' clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mmc.actors.client.ranks import RankHandle


class Writer(Protocol):
    """What reserving and writing need to know; ``now`` is the time of the step in progress."""

    @property
    def now(self) -> float:
        """Seconds of the host's clock."""
        ...

    @property
    def ranks(self) -> dict[int, RankHandle]:
        """The ranks whose segments this process has mapped."""
        ...

    @property
    def writable_ranks(self) -> list[int]:
        """Those of them that puts may go to."""
        ...

    @property
    def has_elsewhere(self) -> bool:
        """Whether ranks of other hosts may take what these do not."""
        ...

    @property
    def home_rank(self) -> int | None:
        """Where puts go that name no rank."""
        ...
