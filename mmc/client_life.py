"""The life of a blocking client: connected, used by many threads and after a fork, closed."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, NoReturn, Self, TypeVar

from mmc.actors.client import asking, draining
from mmc.actors.client.reading import await_rank, await_ranks
from mmc.arguments import seconds_of
from mmc.config import load_config
from mmc.connection import Connection
from mmc.errors import Code, error_for, raise_for
from mmc.identifiers import ANY_RANK, encode_key
from mmc.wire.operations import DrainAct
from mmc.zeromq.clock import access_clock, now

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from mmc.actors.client.calls import Operation
    from mmc.actors.client.draining import DrainStatus
    from mmc.actors.client.service import ClientActor
    from mmc.config import Config
    from mmc.plans import Plan
    from mmc.wire.replies import StatusReport
    from mmc.zeromq.sockets import Context

_CLOSING_S = 0.08
T = TypeVar("T")


class ClientLife:
    """What every blocking client has, whatever its calls are."""

    def __init__(
        self,
        meta_url: str,
        config: Config | None = None,
        *,
        context: Context | None = None,
        on_close: Callable[[], None] | None = None,
        events_url: str = "",
        home_rank: int | None = None,
    ) -> None:
        """Connect and wait for the meta service's answer.

        Args:
            meta_url: the broker's URL for requests, for example ``tcp://127.0.0.1:5000``.
            config: limits; None: the defaults.
            context: a ZeroMQ context shared with services of this process.
            on_close: called once after the connection was closed.
            events_url: replaces where the meta service says that its events are heard.
            home_rank: where puts go that name no rank, while it is there and has space.

        Raises:
            InvalidArgument: the URL is none.
            CacheError: -3017, no answer within ``client.connect_timeout_ms``.
        """
        self._meta_url = meta_url
        self._config = config or load_config()
        self._context = context
        self._on_close = on_close
        self._events_url = events_url
        self._home_rank = home_rank
        self._closed = False
        self._live = self._connect()

    def _connect(self) -> Connection:
        connection = Connection(
            self._meta_url, self._config, self._context, self._events_url, self._home_rank
        )
        deadline = now() + self._config.client.connect_timeout_ms / 1000
        code = connection.reactor.run(await_ranks(connection.actor, deadline, count=0))
        if code != Code.OK:
            connection.close(0.0)
            raise error_for(code, f"connecting to {self._meta_url}")
        connection.populate()
        connection.warn()
        return connection

    @property
    def connection(self) -> Connection:
        """The connection of this process; a forked child's is its own.

        Raises:
            CacheError: -3019, the client is closed.
        """
        if self._closed:
            raise error_for(Code.CLIENT_CLOSED, "this call")
        if self._live.process != os.getpid():
            self._live.abandon()
            self._live = self._connect()
        return self._live

    def carry_out(self, plan: Plan[T], timeout: float | None) -> T:
        """Make a call of another interface: check, try hints, ask for the rest, give the result."""
        connection = self.connection
        seconds = seconds_of(timeout, self._config.client.timeout_ms)
        if not plan.try_hints(connection.actor, access_clock(), connection.readers.perform):
            connection.reactor.run(plan.operation(connection.actor, now() + seconds))
        return plan.result()

    # The cluster

    def run(self, ask: Callable[[ClientActor, float], Operation[T]], timeout: float | None) -> T:
        """Carry an operation of the client's actor through."""
        connection = self.connection
        deadline = now() + seconds_of(timeout, self._config.client.timeout_ms)
        return connection.reactor.run(ask(connection.actor, deadline))

    def status(self, *, timeout: float | None = None) -> StatusReport:
        """Counters of the meta service and of every rank.

        Raises:
            CacheError: -3017, no answer.
        """
        report = self.run(asking.status, timeout)
        if isinstance(report, Code):
            raise error_for(report, "status")
        return report

    def drain(self, rank: int, *, discard: bool = False, timeout: float | None = None) -> DrainStatus:
        """Have a rank take no new objects and give those that it has to others; returns when that begins.

        The objects stay readable meanwhile.  :meth:`drain_status` tells how it goes; once it is ``drained``
        the rank may be stopped without loss.  Asking again changes ``discard`` alone.

        Args:
            rank: the one that is to leave.
            discard: let go of objects that no other rank has room for; else they stay, and are tried again.
            timeout: seconds, for the answer.

        Raises:
            CacheError: -3018, no such rank; -3016, no other live rank could take anything; -3017, no answer.
        """
        act = DrainAct.DISCARD if discard else DrainAct.BEGIN
        return self.run(partial(draining.ask, rank=rank, act=act), timeout)

    def drain_status(self, rank: int, *, timeout: float | None = None) -> DrainStatus:
        """How the drain of a rank is, or how it ended.

        Raises:
            NotFound: -3007, it was not asked to drain, or the meta service was started again since it ended.
            CacheError: -3017, no answer.
        """
        return self.run(partial(draining.ask, rank=rank, act=DrainAct.QUERY), timeout)

    def cancel_drain(self, rank: int, *, timeout: float | None = None) -> DrainStatus:
        """Have a rank take objects again; what was moved stays where it is.

        Raises:
            NotFound: -3007, it does not drain.
            CacheError: -3017, no answer.
        """
        return self.run(partial(draining.ask, rank=rank, act=DrainAct.CANCEL), timeout)

    def traffic(self) -> dict[str, int]:
        """What this client has exchanged with ranks of other hosts since it connected.

        ``remote_read_bytes`` and ``remote_written_bytes`` are bytes of objects; ``remote_damaged`` counts
        objects that arrived with another checksum, and were not taken.

        Raises:
            CacheError: -3019, the client is closed.
        """
        return dict(self.connection.carrier.counters)

    @property
    def meta_url(self) -> str:
        """The broker's URL for requests."""
        return self._meta_url

    def wait_for_ranks(self, count: int, *, timeout: float | None = None) -> None:
        """Wait until ``count`` ranks of this host are live.

        Raises:
            CacheError: -3018, they are not by the timeout; -3017, no answer.
        """
        code = self.run(partial(await_ranks, count=count), timeout)
        raise_for(code, f"{count} ranks")

    def wait_for_rank(self, rank: int, *, timeout: float | None = None) -> None:
        """Wait until this rank of this host is live.

        Raises:
            CacheError: -3018, it is not by the timeout; -3017, no answer.
        """
        raise_for(self.run(partial(await_rank, rank=rank), timeout), f"rank {rank}")

    def local_rank(self) -> int:
        """The home rank, else the lowest rank of this host, else 4294967295 (-3019: the client is closed)."""
        ranks = self.connection.actor.ranks
        return self._home_rank if self._home_rank in ranks else min(ranks, default=ANY_RANK)

    def check(self, code: Code, about: str | bytes) -> None:
        """Raise the exception of a code that is not 0, with what may be in the way on this host.

        Raises:
            CacheError: of that code.
        """
        if code == Code.INVALID_ARGUMENT:
            encode_key(about)  # says what is wrong with it
        if code != Code.OK:
            raise self.connection.error(code, about)

    def __reduce__(self) -> NoReturn:
        """Refused: a connection is this process's.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"a {type(self).__name__} cannot be pickled: connect in each process")

    def close(self) -> None:
        """Give back what is reserved and end the session; nothing happens the second time.

        Views stay valid until they are closed.
        """
        if self._closed:
            return
        self._closed = True
        if self._live.process == os.getpid():
            self._live.close(_CLOSING_S)
            if self._on_close is not None:
                self._on_close()

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()
