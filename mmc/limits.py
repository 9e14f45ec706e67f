"""The limits that the pure layers are handed: plain values, each with its unit in its name.

The values and their reasons are in ``config.toml``; :mod:`mmc.config` reads and validates them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WireLimits:
    """Sessions, windows and messages."""

    window_requests: int
    window_bytes: int
    replies_max_bytes: int
    sessions_max: int
    session_idle_ms: int
    message_max_bytes: int
    topic_max_bytes: int
    queue_messages: int


@dataclass(frozen=True, slots=True)
class MetaLimits:
    """The meta service."""

    claim_check_ms: int
    command_repeat_ms: int
    commands_per_event: int
    commands_max: int
    suspect_ms: int
    serve_ms: int
    grace_ms: int
    member_tick_ms: int
    evict_threshold_high_percent: int
    evict_threshold_low_percent: int
    lease_ttl_ms: int
    lease_max_ms: int
    objects_max: int
    ranks_max: int
    repair: bool
    copy_bytes: int
    copy_objects: int


@dataclass(frozen=True, slots=True)
class LocalLimits:
    """A local service."""

    segment_dir: str
    segment_mode: int
    dram: str
    bytes_per_record: int
    clients_max: int
    pins_per_client: int
    heartbeat_ms: int
    reserve_ahead_bytes: int
    reserve_share: int
    reap_ms: int
    report_records: int
    waiting_reserves_max: int
    populate_step_bytes: int


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """A client."""

    timeout_ms: int
    connect_timeout_ms: int
    retry_ms: int
    retry_max_ms: int
    unanswered_ms: int
    pending_ms: int
    pending_max_ms: int
    reserve_idle_ms: int
    confirm_delay_ms: int
    locations_max: int
    copy_threads: int
    gather_keys: int
    populate: bool
    map_segments: bool
    keys_per_message: int
    background_tick_ms: int
    report_ms: int


@dataclass(frozen=True, slots=True)
class DataLimits:
    """Bytes that travel between hosts: data servers, and connections to them."""

    url: str
    host: str
    threads: int
    connections_max: int
    connections_per_rank: int
    idle_ms: int
    stalled_ms: int
    connect_ms: int
    blocks_per_request: int
    request_bytes: int
    step_bytes: int


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """The broker."""

    heartbeat_ms: int
    heartbeat_timeout_ms: int
