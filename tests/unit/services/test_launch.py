"""What a service is started with."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from mmc.errors import InvalidArgument
from mmc.services.launch import LaunchOptions


def test_settled_options_stand_whatever_becomes_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service that is started again has the settings of the first start, through its command line too."""
    file = tmp_path / "mine.toml"
    file.write_text("[client]\ntimeout_ms = 4000\n", encoding="utf-8")
    options = LaunchOptions(config=str(file), dram="64MB", overrides={"meta": {"lease_ttl_ms": 7}})
    settled = options.settle()
    before = options.settings()
    file.write_text("nonsense", encoding="utf-8")
    monkeypatch.setenv("MMC_CLIENT_TIMEOUT_MS", "no number")
    told = LaunchOptions(**json.loads(json.dumps(asdict(replace(settled, rank=3)))))
    assert told.settings() == before
    assert (before.client.timeout_ms, before.local.dram, before.meta.lease_ttl_ms) == (4000, "64MB", 7)
    with pytest.raises(InvalidArgument):
        options.settle()
