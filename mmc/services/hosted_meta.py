"""A meta service of this process: with its broker it runs beside it and ends with it."""

from __future__ import annotations

import shutil
import tempfile
from functools import partial
from typing import TYPE_CHECKING

from mmc.services.hosted import HostedServices
from mmc.services.launch import LaunchOptions
from mmc.zeromq.addresses import with_port

if TYPE_CHECKING:
    from collections.abc import Mapping


class HostedBroker:
    """The broker of one meta service, unless an external one is configured.

    Attributes:
        meta_url: where clients ask.
        events_url: where events are heard.
        backend_url: where the meta service meets it.
        publish_url: where the meta service publishes.
    """

    def __init__(
        self,
        services: HostedServices,
        meta_url: str,
        events_url: str,
        overrides: Mapping[str, Mapping[str, object]],
    ) -> None:
        """Start it.

        Raises:
            CacheError: -3002, an address is in use.
        """
        settings = LaunchOptions(overrides=overrides).settings().services
        self.run_dir = ""
        self.meta_url = meta_url
        self.events_url = events_url or settings.events_url
        self.backend_url, self.publish_url = settings.backend_url, settings.publish_url
        if settings.broker == "external":
            return
        self.run_dir = tempfile.mkdtemp(prefix="mmc-")
        options = LaunchOptions(
            meta_url=meta_url,
            events_url=events_url or with_port(meta_url, 0),
            backend_url=f"ipc://{self.run_dir}/requests",
            publish_url=f"ipc://{self.run_dir}/events",
            overrides=overrides,
            run_dir=self.run_dir,
        )
        services.at_end(partial(shutil.rmtree, self.run_dir, ignore_errors=True))
        facts = services.start("broker", "broker", options)
        self.meta_url, self.events_url = facts["meta_url"], facts["events_url"]
        self.backend_url, self.publish_url = facts["backend_url"], facts["publish_url"]
        services.restart_with("broker", options.bound_to(facts))


class HostedMeta:
    """A meta service and its broker as processes of their own."""

    def __init__(self, meta_url: str, events_url: str, overrides: Mapping[str, Mapping[str, object]]) -> None:
        """Start them.

        Args:
            meta_url: where clients are to ask; port 0 is any.
            events_url: where events are to be heard; "": any port of the same host.
            overrides: settings by section.

        Raises:
            CacheError: -3002, an address is in use.
        """
        self._services = HostedServices()
        try:
            broker = HostedBroker(self._services, meta_url, events_url, overrides)
            options = LaunchOptions(
                backend_url=broker.backend_url,
                publish_url=broker.publish_url,
                events_url=broker.events_url,
                state_dir=broker.run_dir,
                overrides=overrides,
            )
            self._services.start("meta service", "meta", options)
        except BaseException:  # boundary: clears away and raises again
            self._services.stop(0.0)
            raise
        self.meta_url = broker.meta_url
        self._services.watch()

    def pids(self) -> list[int]:
        """The process ids of the broker, if it is our own, and of the meta service."""
        return self._services.pids()

    def set_level(self, level: int) -> None:
        """Change their log level, 0 to 3."""
        self._services.set_level(level)

    def stop(self, patience_s: float) -> None:
        """Stop them; what takes longer than ``patience_s`` ends by itself."""
        self._services.stop(patience_s)
