"""MemCache: a distributed in-memory cache for the KV blocks of LLM inference.

Names are imported at their first use, so that a process pays for what it uses.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmc.async_client import AsyncClient
    from mmc.client import Client
    from mmc.config import load_config
    from mmc.embedded import embedded
    from mmc.errors import AlreadyExists, CacheError, Code, InvalidArgument, NotFound
    from mmc.failures import LastError, last_error
    from mmc.key_info import Direction, KeyInfo, Medium
    from mmc.log import set_level
    from mmc.meta_main import MetaService
    from mmc.settings import LocalConfig, MetaConfig, ReplicateConfig
    from mmc.store import DistributedObjectStore

__all__ = [
    "AlreadyExists",
    "AsyncClient",
    "CacheError",
    "Client",
    "Code",
    "Direction",
    "DistributedObjectStore",
    "InvalidArgument",
    "KeyInfo",
    "LastError",
    "LocalConfig",
    "Medium",
    "MetaConfig",
    "MetaService",
    "NotFound",
    "ReplicateConfig",
    "embedded",
    "last_error",
    "load_config",
    "set_level",
]

_HOMES = {
    "AlreadyExists": "mmc.errors",
    "AsyncClient": "mmc.async_client",
    "CacheError": "mmc.errors",
    "Client": "mmc.client",
    "Code": "mmc.errors",
    "Direction": "mmc.key_info",
    "DistributedObjectStore": "mmc.store",
    "InvalidArgument": "mmc.errors",
    "KeyInfo": "mmc.key_info",
    "LastError": "mmc.failures",
    "LocalConfig": "mmc.settings",
    "Medium": "mmc.key_info",
    "MetaConfig": "mmc.settings",
    "MetaService": "mmc.meta_main",
    "NotFound": "mmc.errors",
    "ReplicateConfig": "mmc.settings",
    "embedded": "mmc.embedded",
    "load_config": "mmc.config",
    "set_level": "mmc.log",
    "last_error": "mmc.failures",
}
_SUBMODULES = ("aio", "capi")


def __getattr__(name: str) -> object:
    if name in _SUBMODULES:
        return importlib.import_module(f"mmc.{name}")
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("mmc")
    if name not in _HOMES:
        raise AttributeError(f"module 'mmc' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})
