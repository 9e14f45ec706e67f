"""The meta service: its actor, its sockets, and what it writes down."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from mmc.actors.meta import MetaActor
from mmc.actors.meta.roster import is_membership
from mmc.descriptors import explained
from mmc.errors import CannotCreate
from mmc.log import audit_writer, get_log
from mmc.services.sole import SolePlace
from mmc.zeromq.addresses import reachable
from mmc.zeromq.chance import random63
from mmc.zeromq.clock import now
from mmc.zeromq.service_reactor import Ports, ServiceReactor
from mmc.zeromq.sockets import DEALER, PUB, connect, make_socket, new_context

if TYPE_CHECKING:
    from mmc.config import Config
    from mmc.zeromq.sockets import Context

_MEMBERS = "members"
_FIRST_BYTES = 1024


class MembersFile:
    """The membership and the epoch, on disk before they take effect."""

    def __init__(self, state_dir: str) -> None:
        """An empty ``state_dir`` keeps nothing.

        One that has nothing written down yet must be writable; one that has is served from without that, as
        a disk may fill: what could not be written is told, and written later.

        Raises:
            CannotCreate: the directory cannot be made, or not written, or its file cannot be read.
        """
        self._setting = f"state_dir {state_dir}"
        self._path = Path(state_dir) / _MEMBERS if state_dir else None
        if self._path is not None:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as reason:
                raise CannotCreate(f"{self._setting}: {explained(reason)}") from None
            if not self._path.exists():
                self._check_writable(self._path.with_suffix(".new"))

    def _check_writable(self, path: Path) -> None:
        try:
            with path.open("wb") as file:
                file.write(bytes(_FIRST_BYTES))
        except OSError as reason:
            raise CannotCreate(f"{self._setting} cannot be written: {explained(reason)}") from None
        path.unlink()

    def forget(self) -> None:
        """Keep nothing from here on: whoever owns the directory is about to remove it."""
        self._path = None

    def read(self) -> bytes:
        """What was last written, or nothing.

        What cannot be understood is put aside, with ``.damaged`` added to its name, and is as good as lost:
        ranks tell of the epoch and of themselves.

        Raises:
            CannotCreate: it cannot be read.
        """
        if self._path is None or not self._path.exists():
            return b""
        try:
            data = self._path.read_bytes()
        except OSError as reason:
            raise CannotCreate(f"{self._setting}: {self._path.name}: {explained(reason)}") from None
        if is_membership(data):
            return data
        aside = self._path.with_suffix(".damaged")
        with contextlib.suppress(OSError):
            self._path.rename(aside)
        get_log("meta").error("the membership is damaged: starting without it", put_aside=str(aside))
        return b""

    def write(self, data: bytes) -> None:
        """Write, safe from a crash at any point."""
        path = self._path
        if path is None:
            return
        temporary = path.with_suffix(".new")
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


class MetaServer:
    """A meta service, connected to its broker."""

    def __init__(
        self,
        config: Config,
        backend_url: str,
        publish_url: str,
        events_url: str,
        *,
        state_dir: str = "",
        context: Context | None = None,
    ) -> None:
        """``events_url`` is where clients and ranks hear events; they are told of it.

        Raises:
            CacheError: -3000 a URL is none; -3002 ``state_dir`` cannot be used; -3006 another meta service
                serves behind that broker.
        """
        members = self.members = MembersFile(state_dir)
        backend = reachable(backend_url)
        self._place = SolePlace(backend)
        self._owned = new_context() if context is None else None
        used = context or self._owned
        assert used is not None
        requests = make_socket(used, DEALER, config.wire, config.broker)
        connect(requests, backend, "backend_url")
        publisher = make_socket(used, PUB, config.wire, config.broker)
        connect(publisher, reachable(publish_url), "publish_url")
        self.actor = MetaActor(
            config.meta,
            config.wire,
            random63,
            now(),
            events_url=events_url,
            written=members.read(),
        )
        ports = Ports(clients=requests, publisher=publisher)
        self._reactor = ServiceReactor(
            self.actor, ports, get_log("meta"), members.write, audit=audit_writer()
        )

    def run(self) -> None:
        """Serve until stopped."""
        try:
            self._reactor.run(self.actor.start())
        finally:
            self._reactor.close()
            self._place.leave()
            if self._owned is not None:
                self._owned.term()

    def stop(self) -> None:
        """End :meth:`run`; from a signal handler or another thread."""
        self._reactor.stop()
