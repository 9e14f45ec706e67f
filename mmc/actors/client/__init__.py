"""The client: sessions, reserves, and the operations on keys, for every kind of caller."""

from mmc.actors.client.service import ClientActor

__all__ = ["ClientActor"]
