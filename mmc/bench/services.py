"""Single services of ours, for what is measured without a whole cluster."""

from __future__ import annotations

import os
import signal
import tempfile
from contextlib import ExitStack

from mmc.services.child import Child
from mmc.services.launch import LaunchOptions
from mmc.zeromq.clock import now

ANY_PORT = "tcp://127.0.0.1:0"
QUIET = {"log": {"level": "warn"}}
"""What services are started with, so that the table stands alone."""

_READY_S = 30.0
_STOP_S = 5.0


class Services:
    """A broker and whatever is put behind it; ended in the opposite order."""

    def __init__(self, ending: ExitStack) -> None:
        """Start a broker; it ends with ``ending``."""
        self._ending = ending
        self._parent_read, parent_write = os.pipe()
        ending.callback(os.close, parent_write)
        ending.callback(os.close, self._parent_read)
        self._folder = ending.enter_context(tempfile.TemporaryDirectory(prefix="mmc-bench-"))
        asked = LaunchOptions(
            meta_url=ANY_PORT,
            backend_url=f"ipc://{self._folder}/requests",
            publish_url=f"ipc://{self._folder}/events",
            events_url=ANY_PORT,
            overrides=QUIET,
        )
        child, urls = self._start("broker", asked)
        self.broker = child.pid
        self.options = asked.bound_to(urls)

    def start_meta(self, **settings: dict[str, object]) -> int:
        """Start a meta service behind the broker, with other settings by section; returns its process id."""
        options = LaunchOptions(
            backend_url=self.options.backend_url,
            publish_url=self.options.publish_url,
            events_url=self.options.events_url,
            state_dir=self._folder,
            overrides={**QUIET, **settings},
        )
        return self._start("meta", options)[0].pid

    def _start(self, service: str, options: LaunchOptions) -> tuple[Child, dict[str, str]]:
        child = Child(service, service, options.settle())
        child.start(self._parent_read)
        self._ending.callback(child.await_end, _STOP_S)
        self._ending.callback(child.send, signal.SIGTERM)
        return child, child.await_ready(now() + _READY_S)
