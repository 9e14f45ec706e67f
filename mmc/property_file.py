"""``ock.mmc.*`` files: the settings of :mod:`mmc.settings` as lines of ``key = value``.

``#`` begins a comment, blank lines are skipped, and of a key that stands twice the last counts.  A file may
hold the keys of both kinds of service.  What is wrong is said with file, key, what it was, what is allowed.
"""

from __future__ import annotations

import os
import re
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from mmc.errors import CacheError, Code, InvalidArgument
from mmc.settings import LocalConfig, MetaConfig, check_local, check_meta

LOCAL_CONFIG_PATH = "MMC_LOCAL_CONFIG_PATH"
META_CONFIG_PATH = "MMC_META_CONFIG_PATH"
"""The environment variables that name the files."""

_PREFIX = "ock.mmc."
_COMMENT = re.compile(r"(?:^|\s)#")
_TLS = ("enable", "ca.path", "ca.crl.path", "cert.path", "key.path", "key.pass.path", "package.path",
        "decrypter.path")  # fmt: skip


def _tls_keys(prefix: str, field: str) -> dict[str, str]:
    return {f"{prefix}tls.{key}": f"{field}tls_{key.replace('.', '_')}" for key in _TLS}


_SHARED = {
    "meta_service_url": "meta_service_url",
    "log_level": "log_level",
    **_tls_keys("", ""),
    **_tls_keys("config_store.", "config_store_"),
}
LOCAL_KEYS = _SHARED | {
    "local_service.config_store_url": "config_store_url",
    "local_service.world_size": "world_size",
    "local_service.protocol": "protocol",
    "local_service.hcom_url": "hcom_url",
    "local_service.dram.size": "dram_size",
    "local_service.hbm.size": "hbm_size",
    "local_service.max.dram.size": "max_dram_size",
    "local_service.max.hbm.size": "max_hbm_size",
    "client.retry_milliseconds": "client_retry_milliseconds",
    "client.timeout.seconds": "client_timeout_seconds",
    "client.read_thread_pool.size": "read_thread_pool_size",
    "client.write_thread_pool.size": "write_thread_pool_size",
    "client.aggregate.io": "aggregate_io",
    "client.aggregate.num": "aggregate_num",
    **{
        key: field
        for key, field in _tls_keys("local_service.hcom.", "hcom_").items()
        if field != "hcom_tls_package_path"
    },
}
META_KEYS = _SHARED | {
    "meta_service.config_store_url": "config_store_url",
    "meta_service.metrics_url": "metrics_url",
    "meta.ha.enable": "ha_enable",
    "meta.lease_ttl_ms": "lease_ttl_ms",
    "evict_threshold_high": "evict_threshold_high",
    "evict_threshold_low": "evict_threshold_low",
    "evict_check_interval_seconds": "evict_check_interval_seconds",
    "log_path": "log_path",
    "log_rotation_file_size": "log_rotation_file_size",
    "log_rotation_file_count": "log_rotation_file_count",
    "meta.kv_events.enable": "kv_events_enable",
    "meta.kv_events.endpoint": "kv_events_endpoint",
    "meta.kv_events.hash_as_int": "kv_events_hash_as_int",
    "meta.zmq.curve.enable": "zmq_curve_enable",
    "meta.zmq.public_key": "zmq_public_key",
    "meta.zmq.private_key": "zmq_private_key",
}
"""The keys without their prefix, and the field that each sets."""

T = TypeVar("T", LocalConfig, MetaConfig)


def local_config_from(path: str | None = None) -> LocalConfig:
    """The settings in a file, checked; None: in the one that ``MMC_LOCAL_CONFIG_PATH`` names.

    Raises:
        InvalidArgument: -3000, the file cannot be read or something in it is wrong.
        CacheError: -3008, no file is named.
    """
    file = _named_file(path, LOCAL_CONFIG_PATH)
    config = _filled(LocalConfig(), file, LOCAL_KEYS)
    check_local(config, _words(file, LOCAL_KEYS))
    return config


def meta_config_from(path: str | None = None) -> MetaConfig:
    """As :func:`local_config_from`, for the meta service and ``MMC_META_CONFIG_PATH``."""
    file = _named_file(path, META_CONFIG_PATH)
    config = _filled(MetaConfig(), file, META_KEYS)
    check_meta(config, _words(file, META_KEYS))
    return config


def _named_file(path: str | None, variable: str) -> str:
    named = path or os.environ.get(variable)
    if not named:
        raise CacheError(f"call setup first, or set {variable} to a file", Code.NOT_SET_UP)
    return named


def _words(file: str, keys: dict[str, str]) -> _Words:
    return _Words(file, {field: f"{_PREFIX}{key}" for key, field in keys.items()})


class _Words:
    """How a user of a file knows a field."""

    def __init__(self, file: str, keys: dict[str, str]) -> None:
        self._file = file
        self._keys = keys

    def __call__(self, field: str) -> str:
        return f"{self._file}: {self._keys.get(field, field)}"


def _filled(config: T, file: str, keys: dict[str, str]) -> T:
    kinds = {one.name: one.type for one in fields(config)}
    for number, key, text in _lines(file):
        name = key.removeprefix(_PREFIX)
        if not key.startswith(_PREFIX) or name not in LOCAL_KEYS | META_KEYS:
            raise InvalidArgument(f"{file}, line {number}: there is no setting {key}")
        if name in keys:
            setattr(config, keys[name], _typed(text, str(kinds[keys[name]]), f"{file}, line {number}: {key}"))
    return config


def _lines(file: str) -> list[tuple[int, str, str]]:
    try:
        text = Path(file).read_text(encoding="utf-8")
    except OSError as reason:
        raise InvalidArgument(f"{file}: {reason.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidArgument(f"{file}: not UTF-8 text") from None
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = _COMMENT.split(line, maxsplit=1)[0].strip()
        key, equals, value = stripped.partition("=")
        if stripped and not equals:
            raise InvalidArgument(f"{file}, line {number}: {stripped!r} is not key = value")
        if stripped:
            found.append((number, key.strip(), value.strip()))
    return found


def _typed(text: str, kind: str, where: str) -> str | int | bool:
    if kind == "bool":
        if text.lower() not in ("true", "false"):
            raise InvalidArgument(f"{where} = {text!r}: true or false")
        return text.lower() == "true"
    if kind == "int":
        try:
            return int(text)
        except ValueError:
            raise InvalidArgument(f"{where} = {text!r}: a whole number") from None
    return text
