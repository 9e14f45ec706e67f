"""``MetaService``: a meta service that is the main program of its process."""

from __future__ import annotations

import threading

from mmc.config import load_config
from mmc.errors import CacheError, InvalidArgument
from mmc.failures import report
from mmc.log import configure_log, get_log, logs_to_files
from mmc.process import stop_on_signals
from mmc.property_file import meta_config_from
from mmc.services.hosted import HostedServices
from mmc.services.hosted_meta import HostedBroker
from mmc.services.launch import LaunchOptions
from mmc.services.meta_service import MetaServer
from mmc.settings import MetaConfig, check_meta, without_effect

_STOP_S = 5.0
_FEWEST_FILES = 2


class MetaService:
    """The meta service of this process: :meth:`setup`, then :meth:`main`."""

    _config: MetaConfig | None = None

    @classmethod
    def setup(cls, config: MetaConfig) -> int:
        """Take settings, for :meth:`main`.

        Returns:
            0; -3000, a setting is wrong, or asks for what is not built.
        """
        try:
            if not isinstance(config, MetaConfig):
                raise InvalidArgument(f"setup takes a MetaConfig, not {type(config).__name__}")
            check_meta(config)
        except CacheError as error:
            return report(error)
        cls._config = config
        return 0

    @classmethod
    def main(cls) -> int:
        """Serve until a signal comes; the broker runs beside it as a process of its own.

        Without :meth:`setup` the file that ``MMC_META_CONFIG_PATH`` names is read.

        Returns:
            0; -3000 wrong settings; -3002 an address is in use; -3008 neither set up nor configured.
        """
        try:
            _serve(cls._config or meta_config_from())
        except CacheError as error:
            return report(error)
        return 0


def _serve_http(
    services: HostedServices, meta_url: str, metrics_url: str, overrides: dict[str, dict[str, object]]
) -> None:
    """Serve HTTP beside the meta service; that it cannot be is one warning."""
    options = LaunchOptions(meta_url=meta_url, http_url=metrics_url, overrides=overrides)
    try:
        services.start("http", "http", options)
    except CacheError as error:
        get_log("meta").warning("no HTTP", reason=error.sentence)


def _serve(config: MetaConfig) -> None:
    overrides: dict[str, dict[str, object]] = {
        "meta": {
            "evict_threshold_high_percent": config.evict_threshold_high,
            "evict_threshold_low_percent": config.evict_threshold_low,
            "lease_ttl_ms": config.lease_ttl_ms,
        },
        "log": {
            "level": config.log_level,
            "path": config.log_path,
            "file_size_mb": config.log_rotation_file_size,
            "file_count": max(_FEWEST_FILES, config.log_rotation_file_count),
        },
    }
    settings = load_config(overrides=overrides)
    configure_log(settings.log, service="meta")
    if not logs_to_files():
        overrides["log"]["path"] = ""  # the broker need not say so again
    for key, reason in without_effect(config).items():
        get_log("meta").warning("setting has no effect", setting=key, reason=reason)
    services = HostedServices()
    try:
        broker = HostedBroker(services, config.meta_service_url, config.config_store_url, overrides)
        server = MetaServer(
            settings, broker.backend_url, broker.publish_url, broker.events_url, state_dir=broker.run_dir
        )
        if threading.current_thread() is threading.main_thread():
            stop_on_signals(server)
        services.watch()
        http = threading.Thread(
            target=_serve_http, args=(services, broker.meta_url, config.metrics_url, overrides), daemon=True
        )
        http.start()
        server.run()
    finally:
        services.stop(_STOP_S)
