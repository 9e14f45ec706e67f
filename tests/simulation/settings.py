"""The configuration of a simulated cluster: limits, sizes, and how many of everything."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from mmc.limits import ClientLimits, LocalLimits, MetaLimits, WireLimits
from tests.simulation.hosts import Spread

WIRE = WireLimits(
    window_requests=64,
    window_bytes=65536,
    replies_max_bytes=1 << 20,
    sessions_max=4096,
    session_idle_ms=600_000,
    message_max_bytes=1 << 20,
    topic_max_bytes=1024,
    queue_messages=1024,
)
META = MetaLimits(
    claim_check_ms=200,
    command_repeat_ms=100,
    commands_per_event=64,
    commands_max=1000,
    suspect_ms=2000,
    serve_ms=4000,
    grace_ms=6000,
    member_tick_ms=1000,
    evict_threshold_high_percent=90,
    evict_threshold_low_percent=70,
    lease_ttl_ms=1000,
    lease_max_ms=5000,
    objects_max=1000,
    ranks_max=8,
    repair=False,
    copy_bytes=1 << 20,
    copy_objects=16,
)
LOCAL = LocalLimits(
    segment_dir="",
    segment_mode=0o600,
    dram="",
    bytes_per_record=1024,
    clients_max=12,
    pins_per_client=3,
    heartbeat_ms=500,
    reserve_ahead_bytes=8192,
    reserve_share=4,
    reap_ms=250,
    report_records=16,
    waiting_reserves_max=64,
    populate_step_bytes=4096,
)
CLIENT = ClientLimits(
    timeout_ms=2000,
    connect_timeout_ms=5000,
    retry_ms=50,
    retry_max_ms=400,
    unanswered_ms=1500,
    pending_ms=2,
    pending_max_ms=50,
    reserve_idle_ms=500,
    confirm_delay_ms=5,
    locations_max=16,
    copy_threads=1,
    gather_keys=12,
    populate=False,
    map_segments=True,
    keys_per_message=8,
    background_tick_ms=50,
    report_ms=600_000,
)


ONE_HOST = Spread((0,), (), ())
"""Everything is on one host."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a cluster consists of."""

    ranks: int = 2
    clients: int = 3
    capacity: int = 32768
    records: int = 24
    wire: WireLimits = field(default=WIRE)
    meta: MetaLimits = field(default=META)
    local: LocalLimits = field(default=LOCAL)
    client: ClientLimits = field(default=CLIENT)
    read_only_clients: int = 0
    numbered: bool = False
    persists: bool = True
    spread: Spread = ONE_HOST


def large_settings(ranks: int) -> Settings:
    """A cluster of so many small ranks, within limits that leave room for all of them."""
    return Settings(
        ranks=ranks,
        capacity=8192,
        records=8,
        wire=replace(
            WIRE,
            sessions_max=8 * ranks,
            message_max_bytes=1 << 24,
            window_bytes=1 << 20,
            replies_max_bytes=1 << 26,
        ),
        meta=replace(META, ranks_max=2 * ranks, objects_max=100 * ranks),
    )


def beside_chance(random: Random) -> Random:
    """A chance of its own for what came to be drawn later: it leaves what the other draws as it was."""
    return Random(str(random.getstate()[1][:8]))


def draw_settings(random: Random) -> Settings:
    """A configuration in which limits are met."""
    beside = beside_chance(random)
    capacity = random.choice((8192, 16384, 32768, 65536))
    low = random.choice((40, 60, 80))
    return Settings(
        ranks=random.choice((1, 1, 2, 2, 3)),
        clients=random.randint(2, 4),
        capacity=capacity,
        records=random.choice((8, 16, 32)),
        wire=WireLimits(
            window_requests=random.choice((2, 4, 16, 64)),
            window_bytes=random.choice((256, 2048, 65536)),
            replies_max_bytes=65536,
            sessions_max=4096,
            session_idle_ms=600_000,
            message_max_bytes=1 << 20,
            topic_max_bytes=1024,
            queue_messages=1024,
        ),
        meta=MetaLimits(
            claim_check_ms=random.choice((50, 200, 500)),
            command_repeat_ms=random.choice((20, 100, 300)),
            commands_per_event=random.choice((1, 3, 64)),
            commands_max=1000,
            suspect_ms=2000,
            serve_ms=random.choice((2500, 4000)),
            grace_ms=random.choice((1000, 6000)),
            member_tick_ms=1000,
            evict_threshold_high_percent=random.choice((80, 90, 100)),
            evict_threshold_low_percent=low - 5,
            lease_ttl_ms=random.choice((200, 1000)),
            lease_max_ms=5000,
            objects_max=random.choice((6, 1000, 1000)),
            ranks_max=8,
            repair=beside.random() < 0.3,
            copy_bytes=beside.choice((4096, 1 << 20)),
            copy_objects=beside.choice((1, 3, 16)),
        ),
        local=LocalLimits(
            segment_dir="",
            segment_mode=0o600,
            dram="",
            bytes_per_record=1024,
            clients_max=12,
            pins_per_client=random.choice((2, 8)),
            heartbeat_ms=500,
            reserve_ahead_bytes=random.choice((1, 4096, 16384)),
            reserve_share=random.choice((2, 4, 16)),
            reap_ms=random.choice((50, 250)),
            report_records=random.choice((2, 16)),
            waiting_reserves_max=random.choice((2, 64)),
            populate_step_bytes=4096,
        ),
        client=ClientLimits(
            timeout_ms=random.choice((500, 1000, 2000)),
            connect_timeout_ms=5000,
            retry_ms=random.choice((5, 50, 200)),
            retry_max_ms=400,
            unanswered_ms=random.choice((2000, 5000)),
            pending_ms=2,
            pending_max_ms=50,
            reserve_idle_ms=random.choice((20, 500)),
            confirm_delay_ms=random.choice((5, 100)),
            locations_max=(locations := random.choice((1, 4, 64))),
            copy_threads=1,
            gather_keys=2 if locations == 4 else 12,
            populate=False,
            map_segments=True,
            keys_per_message=random.choice((1, 3, 8)),
            background_tick_ms=50,
            report_ms=random.choice((100, 600_000)),
        ),
        read_only_clients=random.choice((0, 0, 1)),
        numbered=random.random() < 0.5,
        persists=random.random() < 0.8,
    )
