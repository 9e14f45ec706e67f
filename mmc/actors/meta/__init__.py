"""The meta service: names, claims, leases, eviction order, placement, membership."""

from mmc.actors.meta.service import MetaActor

__all__ = ["MetaActor"]
