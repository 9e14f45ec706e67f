"""``config.toml`` → one frozen, validated :class:`Config`.

The defaults are in the ``config.toml`` that ships with the package.  The file that ``MMC_CONFIG`` names
overrides some of them, environment variables named ``MMC_<SECTION>_<KEY>`` (``MMC_CLIENT_TIMEOUT_MS``)
override that, and what a program sets itself overrides all.  A wrong value is an error that names where it
comes from, the key, what it was, and what is allowed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, get_type_hints

from mmc.errors import InvalidArgument
from mmc.limits import BrokerLimits, ClientLimits, DataLimits, LocalLimits, MetaLimits, WireLimits

POOL_STEP = 2 * 1024 * 1024
"""Pools are rounded up to this many bytes."""

_UNITS = {"": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)I?B?\s*", re.IGNORECASE)
_PREFIX = "MMC_"
_PERCENT = 100
_WIRE_KEYS = 16384
_FILES_MIN = 2
_AT_MOST_HALF = "must be at most half of"
_PATH_VARIABLES = ("MMC_LOCAL_CONFIG_PATH", "MMC_META_CONFIG_PATH")
LEVELS = ("debug", "info", "warn", "error")


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What is logged, and where; ``path`` is a directory, or empty for no files."""

    level: str
    path: str
    file_size_mb: int
    file_count: int
    audit: bool


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """How a meta service that a program starts finds its broker."""

    broker: Literal["own", "external"]
    backend_url: str
    publish_url: str
    events_url: str


@dataclass(frozen=True, slots=True)
class Config:
    """Every default and limit, by section of ``config.toml``."""

    wire: WireLimits
    meta: MetaLimits
    local: LocalLimits
    client: ClientLimits
    data: DataLimits
    services: ServiceSettings
    broker: BrokerLimits
    log: LogSettings


def default_config_path() -> Path:
    """Where the shipped ``config.toml`` lies: in the wheel, or at the top of a checkout."""
    package = Path(__file__).parent
    shipped = package / "config.toml"
    return shipped if shipped.exists() else package.parent / "config.toml"


Tables = dict[str, dict[str, object]]
"""Settings by section and key."""


def load_config(
    path: str | Path | None = None, overrides: Mapping[str, Mapping[str, object]] | None = None
) -> Config:
    """The defaults, overridden by the file ``path`` (or that of ``MMC_CONFIG``), the environment, the caller.

    Raises:
        InvalidArgument: a file cannot be read, or a value is not allowed.
    """
    merged = _Merged(_read(default_config_path()), str(default_config_path()))
    override = path or os.environ.get("MMC_CONFIG")
    if override:
        for section, table in _read(Path(override)).items():
            merged.take(section, table, str(override))
    for section, key, name, text in _from_environment(merged.tables):
        merged.take(section, {key: _as_typed(text, merged.tables[section].get(key))}, name)
    for section, changes in (overrides or {}).items():
        merged.take(section, changes, "this program")
    config = _validated(merged) if merged.has_changes else restore_config(merged.tables)
    _check_values(config, merged)
    return config


def _validated(merged: _Merged) -> Config:
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - what ships is known to be valid

    try:
        return TypeAdapter(Config).validate_json(json.dumps(merged.tables), strict=True, extra="forbid")
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        source = merged.source(*map(str, first["loc"][:2]))
        raise InvalidArgument(f"{source}: {where} = {first['input']!r}: {first['msg']}") from None


def restore_config(settled: Mapping[str, Mapping[str, object]]) -> Config:
    """The configuration whose ``asdict`` these sections are; nothing is validated again."""
    sections = get_type_hints(Config)
    return Config(**{name: sections[name](**table) for name, table in settled.items()})


class _Merged:
    """Settings from several sources, and which source each key has its value from."""

    def __init__(self, tables: Tables, source: str) -> None:
        """The defaults."""
        self.tables = tables
        self._default = source
        self._sources: dict[tuple[str, str], str] = {}

    def take(self, section: str, table: object, source: str) -> None:
        """These values win over what was there."""
        if section not in self.tables or not isinstance(table, Mapping):
            raise InvalidArgument(f"{source}: there is no section [{section}]")
        self.tables[section] = {**self.tables[section], **table}
        self._sources.update(((section, key), source) for key in table)

    @property
    def has_changes(self) -> bool:
        """Whether any value may be another than the default."""
        return bool(self._sources)

    def source(self, section: str, key: str = "") -> str:
        """Where a key's value comes from."""
        return self._sources.get((section, key), self._default)

    def value(self, name: str) -> object:
        """The value of ``section.key``."""
        section, _, key = name.partition(".")
        return self.tables[section][key]

    def source_of(self, *names: str) -> str:
        """Where the value of the first of these keys comes from that is not a default."""
        pairs = [name.split(".") for name in names if "." in name]
        found = (self._sources.get((section, key)) for section, key in pairs)
        return next((source for source in found if source), self._default)


def _from_environment(tables: Tables) -> Iterator[tuple[str, str, str, str]]:
    """(section, key, variable, text) of every variable that names a section of ours."""
    for name, text in os.environ.items():
        section, _, key = name.removeprefix(_PREFIX).lower().partition("_")
        if name.startswith(_PREFIX) and section in tables and name not in _PATH_VARIABLES:
            yield section, key, name, text


def _as_typed(text: str, default: object) -> object:
    """A variable's text as the type of the default; what does not fit is left for the validation to name."""
    if isinstance(default, bool):
        return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    if isinstance(default, int):
        try:
            return int(text, 0)
        except ValueError:
            return text
    return text


def _read(path: Path) -> dict[str, dict[str, object]]:
    import tomllib  # noqa: PLC0415 - settled settings need none of it

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as reason:
        raise InvalidArgument(f"{path}: {reason.strerror}") from None
    except tomllib.TOMLDecodeError as reason:
        raise InvalidArgument(f"{path}: {reason}") from None


def _check_values(config: Config, merged: _Merged) -> None:
    for section in fields(config):
        table = getattr(config, section.name)
        for field in fields(table):
            value = getattr(table, field.name)
            if isinstance(value, int) and not isinstance(value, bool) and value <= 0:
                source = merged.source(section.name, field.name)
                raise InvalidArgument(f"{source}: {section.name}.{field.name} = {value}: must be positive")
    if config.log.level not in LEVELS:
        source, allowed = merged.source("log", "level"), ", ".join(LEVELS)
        raise InvalidArgument(f"{source}: log.level = {config.log.level!r}: one of {allowed}")
    parse_size(config.local.dram, f"{merged.source('local', 'dram')}: local.dram")
    for holds, key, relation, other in _relations(config):
        if not holds:
            sides = [f"{name} = {merged.value(name)!r}" if "." in name else name for name in (key, other)]
            raise InvalidArgument(f"{merged.source_of(key, other)}: {sides[0]} {relation} {sides[1]}")


def _relations(config: Config) -> tuple[tuple[bool, str, str, str], ...]:
    """What must hold between limits: whether it does, and how to say it."""
    meta, local, client, broker = config.meta, config.local, config.client, config.broker
    wire = config.wire
    low, high = meta.evict_threshold_low_percent, meta.evict_threshold_high_percent
    above, within = "must be below", "must not exceed"
    return (
        (low < high, "meta.evict_threshold_low_percent", above, "meta.evict_threshold_high_percent"),
        (high <= _PERCENT, "meta.evict_threshold_high_percent", within, str(_PERCENT)),
        (2 * local.heartbeat_ms <= meta.suspect_ms, "local.heartbeat_ms", _AT_MOST_HALF, "meta.suspect_ms"),
        (meta.suspect_ms < meta.serve_ms, "meta.suspect_ms", above, "meta.serve_ms"),
        (meta.lease_ttl_ms <= meta.lease_max_ms, "meta.lease_ttl_ms", within, "meta.lease_max_ms"),
        (client.retry_ms <= client.retry_max_ms, "client.retry_ms", within, "client.retry_max_ms"),
        (client.pending_ms <= client.pending_max_ms, "client.pending_ms", within, "client.pending_max_ms"),
        (client.retry_max_ms <= client.timeout_ms, "client.retry_max_ms", within, "client.timeout_ms"),
        (client.retry_max_ms <= client.unanswered_ms, "client.retry_max_ms", within, "client.unanswered_ms"),
        (config.data.blocks_per_request <= _WIRE_KEYS, "data.blocks_per_request", within, str(_WIRE_KEYS)),
        (config.data.threads < local.clients_max, "data.threads", above, "local.clients_max"),
        (config.log.file_count >= _FILES_MIN, "log.file_count", "must be at least", str(_FILES_MIN)),
        (wire.window_bytes <= wire.replies_max_bytes, "wire.window_bytes", within, "wire.replies_max_bytes"),
        (client.keys_per_message <= _WIRE_KEYS, "client.keys_per_message", within, str(_WIRE_KEYS)),
        (
            broker.heartbeat_ms < broker.heartbeat_timeout_ms,
            "broker.heartbeat_ms",
            above,
            "broker.heartbeat_timeout_ms",
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


def client_settings(timeout_ms: int, unanswered_ms: int) -> dict[str, int]:
    """Overrides of the client's section for these times; 0 leaves one as it is configured."""
    defaults = load_config().client
    settings = {}
    if timeout_ms:
        settings["timeout_ms"] = timeout_ms
        settings["connect_timeout_ms"] = min(timeout_ms, defaults.connect_timeout_ms)
    if unanswered_ms:
        settings["unanswered_ms"] = settings["connect_timeout_ms"] = unanswered_ms
    settings["retry_max_ms"] = min([defaults.retry_max_ms, *settings.values()])
    settings["retry_ms"] = min(defaults.retry_ms, settings["retry_max_ms"])
    return settings


def with_local(config: Config, **changes: str | int) -> Config:
    """A configuration with other values in its ``local`` section."""
    return replace(config, local=replace(config.local, **changes))  # type: ignore[arg-type] # checked by callers
