"""Settings: what the shipped file says, what may override it, and what is refused with which words."""

import tomllib
from pathlib import Path

import pytest

from mmc.config import default_config_path, load_config, parse_size, pool_bytes
from mmc.errors import InvalidArgument


def test_every_default_is_in_the_shipped_file_with_a_sentence() -> None:
    """Each key of config.toml is a limit, each limit is a key, and each line says what it is for."""
    lines = default_config_path().read_text(encoding="utf-8").splitlines()
    keys = [line for line in lines if "=" in line and not line.startswith("#")]
    assert all("#" in line for line in keys)
    load_config()


def test_what_ships_is_valid_though_nobody_validates_it() -> None:
    """Validation, which any value of a user's brings about, changes nothing of the defaults."""
    defaults = load_config()
    assert load_config(overrides={"log": {"level": defaults.log.level}}) == defaults


def test_a_file_overrides_what_it_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By argument and by MMC_CONFIG; everything else stays."""
    file = tmp_path / "mine.toml"
    file.write_text('[local]\ndram = "64MB"\n', encoding="utf-8")
    shipped = tomllib.loads(default_config_path().read_text(encoding="utf-8"))
    assert load_config(file).local.dram == "64MB"
    monkeypatch.setenv("MMC_CONFIG", str(file))
    config = load_config()
    assert config.local.dram == "64MB"
    assert config.local.heartbeat_ms == shipped["local"]["heartbeat_ms"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[local]\nheartbeat_ms = 'soon'\n", "local.heartbeat_ms = 'soon'"),
        ("[local]\nheartbeat_ms = 0\n", "local.heartbeat_ms = 0: must be positive"),
        ("[local]\nheartbeat_ms = 1500\n", "= 1500 must be at most half of meta.suspect_ms = 2000"),
        ("[local]\nunknown = 1\n", "local.unknown"),
        ("[nowhere]\nkey = 1\n", "no section [nowhere]"),
        (
            "[meta]\nevict_threshold_low_percent = 95\n",
            "= 95 must be below meta.evict_threshold_high_percent = 90",
        ),
        ("[log]\nlevel = 'loud'\n", "one of debug, info, warn, error"),
        ("[client\n", "mine.toml"),
        ("[local]\ndram = 'much'\n", "sizes read like"),
    ],
)
def test_a_wrong_value_names_file_key_and_what_is_allowed(tmp_path: Path, text: str, words: str) -> None:
    """The sentence of the refusal says where to look."""
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidArgument) as caught:
        load_config(file)
    assert words in caught.value.sentence
    assert "mine.toml" in caught.value.sentence


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is an error, not a default."""
    with pytest.raises(InvalidArgument, match=r"none\.toml"):
        load_config(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("134217728", 134217728),
        ("2048KB", 2 << 20),
        ("200mb", 200 << 20),
        ("2.5G", 5 << 29),
        ("1TB", 1 << 40),
        ("1 GiB", 1 << 30),
    ],
)
def test_sizes_read_as_people_write_them(text: str, size: int) -> None:
    """Units are powers of 1024, in either case, with or without B."""
    assert parse_size(text, "dram") == size


@pytest.mark.parametrize("text", ["", "-1", "1XB", "GB", "1.2.3MB", "1e9"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """The setting is named."""
    with pytest.raises(InvalidArgument, match="dram"):
        parse_size(text, "dram")


def test_pools_are_rounded_up_to_2_mib() -> None:
    """A pool is never smaller than asked for, and never empty."""
    assert pool_bytes("1", "dram") == 2 << 20
    assert pool_bytes("3MB", "dram") == 4 << 20
    with pytest.raises(InvalidArgument):
        pool_bytes("0", "dram")


def test_the_environment_overrides_the_file_and_the_program_overrides_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one key, the value nearest to the program counts."""
    file = tmp_path / "mine.toml"
    file.write_text('[client]\ntimeout_ms = 4000\n[local]\ndram = "64MB"\n', encoding="utf-8")
    monkeypatch.setenv("MMC_CLIENT_TIMEOUT_MS", "5000")
    monkeypatch.setenv("MMC_LOCAL_SEGMENT_MODE", "0o660")
    monkeypatch.setenv("MMC_LOCAL_CONFIG_PATH", "/not/a/setting")
    config = load_config(file)
    assert (config.client.timeout_ms, config.local.segment_mode, config.local.dram) == (5000, 0o660, "64MB")
    assert load_config(file, {"client": {"timeout_ms": 6000}}).client.timeout_ms == 6000


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("MMC_CLIENT_TIMEOUT_MS", "soon", "client.timeout_ms = 'soon'"),
        ("MMC_CLIENT_TIMEOUT", "5", "client.timeout"),
        ("MMC_META_SUSPECT_MS", "900", "must be at most half of meta.suspect_ms = 900"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, name: str, text: str, words: str) -> None:
    """The sentence says which variable, which key, and what it was."""
    monkeypatch.setenv(name, text)
    with pytest.raises(InvalidArgument) as caught:
        load_config()
    assert name in caught.value.sentence
    assert words in caught.value.sentence
