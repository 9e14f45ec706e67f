"""A local service: the bytes of one rank, their free space, reservations and pins."""

from mmc.actors.local.service import JOIN_REFUSED, RANK_LIVE, LocalActor

__all__ = ["JOIN_REFUSED", "RANK_LIVE", "LocalActor"]
