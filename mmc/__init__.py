"""MemCache: a distributed in-memory cache for the KV blocks of LLM inference."""

from mmc.async_client import AsyncClient
from mmc.client import Client
from mmc.embedded import embedded
from mmc.errors import AlreadyExists, CacheError, Code, InvalidArgument, NotFound

__all__ = [
    "AlreadyExists",
    "AsyncClient",
    "CacheError",
    "Client",
    "Code",
    "InvalidArgument",
    "NotFound",
    "embedded",
]
