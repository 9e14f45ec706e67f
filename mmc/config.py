"""``config.toml`` → one frozen, validated :class:`Config`.

The defaults are in the ``config.toml`` that ships with the package.  ``MMC_CONFIG`` may name another file
that overrides some of them; keyword arguments override both.  A wrong value is an error that names the
file, the key, what it was, and what is allowed.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from mmc.errors import InvalidArgument
from mmc.limits import BrokerLimits, ClientLimits, LocalLimits, MetaLimits, WireLimits

POOL_STEP = 2 * 1024 * 1024
"""Pools are rounded up to this many bytes."""

_UNITS = {"": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)I?B?\s*", re.IGNORECASE)
_LEVELS = ("debug", "info", "warn", "error")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged."""

    level: str


@dataclass(frozen=True, slots=True)
class Config:
    """Every default and limit, by section of ``config.toml``."""

    wire: WireLimits
    meta: MetaLimits
    local: LocalLimits
    client: ClientLimits
    broker: BrokerLimits
    log: LogSettings


def default_config_path() -> Path:
    """Where the shipped ``config.toml`` lies: in the wheel, or at the top of a checkout."""
    package = Path(__file__).parent
    shipped = package / "config.toml"
    return shipped if shipped.exists() else package.parent / "config.toml"


def load_config(path: str | Path | None = None) -> Config:
    """The defaults, overridden by the file ``path`` (or that of ``MMC_CONFIG``).

    Raises:
        InvalidArgument: a file cannot be read, or a value is not allowed.
    """
    source = default_config_path()
    tables = _read(source)
    override = path or os.environ.get("MMC_CONFIG")
    if override:
        source = Path(override)
        for section, table in _read(source).items():
            if section not in tables or not isinstance(table, dict):
                raise InvalidArgument(f"{source}: there is no section [{section}]")
            tables[section] = {**tables[section], **table}
    try:
        config = TypeAdapter(Config).validate_json(json.dumps(tables), strict=True, extra="forbid")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidArgument(f"{source}: {where} = {first['input']!r}: {first['msg']}") from None
    _check_values(config, source)
    return config


def _read(path: Path) -> dict[str, dict[str, object]]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as reason:
        raise InvalidArgument(f"{path}: {reason.strerror}") from None
    except tomllib.TOMLDecodeError as reason:
        raise InvalidArgument(f"{path}: {reason}") from None


def _check_values(config: Config, source: Path) -> None:
    for section in fields(config):
        table = getattr(config, section.name)
        for field in fields(table):
            value = getattr(table, field.name)
            if isinstance(value, int) and value <= 0:
                raise InvalidArgument(f"{source}: {section.name}.{field.name} = {value}: must be positive")
    if config.log.level not in _LEVELS:
        allowed = ", ".join(_LEVELS)
        raise InvalidArgument(f"{source}: log.level = {config.log.level!r}: one of {allowed}")
    parse_size(config.local.dram, f"{source}: local.dram")
    for holds, sentence in _relations(config):
        if not holds:
            raise InvalidArgument(f"{source}: {sentence}")


def _relations(config: Config) -> tuple[tuple[bool, str], ...]:
    """What must hold between limits."""
    meta, local, client = config.meta, config.local, config.client
    return (
        (
            meta.evict_threshold_low_percent < meta.evict_threshold_high_percent <= 100,  # noqa: PLR2004 - per cent
            "meta.evict_threshold_low_percent must be below evict_threshold_high_percent, at most 100",
        ),
        (
            2 * local.heartbeat_ms <= meta.suspect_ms,
            "local.heartbeat_ms must be at most half of meta.suspect_ms",
        ),
        (meta.suspect_ms < meta.serve_ms, "meta.suspect_ms must be below meta.serve_ms"),
        (meta.lease_ttl_ms <= meta.lease_max_ms, "meta.lease_ttl_ms must not exceed lease_max_ms"),
        (client.retry_ms <= client.retry_max_ms, "client.retry_ms must not exceed retry_max_ms"),
        (
            client.pending_ms <= client.pending_max_ms,
            "client.pending_ms must not exceed pending_max_ms",
        ),
        (
            client.retry_max_ms <= client.timeout_ms,
            "client.retry_max_ms must not exceed timeout_ms",
        ),
        (
            client.keys_per_message <= 16384,  # noqa: PLR2004 - the wire's limit
            "client.keys_per_message must not exceed 16384",
        ),
        (
            config.broker.heartbeat_ms < config.broker.heartbeat_timeout_ms,
            "broker.heartbeat_ms must be below heartbeat_timeout_ms",
        ),
    )


def parse_size(text: str | int, setting: str) -> int:
    """Bytes from a size such as ``134217728``, ``2048KB``, ``200mb``, ``2.5G``, ``1TB``.

    Raises:
        InvalidArgument: not a size; names the setting.
    """
    matched = _SIZE.fullmatch(str(text))
    if not matched:
        raise InvalidArgument(f"{setting} = {text!r}: sizes read like 134217728, 200MB or 2.5G")
    number, unit = matched.groups()
    return int(float(number) * _UNITS[f"{unit.upper()}B" if unit else ""])


def pool_bytes(text: str | int, setting: str) -> int:
    """The size of a pool: positive, rounded up to 2 MiB.

    Raises:
        InvalidArgument: not a positive size.
    """
    size = parse_size(text, setting)
    if size <= 0:
        raise InvalidArgument(f"{setting} = {text!r}: a pool must be larger than 0")
    return size + -size % POOL_STEP


def with_local(config: Config, **changes: str | int) -> Config:
    """A configuration with other values in its ``local`` section."""
    return replace(config, local=replace(config.local, **changes))  # type: ignore[arg-type] # checked by callers
