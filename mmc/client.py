"""The client for blocking callers: a thin shell over the client actor.

Usable from many threads at once.  A forked child starts afresh, with a session of its own, on its first
call.  Keys are ``str`` or ``bytes`` of 1 to 255 bytes without NUL.  Values are contiguous buffers of at
least one byte, or lists of buffers that follow one another; an object never changes once readable.

Single calls raise :class:`~mmc.errors.CacheError` with a documented code.  Batches return one
:class:`~mmc.errors.Code` per key, in the order of the keys; an invalid key or value gets -3000 for itself
alone.  Every call returns by its ``timeout`` (seconds; None: ``client.timeout_ms``), whatever has died.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self, TypeVar

from mmc.actors.client import asking, putting, reading
from mmc.actors.client.reading import Want, await_ranks
from mmc.arguments import Keys, check_replicas, match_values, seconds_of
from mmc.config import load_config
from mmc.connection import Connection
from mmc.errors import Code, InvalidArgument, error_for
from mmc.view import View
from mmc.zeromq.clock import now

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from typing_extensions import Buffer

    from mmc.actors.client.asking import KeyInfo
    from mmc.actors.client.calls import Operation
    from mmc.actors.client.service import ClientActor
    from mmc.config import Config
    from mmc.wire.replies import StatusReport
    from mmc.zeromq.sockets import Context

_CLOCK_PER_S = 16
_CLOSING_S = 0.08
T = TypeVar("T")


class Client:
    """A connection to a cluster, for blocking calls from any thread."""

    def __init__(
        self,
        meta_url: str,
        config: Config | None = None,
        *,
        context: Context | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        """Connect and wait for the meta service's answer.

        Args:
            meta_url: the broker's URL for requests, for example ``tcp://127.0.0.1:5000``.
            config: limits; None: the defaults.
            context: a ZeroMQ context shared with services of this process.
            on_close: called once after the connection was closed.

        Raises:
            InvalidArgument: the URL is none.
            CacheError: -3017, no answer within ``client.connect_timeout_ms``.
        """
        self._meta_url = meta_url
        self._config = config or load_config()
        self._context = context
        self._on_close = on_close
        self._closed = False
        self._live = self._connect()

    def _connect(self) -> Connection:
        connection = Connection(self._meta_url, self._config, self._context)
        deadline = now() + self._config.client.connect_timeout_ms / 1000
        code = connection.reactor.run(await_ranks(connection.actor, 0, deadline))
        if code != Code.OK:
            connection.close(0.0)
            raise error_for(code, f"connecting to {self._meta_url}")
        return connection

    @property
    def _connection(self) -> Connection:
        if self._closed:
            raise error_for(Code.CLIENT_CLOSED, "this call")
        if self._live.process != os.getpid():
            self._live.abandon()
            self._live = self._connect()
        return self._live

    def _run(
        self, operation: Callable[[ClientActor, float], Operation[T]], timeout: float | None
    ) -> T:
        connection = self._connection
        deadline = now() + seconds_of(timeout, self._config.client.timeout_ms)
        return connection.reactor.run(operation(connection.actor, deadline))

    # Put

    def put(
        self,
        key: str | bytes,
        value: Buffer | Sequence[Buffer],
        *,
        replicas: int = 1,
        preferred_ranks: Sequence[int] = (),
        timeout: float | None = None,
    ) -> None:
        """Store an object; when this returns, every later get by anyone finds it.

        Raises:
            AlreadyExists: -3006; the stored object stays.
            CacheError: any other code of :meth:`put_batch`.
            TypeError: the value is no contiguous buffer.
        """
        codes = self.put_batch(
            [key], [value], replicas=replicas, preferred_ranks=preferred_ranks, timeout=timeout
        )
        _raise_for(codes[0], key)

    def put_batch(
        self,
        keys: Sequence[str | bytes],
        values: Sequence[Buffer | Sequence[Buffer]],
        *,
        replicas: int = 1,
        preferred_ranks: Sequence[int] = (),
        timeout: float | None = None,
    ) -> list[Code]:
        """Store objects.

        Args:
            keys: one per object; of a key that stands in it twice the first counts for both.
            values: one per key; not to be changed before this returns.
            replicas: copies of each object, on as many ranks: 1 to 8.
            preferred_ranks: ranks that must hold it, at most ``replicas``.
            timeout: seconds.

        Returns:
            Per key 0, or -3000 invalid, -3004 no space came free in time, -3006 exists, -3010 outcome
            unknown, -3013 larger than the pool, -3016 no space or too few ranks, -3017 no answer, -3018
            no such rank, -3101 the key was being written, evicted or removed until the end.

        Raises:
            InvalidArgument: the lists differ in length, or the replicas make no sense.
            TypeError: a value is no contiguous buffer.
        """
        check_replicas(replicas, preferred_ranks)
        wanted = Keys(keys)
        pieces = match_values(wanted, values, writable=False)
        if not wanted.valid:
            return wanted.codes
        ranks = list(preferred_ranks)
        return wanted.spread(
            self._run(
                lambda actor, deadline: putting.put(
                    actor, wanted.valid, pieces, replicas, ranks, deadline
                ),
                timeout,
            )
        )

    # Get

    def get(self, key: str | bytes, *, timeout: float | None = None) -> bytes:
        """A copy of an object.

        Raises:
            NotFound: -3007.
            CacheError: -3014, -3017, -3004: nobody could tell.
        """
        wanted = Keys([key])
        wants = self._read(wanted, [None] * len(wanted.valid), timeout)
        _raise_for(wanted.spread([want.code or Code.OK for want in wants])[0], key)
        content = wants[0].content
        assert content is not None
        return content

    def get_batch(
        self, keys: Sequence[str | bytes], *, timeout: float | None = None
    ) -> list[bytes | None]:
        """Copies of objects; None where there is none to be had."""
        wanted = Keys(keys)
        wants = self._read(wanted, [None] * len(wanted.valid), timeout)
        contents: list[bytes | None] = [None] * len(wanted.codes)
        for position, want in zip(wanted.positions, wants, strict=True):
            contents[position] = want.content
        return contents

    def get_into(
        self, key: str | bytes, target: Buffer | Sequence[Buffer], *, timeout: float | None = None
    ) -> None:
        """Copy an object into a writable buffer, or several, of exactly its size together.

        Raises:
            NotFound: -3007.
            CacheError: -3103, the sizes differ, and nothing was written; others as for :meth:`get`.
            TypeError: the target is no writable contiguous buffer.
        """
        _raise_for(self.get_into_batch([key], [target], timeout=timeout)[0], key)

    def get_into_batch(
        self,
        keys: Sequence[str | bytes],
        targets: Sequence[Buffer | Sequence[Buffer]],
        *,
        timeout: float | None = None,
    ) -> list[Code]:
        """Copy objects into buffers.  A buffer whose code is not 0 may hold anything, but for -3103.

        Raises:
            InvalidArgument: the lists differ in length.
            TypeError: a target is no writable contiguous buffer.
        """
        wanted = Keys(keys)
        pieces = match_values(wanted, targets, writable=True)
        wants = self._read(wanted, pieces, timeout)
        return wanted.spread([want.code or Code.OK for want in wants])

    def _read(
        self,
        wanted: Keys,
        targets: Sequence[Sequence[memoryview] | None],
        timeout: float | None,
    ) -> list[Want]:
        """Read through hints what they lead to, and the rest by asking."""
        reader = self._connection.actor.reader
        clock = int(now() * _CLOCK_PER_S)
        wants = [Want(k, t, clock) for k, t in zip(wanted.valid, targets, strict=True)]
        missing = [want for want in wants if not want.try_hints(reader)]
        if missing:
            self._run(lambda actor, deadline: reading.read(actor, missing, deadline), timeout)
        return wants

    def view(self, key: str | bytes, *, timeout: float | None = None) -> View:
        """An object's bytes in place: ``with client.view(key) as memory: ...``.

        Raises:
            NotFound: -3007.
            CacheError: -3014, -3017, -3004: nobody could tell.
        """
        wanted = Keys([key])
        _raise_for(wanted.codes[0], key)
        seconds = seconds_of(timeout, self._config.client.timeout_ms)
        return View(self._connection, wanted.valid[0], seconds)

    # Ask

    def exist(self, key: str | bytes, *, timeout: float | None = None) -> bool:
        """Whether an object is there now; refreshes its recency and promises nothing.

        Raises:
            CacheError: -3014, -3017, -3004: nobody could tell.
        """
        code = self.exist_batch([key], timeout=timeout)[0]
        if code not in (Code.OK, Code.NOT_FOUND):
            _raise_for(code, key)
        return code == Code.OK

    def exist_batch(
        self, keys: Sequence[str | bytes], *, timeout: float | None = None
    ) -> list[Code]:
        """Per key 0 or -3007; -3014 or -3017 where nobody could tell."""
        wanted = Keys(keys)
        reader = self._connection.actor.reader
        clock = int(now() * _CLOCK_PER_S)
        missing = [i for i, key in enumerate(wanted.valid) if not reader.has(key, clock)]
        codes = [Code.OK] * len(wanted.valid)
        if missing:
            asked = [wanted.valid[i] for i in missing]
            hits = self._run(lambda actor, until: asking.locate(actor, asked, until), timeout)
            for position, hit in zip(missing, hits, strict=True):
                codes[position] = hit if isinstance(hit, Code) else Code.OK
        return wanted.spread(codes)

    def query(self, key: str | bytes, *, timeout: float | None = None) -> KeyInfo:
        """Size in bytes, explicit lease, and ranks of an object.

        Raises:
            NotFound: -3007.
            CacheError: -3014, -3017, -3004: nobody could tell.
        """
        info = self.query_batch([key], timeout=timeout)[0]
        if isinstance(info, Code):
            raise error_for(info, repr(key))
        return info

    def query_batch(
        self, keys: Sequence[str | bytes], *, timeout: float | None = None
    ) -> list[KeyInfo | Code]:
        """Per key what is known of it, or a code."""
        wanted = Keys(keys)
        infos: list[KeyInfo | Code] = list(wanted.codes)
        found = self._run(
            lambda actor, deadline: asking.query(actor, wanted.valid, deadline), timeout
        )
        for position, info in zip(wanted.positions, found, strict=True):
            infos[position] = info
        return infos

    # Remove, lease

    def remove(self, key: str | bytes, *, timeout: float | None = None) -> None:
        """Remove an object; when this returns, no later get by anyone finds it.

        Raises:
            NotFound: -3007.
            CacheError: any other code of :meth:`remove_batch`.
        """
        _raise_for(self.remove_batch([key], timeout=timeout)[0], key)

    def remove_batch(
        self, keys: Sequence[str | bytes], *, timeout: float | None = None
    ) -> list[Code]:
        """Per key 0; -3007 missing; -3104 leased; -3018 on an unsound rank; -3004 undecided."""
        return self._codes(keys, asking.remove, timeout)

    def add_lease(
        self, key: str | bytes, ttl_ms: int = 0, *, timeout: float | None = None
    ) -> None:
        """Have an object neither evicted nor removed for a while, counted from this call.

        Args:
            key: the object's.
            ttl_ms: milliseconds, at most ``meta.lease_max_ms``; 0: ``meta.lease_ttl_ms``.
            timeout: seconds.

        Raises:
            NotFound: -3007.
            CacheError: -3101, it is still being written, or being evicted or removed.
        """
        _raise_for(self.lease_batch([key], ttl_ms, timeout=timeout)[0], key)

    def lease_batch(
        self, keys: Sequence[str | bytes], ttl_ms: int = 0, *, timeout: float | None = None
    ) -> list[Code]:
        """Lease objects; adding again extends.  Per key 0, -3007, -3101."""
        if ttl_ms < 0:
            raise InvalidArgument(f"ttl_ms must not be negative: {ttl_ms}")
        return self._codes(
            keys,
            lambda actor, valid, deadline: asking.lease(actor, valid, ttl_ms, deadline),
            timeout,
        )

    def remove_lease(self, key: str | bytes, *, timeout: float | None = None) -> None:
        """End this client's lease on an object early.

        Raises:
            NotFound: -3007.
        """
        _raise_for(self.unlease_batch([key], timeout=timeout)[0], key)

    def unlease_batch(
        self, keys: Sequence[str | bytes], *, timeout: float | None = None
    ) -> list[Code]:
        """End this client's leases early.  Per key 0, also where it had none, or -3007."""
        return self._codes(keys, asking.unlease, timeout)

    def _codes(
        self,
        keys: Sequence[str | bytes],
        operation: Callable[[ClientActor, Sequence[bytes], float], Operation[list[Code]]],
        timeout: float | None,
    ) -> list[Code]:
        wanted = Keys(keys)
        if not wanted.valid:
            return wanted.codes
        codes = self._run(
            lambda actor, deadline: operation(actor, wanted.valid, deadline), timeout
        )
        return wanted.spread(codes)

    # The cluster

    def status(self, *, timeout: float | None = None) -> StatusReport:
        """Counters of the meta service and of every rank.

        Raises:
            CacheError: -3017, no answer.
        """
        report = self._run(asking.status, timeout)
        if isinstance(report, Code):
            raise error_for(report, "status")
        return report

    def wait_for_ranks(self, count: int, *, timeout: float | None = None) -> None:
        """Wait until ``count`` ranks of this host are live.

        Raises:
            CacheError: -3018, they are not by the timeout; -3017, no answer.
        """
        code = self._run(lambda actor, deadline: await_ranks(actor, count, deadline), timeout)
        _raise_for(code, f"{count} ranks")

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


def _raise_for(code: Code, key: str | bytes) -> None:
    if code != Code.OK:
        raise error_for(code, key if isinstance(key, str) else repr(key))


