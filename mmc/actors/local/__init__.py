"""A local service: the bytes of one rank, their free space, reservations and pins."""

from mmc.actors.local.service import LocalActor

__all__ = ["LocalActor"]
