"""The client for asyncio: the same calls as :class:`~mmc.client.Client`, as coroutines.

Reads that need no message are done at once, in the loop; copies of operations that ask run in the loop's
default executor.  A cancelled call cleans up behind itself before the cancellation goes on.  What each call
takes, returns and raises is documented at the method of the same name of ``Client``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar

from mmc.actors.client import asking, draining
from mmc.actors.client.listing import Listing, list_keys
from mmc.actors.client.reading import await_rank, await_ranks, pin
from mmc.arguments import seconds_of, why_invalid
from mmc.config import load_config
from mmc.connection import Connection
from mmc.errors import Code, error_for, raise_for
from mmc.identifiers import as_bytes, encode_key
from mmc.plans import CodesPlan, ExistPlan, LeasePlan, PutPlan, QueryPlan, ReadPlan, unlease_plan
from mmc.view import hold, let_go, pin_here
from mmc.wire.operations import DrainAct
from mmc.zeromq.clock import access_clock, now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from types import TracebackType

    from mmc.actors.client.asking import ObjectInfo
    from mmc.actors.client.calls import Call, Operation
    from mmc.actors.client.draining import DrainStatus
    from mmc.actors.client.reading import Pinned
    from mmc.actors.client.service import ClientActor
    from mmc.arguments import BufferLike
    from mmc.config import Config
    from mmc.plans import Perform, Plan
    from mmc.view import View
    from mmc.wire.replies import StatusReport

_CLOSING_S = 0.08
T = TypeVar("T")


class AsyncClient:
    """A connection to a cluster for one event loop; made by :meth:`connect`."""

    def __init__(self, connection: Connection) -> None:
        """Use :meth:`connect`."""
        self._connection = connection
        self._default_ms = connection.config.client.timeout_ms
        self._closed = False

    @classmethod
    async def connect(cls, meta_url: str, config: Config | None = None) -> Self:
        """Connect and wait for the meta service's answer.

        Raises:
            InvalidArgument: the URL is none.
            CacheError: -3017, no answer within ``client.connect_timeout_ms``.
        """
        used = config or load_config()
        client = cls(Connection(meta_url, used, None))
        try:
            await client.wait_for_ranks(0, timeout=used.client.connect_timeout_ms / 1000)
        except BaseException:  # boundary: clears away and raises again
            await client.close()
            raise
        client._connection.populate()
        return client

    def _opened(self) -> Connection:
        """The connection.

        Raises:
            CacheError: -3019, it is closed, or the parent's of this forked child, which connects by itself.
        """
        if self._closed or self._connection.process != os.getpid():
            raise error_for(Code.CLIENT_CLOSED, "this call")
        return self._connection

    async def _run(self, ask: Callable[[ClientActor, float], Operation[T]], timeout: float | None) -> T:
        connection = self._opened()
        loop = asyncio.get_running_loop()
        awake = asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed
                loop.call_soon_threadsafe(awake.set)

        reactor, actor = connection.reactor, connection.actor
        deadline = now() + seconds_of(timeout, self._default_ms)
        with reactor.entered():
            call = reactor.submit(ask(actor, deadline), wake)
            try:
                while not call.done:
                    if call.work:
                        await _work(loop, call, self._connection.writers.perform)
                    elif not call.can_advance:
                        await awake.wait()
                        awake.clear()
                        continue
                    reactor.advance(call, wake)
            except BaseException:  # boundary: clears away and raises again
                reactor.cancel(call)
                raise
            return call.result()

    async def carry_out(self, plan: Plan[T], timeout: float | None) -> T:
        """Make a call of another interface: check, try hints, ask for the rest, give the result."""
        connection = self._opened()
        seconds_of(timeout, self._default_ms)
        if not plan.try_hints(connection.actor, access_clock(), connection.readers.perform):
            await self._run(plan.operation, timeout)
        return plan.result()

    async def put(
        self,
        key: str | bytes,
        value: BufferLike | Sequence[BufferLike],
        *,
        replicas: int = 1,
        preferred_ranks: Sequence[int] = (),
        timeout: float | None = None,
    ) -> None:
        """Store an object; as :meth:`Client.put`."""
        plan = PutPlan([key], [value], replicas, preferred_ranks)
        code = (await self.carry_out(plan, timeout))[0]
        if code == Code.INVALID_ARGUMENT:
            raise why_invalid(key)
        raise_for(code, key)

    async def put_batch(
        self,
        keys: Sequence[str | bytes],
        values: Sequence[BufferLike | Sequence[BufferLike]],
        *,
        replicas: int = 1,
        preferred_ranks: Sequence[int] = (),
        timeout: float | None = None,
    ) -> list[Code]:
        """Store objects; one code per key as :meth:`Client.put_batch`."""
        return await self.carry_out(PutPlan(keys, values, replicas, preferred_ranks), timeout)

    async def get(self, key: str | bytes, *, timeout: float | None = None) -> bytes:
        """A copy of an object; as :meth:`Client.get`."""
        plan = ReadPlan([key])
        raise_for((await self.carry_out(plan, timeout))[0], key)
        content = plan.contents()[0]
        assert content is not None
        return content

    async def get_batch(
        self, keys: Sequence[str | bytes], *, timeout: float | None = None
    ) -> list[bytes | None]:
        """Copies of objects; None where there is none to be had; as :meth:`Client.get_batch`."""
        plan = ReadPlan(keys)
        await self.carry_out(plan, timeout)
        return plan.contents()

    async def read_batch(
        self, keys: Sequence[str | bytes], *, timeout: float | None = None
    ) -> tuple[list[bytes | None], list[Code]]:
        """Copies of objects, and a code for each; as :meth:`Client.read_batch`."""
        plan = ReadPlan(keys)
        codes = await self.carry_out(plan, timeout)
        return plan.contents(), codes

    async def get_into(
        self,
        key: str | bytes,
        target: BufferLike | Sequence[BufferLike],
        *,
        timeout: float | None = None,
    ) -> None:
        """Copy an object into writable buffers of exactly its size together; as :meth:`Client.get_into`."""
        raise_for((await self.carry_out(ReadPlan([key], [target]), timeout))[0], key)

    async def get_into_batch(
        self,
        keys: Sequence[str | bytes],
        targets: Sequence[BufferLike | Sequence[BufferLike]],
        *,
        timeout: float | None = None,
    ) -> list[Code]:
        """Copy objects into buffers; one code per key as :meth:`Client.get_into_batch`."""
        return await self.carry_out(ReadPlan(keys, targets), timeout)

    async def view(self, key: str | bytes, *, timeout: float | None = None) -> View:
        """An object's bytes in place, ``with await client.view(key) as memory``; as :meth:`Client.view`."""
        connection, encoded = self._opened(), encode_key(key)
        seconds_of(timeout, self._default_ms)
        opened = connection.opened_view()
        pinned: Pinned | bytes | Code | None = None
        try:
            pinned = pin_here(connection, encoded)
            if pinned is None:
                pinned = await self._run(lambda actor, until: pin(actor, encoded, until), timeout)
            return hold(connection, opened, pinned, encoded)
        except BaseException:  # boundary: clears away and raises again
            let_go(connection, opened, pinned)
            raise

    async def exist(self, key: str | bytes, *, timeout: float | None = None) -> bool:
        """Whether an object is there now; as :meth:`Client.exist`."""
        code = (await self.carry_out(ExistPlan([key]), timeout))[0]
        if code != Code.NOT_FOUND:
            raise_for(code, key)
        return code == Code.OK

    async def exist_batch(self, keys: Sequence[str | bytes], *, timeout: float | None = None) -> list[Code]:
        """Per key 0 or a code as :meth:`Client.exist_batch`."""
        return await self.carry_out(ExistPlan(keys), timeout)

    async def query(self, key: str | bytes, *, timeout: float | None = None) -> ObjectInfo:
        """Size in bytes, explicit lease, and ranks of an object; as :meth:`Client.query`."""
        info = (await self.carry_out(QueryPlan([key]), timeout))[0]
        if isinstance(info, Code):
            raise error_for(info, repr(key))
        return info

    async def query_batch(
        self, keys: Sequence[str | bytes], *, timeout: float | None = None
    ) -> list[ObjectInfo | Code]:
        """Per key what is known of it, or a code; as :meth:`Client.query_batch`."""
        return await self.carry_out(QueryPlan(keys), timeout)

    async def keys(self, prefix: str | bytes = "", *, timeout: float | None = None) -> AsyncIterator[str]:
        """The keys of all readable objects that begin with ``prefix``, each once; as :meth:`Client.keys`."""
        listing = Listing(as_bytes(prefix))
        while not listing.is_complete:
            page = await self._run(partial(list_keys, cursor=listing.cursor), timeout)
            for key in listing.take(page):
                yield key

    async def remove(self, key: str | bytes, *, timeout: float | None = None) -> None:
        """Remove an object; as :meth:`Client.remove`."""
        raise_for((await self.remove_batch([key], timeout=timeout))[0], key)

    async def remove_batch(self, keys: Sequence[str | bytes], *, timeout: float | None = None) -> list[Code]:
        """Remove objects; one code per key as :meth:`Client.remove_batch`."""
        return await self.carry_out(CodesPlan(keys, asking.remove), timeout)

    async def add_lease(self, key: str | bytes, ttl_ms: int = 0, *, timeout: float | None = None) -> float:
        """Lease an object; seconds to count on from now, as :meth:`Client.add_lease`."""
        plan = LeasePlan([key], ttl_ms)
        raise_for((await self.carry_out(plan, timeout))[0], key)
        return max(0.0, plan.until - now())

    async def lease_batch(
        self, keys: Sequence[str | bytes], ttl_ms: int = 0, *, timeout: float | None = None
    ) -> list[Code]:
        """Lease objects; one code per key as :meth:`Client.lease_batch`."""
        return await self.carry_out(LeasePlan(keys, ttl_ms), timeout)

    async def remove_lease(self, key: str | bytes, *, timeout: float | None = None) -> None:
        """End this client's lease on an object early; as :meth:`Client.remove_lease`."""
        raise_for((await self.unlease_batch([key], timeout=timeout))[0], key)

    async def unlease_batch(
        self, keys: Sequence[str | bytes], *, abandoned: bool = False, timeout: float | None = None
    ) -> list[Code]:
        """End this client's leases early; one code per key as :meth:`Client.unlease_batch`."""
        return await self.carry_out(unlease_plan(keys, abandoned=abandoned), timeout)

    async def status(self, *, timeout: float | None = None) -> StatusReport:
        """Counters of the meta service and of every rank; as :meth:`Client.status`."""
        report = await self._run(asking.status, timeout)
        if isinstance(report, Code):
            raise error_for(report, "status")
        return report

    async def drain(self, rank: int, *, discard: bool = False, timeout: float | None = None) -> DrainStatus:
        """Have a rank give its objects to others before it leaves; as :meth:`Client.drain`."""
        return await self._drain(rank, DrainAct.DISCARD if discard else DrainAct.BEGIN, timeout)

    async def drain_status(self, rank: int, *, timeout: float | None = None) -> DrainStatus:
        """How the drain of a rank is, or how it ended; as :meth:`Client.drain_status`."""
        return await self._drain(rank, DrainAct.QUERY, timeout)

    async def cancel_drain(self, rank: int, *, timeout: float | None = None) -> DrainStatus:
        """Have a rank take objects again; as :meth:`Client.cancel_drain`."""
        return await self._drain(rank, DrainAct.CANCEL, timeout)

    async def _drain(self, rank: int, act: DrainAct, timeout: float | None) -> DrainStatus:
        return await self._run(partial(draining.ask, rank=rank, act=act), timeout)

    async def wait_for_ranks(self, count: int, *, timeout: float | None = None) -> None:
        """Wait until ``count`` ranks of this host are live; as :meth:`Client.wait_for_ranks`."""
        raise_for(await self._run(partial(await_ranks, count=count), timeout), f"{count} ranks")

    async def wait_for_rank(self, rank: int, *, timeout: float | None = None) -> None:
        """Wait until this rank of this host is live; as :meth:`Client.wait_for_rank`."""
        raise_for(await self._run(partial(await_rank, rank=rank), timeout), f"rank {rank}")

    async def close(self) -> None:
        """Give back what is reserved and end the session; nothing happens the second time."""
        if self._connection.process != os.getpid():
            self._connection.abandon()
        elif not self._closed:
            self._closed = True
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, self._connection.close, _CLOSING_S)

    async def __aenter__(self) -> Self:
        """The client itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        await self.close()


async def _work(loop: asyncio.AbstractEventLoop, call: Call[T], perform: Perform) -> None:
    """Copy in the executor; a cancellation waits for the copies to end, since they write to records."""
    running = loop.run_in_executor(None, perform, call.work)
    cancelled: asyncio.CancelledError | None = None
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError as again:
            cancelled = again
    if cancelled is not None:
        raise cancelled
    running.result()
