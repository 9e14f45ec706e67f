"""The client for blocking callers: a thin shell over the client actor.

Usable from many threads at once.  A forked child starts afresh, with a session of its own, on its first
call.  Keys are ``str`` or ``bytes`` of 1 to 255 bytes without NUL.  Values are contiguous buffers of at
least one byte, or lists of buffers that follow one another; an object never changes once readable.

Single calls raise :class:`~mmc.errors.CacheError` with a documented code.  Batches return one
:class:`~mmc.errors.Code` per key, in the order of the keys; an invalid key or value gets -3000 for itself
alone.  Every call returns by its ``timeout`` (seconds; None: ``client.timeout_ms``), whatever has died.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mmc.actors.client import asking
from mmc.actors.client.listing import Listing, list_keys
from mmc.arguments import seconds_of, why_invalid
from mmc.client_life import ClientLife
from mmc.errors import Code, error_for
from mmc.identifiers import as_bytes, encode_key
from mmc.plans import CodesPlan, ExistPlan, LeasePlan, PutPlan, QueryPlan, ReadPlan, read_here, unlease_plan
from mmc.view import View, open_view
from mmc.zeromq.clock import access_clock, now

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mmc.actors.client.asking import ObjectInfo
    from mmc.arguments import BufferLike


class Client(ClientLife):
    """A connection to a cluster, for blocking calls from any thread."""

    # Put

    def put(
        self,
        key: str | bytes,
        value: BufferLike | Sequence[BufferLike],
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
        if codes[0] == Code.INVALID_ARGUMENT:
            raise why_invalid(key)
        self.check(codes[0], key)

    def put_batch(
        self,
        keys: Sequence[str | bytes],
        values: Sequence[BufferLike | Sequence[BufferLike]],
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
        return self.carry_out(PutPlan(keys, values, replicas, preferred_ranks), timeout)

    # Get

    def get(self, key: str | bytes, *, timeout: float | None = None) -> bytes:
        """A copy of an object.

        Raises:
            NotFound: -3007.
            CacheError: -3014, -3017, -3004: nobody could tell.
        """
        plan = ReadPlan([key])
        self.check(self.carry_out(plan, timeout)[0], key)
        content = plan.contents()[0]
        assert content is not None
        return content

    def get_batch(self, keys: Sequence[str | bytes], *, timeout: float | None = None) -> list[bytes | None]:
        """Copies of objects; None where there is none: :meth:`read_batch` tells why."""
        plan = ReadPlan(keys)
        self.carry_out(plan, timeout)
        return plan.contents()

    def read_batch(
        self, keys: Sequence[str | bytes], *, timeout: float | None = None
    ) -> tuple[list[bytes | None], list[Code]]:
        """Copies of objects, and per key 0; -3007; -3000 invalid; -3014, -3017, -3004 nobody could tell."""
        plan = ReadPlan(keys)
        codes = self.carry_out(plan, timeout)
        return plan.contents(), codes

    def get_into(
        self,
        key: str | bytes,
        target: BufferLike | Sequence[BufferLike],
        *,
        timeout: float | None = None,
    ) -> None:
        """Copy an object into a writable buffer, or several, of exactly its size together.

        Raises:
            NotFound: -3007.
            CacheError: -3103, the sizes differ, and nothing was written; others as for :meth:`get`.
            TypeError: the target is no writable contiguous buffer.
        """
        if timeout is not None or not read_here(self.connection.actor, key, target, access_clock()):
            self.check(self.get_into_batch([key], [target], timeout=timeout)[0], key)

    def get_into_batch(
        self,
        keys: Sequence[str | bytes],
        targets: Sequence[BufferLike | Sequence[BufferLike]],
        *,
        timeout: float | None = None,
    ) -> list[Code]:
        """Copy objects into buffers; codes as :meth:`read_batch`, or -3103 the sizes differ.

        A buffer whose code is neither 0 nor -3103 may hold anything.

        Raises:
            InvalidArgument: the lists differ in length.
            TypeError: a target is no writable contiguous buffer.
        """
        return self.carry_out(ReadPlan(keys, targets), timeout)

    def view(self, key: str | bytes, *, timeout: float | None = None) -> View:
        """An object's bytes in place: ``with client.view(key) as memory: ...``.

        Raises:
            NotFound: -3007.
            CacheError: -3014, -3017, -3004: nobody could tell.
        """
        seconds = seconds_of(timeout, self._config.client.timeout_ms)
        return open_view(self.connection, encode_key(key), seconds)

    # Ask

    def exist(self, key: str | bytes, *, timeout: float | None = None) -> bool:
        """Whether an object is there now; refreshes its recency and promises nothing.

        Raises:
            CacheError: -3014, -3017, -3004: nobody could tell.
        """
        encoded = encode_key(key)
        if timeout is not None:
            seconds_of(timeout, 0)
        if self.connection.actor.reader.has(encoded, access_clock()):
            return True
        (found,) = self.run(lambda actor, deadline: asking.locate(actor, [encoded], deadline), timeout)
        if isinstance(found, Code) and found != Code.NOT_FOUND:
            self.check(found, key)
        return not isinstance(found, Code)

    def exist_batch(self, keys: Sequence[str | bytes], *, timeout: float | None = None) -> list[Code]:
        """Per key 0 or -3007; -3000 invalid; -3014, -3017, -3004 where nobody could tell."""
        return self.carry_out(ExistPlan(keys), timeout)

    def query(self, key: str | bytes, *, timeout: float | None = None) -> ObjectInfo:
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
    ) -> list[ObjectInfo | Code]:
        """Per key what is known of it, or a code: -3007; -3000 invalid; -3014, -3017, -3004."""
        return self.carry_out(QueryPlan(keys), timeout)

    def keys(self, prefix: str | bytes = "", *, timeout: float | None = None) -> Iterator[str]:
        """The keys of all readable objects that begin with ``prefix``, in no order, each once.

        They come page by page.  What is there from the beginning to the end is listed; what comes or goes
        meanwhile may be.  A key that is no UTF-8 has its other bytes as lone surrogates, as every call takes
        them.  ``timeout`` is for each page, in seconds.

        Raises:
            CacheError: -3014, a rank has not yet told what it holds; -3017, -3004, no answer.
        """
        listing = Listing(as_bytes(prefix))
        while not listing.is_complete:
            yield from listing.take(self.run(partial(list_keys, cursor=listing.cursor), timeout))

    # Remove, lease

    def remove(self, key: str | bytes, *, timeout: float | None = None) -> None:
        """Remove an object; when this returns, no later get by anyone finds it.

        Raises:
            NotFound: -3007.
            CacheError: any other code of :meth:`remove_batch`.
        """
        self.check(self.remove_batch([key], timeout=timeout)[0], key)

    def remove_batch(self, keys: Sequence[str | bytes], *, timeout: float | None = None) -> list[Code]:
        """Per key 0; -3007 missing; -3104 leased; -3018 on an unsound rank; -3004, -3010, -3017 undecided."""
        return self.carry_out(CodesPlan(keys, asking.remove), timeout)

    def add_lease(self, key: str | bytes, ttl_ms: int = 0, *, timeout: float | None = None) -> float:
        """Have an object neither evicted nor removed for a while, counted from this call.

        Args:
            key: the object's.
            ttl_ms: milliseconds, at most ``meta.lease_max_ms``; 0: ``meta.lease_ttl_ms``.
            timeout: seconds.

        Returns:
            For how many seconds from now the caller may count on it: what is left of the time that was asked
            for, since the request was first sent, less one per cent for clocks that differ.

        Raises:
            NotFound: -3007.
            CacheError: -3101, it is still being written, or being evicted or removed.
        """
        plan = LeasePlan([key], ttl_ms)
        self.check(self.carry_out(plan, timeout)[0], key)
        return max(0.0, plan.until - now())

    def lease_batch(
        self, keys: Sequence[str | bytes], ttl_ms: int = 0, *, timeout: float | None = None
    ) -> list[Code]:
        """Lease objects; adding again extends.

        Per key 0; -3007; -3101; -3000 invalid; -3014 nobody could tell; -3004, -3010, -3017 undecided.
        """
        return self.carry_out(LeasePlan(keys, ttl_ms), timeout)

    def remove_lease(self, key: str | bytes, *, timeout: float | None = None) -> None:
        """End this client's lease on an object early.

        Raises:
            NotFound: -3007.
        """
        self.check(self.unlease_batch([key], timeout=timeout)[0], key)

    def unlease_batch(
        self, keys: Sequence[str | bytes], *, abandoned: bool = False, timeout: float | None = None
    ) -> list[Code]:
        """End this client's leases early; ``abandoned``: also those of clients that were closed.

        Per key 0, also where there was no lease, or -3007.  The lease of a client that died lasts its time.
        """
        return self.carry_out(unlease_plan(keys, abandoned=abandoned), timeout)
