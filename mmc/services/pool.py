"""What a configuration makes of a rank's pool: the layout of its segment, and a part of the file's name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mmc.config import pool_bytes
from mmc.segments.layout import plan_layout

if TYPE_CHECKING:
    from mmc.config import Config
    from mmc.segments.layout import Layout


def layout_for(config: Config) -> Layout:
    """The layout of a rank's segment under this configuration."""
    capacity = pool_bytes(config.local.dram, "dram")
    records = max(1, capacity // config.local.bytes_per_record)
    return plan_layout(capacity, records, config.local.clients_max, config.local.pins_per_client)


def pool_name(meta_url: str) -> str:
    """The part of a segment's file name that tells clusters of one host apart."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", meta_url).strip("_")
