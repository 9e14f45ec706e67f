"""Connections between simulated hosts: byte streams that are slow, fall silent, break, and damage bytes.

1. A :class:`Wire` is one end, and is to a stream what a socket is.  Bytes arrive in their order, in segments.
   What is on its way while the path is cut is sent again later and later; an acknowledgement likewise.
2. ``window`` bytes may be on their way or unread.  So whoever sends waits for a peer that does not read.
3. A process that dies closes its ends: what it sent arrives, then the end of the connection, or a reset if it
   had not read everything.  A host that dies says nothing; once it is back it resets what it does not know.
4. A reset may be lost, like whatever is sent once.  Bytes that arrive at a closed end are dropped, and reset.
5. What is received into a segment, or sent from one, is copied by the process's own way to memory: in pieces,
   between which it may stall or die.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from mmc.transfer.stream import READ, WRITE
from tests.simulation.memory import ProcessMemory, Processor
from tests.simulation.world import World

if TYPE_CHECKING:
    from tests.simulation.network import Network
    from tests.simulation.polls import Poll

HANG_UP = 1 << 13
FAILED = 1 << 4
_FIRST_REPEAT_S = 0.05
_LONGEST_REPEAT_S = 1.0
_FOR_EVER_S = 1e6
_SILENCES_S = (0.05, 0.5, 3.0, _FOR_EVER_S)
_REFUSED = "nobody listens"


@dataclass(frozen=True, slots=True)
class Quality:
    """What connections are like: probabilities are for each segment that arrives.

    ``window`` and ``segment`` are in bytes; what is ``lost`` is sent again; ``breaks``: the connection is
    reset or falls silent; ``damages``: a byte of an object changes on the way.
    """

    window: int = 1 << 16
    segment: int = 1460
    latency_s: float = 0.0002
    lost: float = 0.0
    breaks: float = 0.0
    damages: float = 0.0


PERFECT = Quality()


class Wires:
    """All connections, and who listens where."""

    def __init__(self, world: World, network: Network, quality: Quality) -> None:
        """Nobody listens."""
        self.world = world
        self.network = network
        self.quality = quality
        self.ends: dict[int, End] = {}
        self._listeners: dict[str, Callable[[Wire], Endpoint | None]] = {}
        self._addresses: dict[str, Place] = {}
        self._down: set[int] = set()
        self._numbers = 0

    def number(self, end: End) -> int:
        """A descriptor, never used before."""
        self._numbers += 1
        self.ends[self._numbers] = end
        return self._numbers

    # Who is there

    def listen(self, url: str, place: Place, accept: Callable[[Wire], Endpoint | None]) -> None:
        """From here on connections to an address are handed to ``accept``, which may refuse them."""
        self._addresses[url] = place
        self._listeners[url] = accept

    def close_listener(self, url: str) -> None:
        """Nobody listens there any more."""
        self._listeners.pop(url, None)

    def connect(self, place: Place, url: str) -> Wire:
        """One end of a connection that is not there yet."""
        there = self._addresses.get(url)
        if there is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, _REFUSED)
        self.world.count("connections tried")
        wire = Wire(self, place, there)
        wire.repeat(partial(self._knock, wire, url))
        return wire

    def _knock(self, wire: Wire, url: str) -> bool:
        """An attempt to connect arrives; whether anything came of it."""
        if not wire.is_open:
            return True
        there = wire.there
        if there.host in self._down or self.network.is_cut(wire.place.route, there.route):
            return False
        accept = self._listeners.get(url)
        if accept is None:
            wire.reset_from_afar(ConnectionRefusedError(errno.ECONNREFUSED, _REFUSED))
            return True
        other = Wire(self, there, wire.place)
        wire.other, other.other = other, wire
        other.is_connected = True
        other.endpoint = accept(other)
        if other.endpoint is None:
            other.close()
        self.world.count("connections")
        other.repeat(wire.welcome)
        return True

    # Mishaps

    def end_of_process(self, route: bytes, *, silently: bool) -> None:
        """A process has died, alone or with its host."""
        for end in list(self.ends.values()):
            if isinstance(end, Wire) and end.place.route == route and end.is_open:
                if silently:
                    end.vanish()
                else:
                    end.end()

    def host_down(self, host: int) -> None:
        """What is sent there vanishes."""
        self._down.add(host)

    def host_up(self, host: int) -> None:
        """It answers again, and knows of no connection."""
        self._down.discard(host)

    def is_down(self, host: int) -> bool:
        """Whether this host is dead."""
        return host in self._down

    def open_wires(self) -> list[Wire]:
        """The ends that processes have open, of connections that are made."""
        return [e for e in self.ends.values() if isinstance(e, Wire) and e.is_open and e.is_connected]

    def heal(self) -> None:
        """No connection is silent, and from here on none breaks."""
        self.quality = Quality(self.quality.window, self.quality.segment, self.quality.latency_s)
        for end in self.ends.values():
            if isinstance(end, Wire):
                end.silent_until = 0.0

    def delay(self) -> float:
        """How long something is on its way."""
        return self.world.chance.random.expovariate(1 / self.quality.latency_s)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an end is: its process and its host; ``client`` is the id of the client whose process it is."""

    route: bytes
    host: int
    client: int = 0


class Endpoint:
    """The memory that a process receives into and sends from, if it is that of a segment."""

    def __init__(self, memory: ProcessMemory, processor: Processor) -> None:
        """The serving thread's way to it."""
        self.memory = memory
        self.processor = processor
        self._whole = memory.window(0, 1)
        self._base = _address(self._whole)

    def position(self, part: memoryview) -> int | None:
        """Where in the segment these bytes lie; None if they are not in it."""
        if part.obj is not self._whole.obj:
            return None
        return _address(part) - self._base


class End:
    """Something with a descriptor that a poll waits for."""

    def __init__(self, wires: Wires) -> None:
        """Open, and watched by nobody."""
        self.descriptor = wires.number(self)
        self.polls: dict[Poll, None] = {}

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""
        return self.descriptor

    def changed(self) -> None:
        """Let whoever waits for it look."""
        for poll in list(self.polls):
            poll.rouse()

    def events(self) -> int:
        """What a poll would say of it."""
        raise NotImplementedError


class Wire(End):
    """One end of a connection."""

    family = None

    def __init__(self, wires: Wires, place: Place, there: Place) -> None:
        """Not connected yet."""
        super().__init__(wires)
        self.wires = wires
        self.place = place
        self.there = there
        self.other: Wire | None = None
        self.endpoint: Endpoint | None = None
        self.is_open = True
        self.is_connected = False
        self.is_lost = False
        self.silent_until = 0.0
        self._failure: OSError | None = None
        self._has_ended = False
        self._incoming = bytearray()
        self._on_the_way = 0
        self._queue: deque[bytes | None] = deque()
        self._is_sending = False
        self._last = 0.0

    # What a stream asks of a socket

    def settimeout(self, _seconds: float) -> None:
        """It never blocks."""

    def setsockopt(self, _level: int, _name: int, _value: int) -> None:
        """It has no options."""

    def getsockopt(self, _level: int, _name: int, _size: int) -> bytes:
        """Nothing is measured."""
        return b""

    def recv_into(self, target: memoryview) -> int:
        """Receive what has arrived."""
        self._check_open()
        if not self._incoming:
            self._check_failure()
            if self._has_ended:
                return 0
            raise BlockingIOError
        count = min(len(target), len(self._incoming))
        part = bytes(self._incoming[:count])
        del self._incoming[:count]
        self._store(target[:count], part)
        if self.other is not None:
            self.repeat(partial(self.other.acknowledge, count))
        return count

    def recv(self, _size: int, _flags: int) -> bytes:
        """Look whether anything has arrived, or the end of the connection."""
        self._check_open()
        if self._incoming:
            return bytes(self._incoming[:1])
        self._check_failure()
        if self._has_ended:
            return b""
        raise BlockingIOError

    def send(self, part: memoryview) -> int:
        """Send what there is room for."""
        return self.sendmsg([part])

    def sendmsg(self, parts: Sequence[memoryview]) -> int:
        """Send what there is room for."""
        self._check_open()
        self._check_failure()
        room = self.wires.quality.window - self._on_the_way
        if not self.is_connected or room <= 0:
            raise BlockingIOError
        if self.endpoint is not None:
            self.endpoint.processor.drain()
        total = 0
        for part in parts:
            taken = part[: room - total]
            total += len(taken)
            data = self._load(taken)
            if self._failure is not None or not self.is_open:
                return total
            step = self.wires.quality.segment
            self._queue.extend(data[at : at + step] for at in range(0, len(data), step))
        self._on_the_way += total
        self._begin_sending()
        return total

    def shutdown(self, _how: int) -> None:
        """End both directions; the descriptor stays."""
        self.end()
        self._has_ended = True
        self._failure = self._failure or BrokenPipeError(errno.EPIPE, "shut down")
        self.changed()

    def close(self) -> None:
        """Close; nothing happens the second time."""
        self.end()
        self.wires.ends.pop(self.descriptor, None)
        self.descriptor = -1

    def end(self) -> None:
        """Its process is done with it, or has ended."""
        if not self.is_open:
            return
        self.is_open = False
        if self.other is None:
            return
        if self._incoming:
            self._queue.clear()
            self._reset_other()
        else:
            self._queue.append(None)
            self._begin_sending()
        self._incoming.clear()

    def _check_open(self) -> None:
        if not self.is_open:
            raise OSError(errno.EBADF, "closed")

    def _check_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def events(self) -> int:
        """What a poll would say."""
        if not self.is_open or self._failure is not None:
            return READ | WRITE | HANG_UP | FAILED
        told = READ if self._incoming or self._has_ended else 0
        told |= HANG_UP if self._has_ended else 0
        has_room = self.is_connected and self._on_the_way < self.wires.quality.window
        return told | (WRITE if has_room else 0)

    # Memory

    def _store(self, target: memoryview, part: bytes) -> None:
        at = self.endpoint.position(target) if self.endpoint is not None and part else None
        if at is None:
            target[:] = part
            return
        assert self.endpoint is not None
        self.endpoint.processor.received_from = self.there.client
        self.endpoint.memory.copy_in(at, memoryview(self._maybe_damaged(part)))
        self.endpoint.processor.received_from = None

    def _load(self, part: memoryview) -> bytes:
        at = self.endpoint.position(part) if self.endpoint is not None and len(part) else None
        if at is None:
            return bytes(part)
        assert self.endpoint is not None
        return self._maybe_damaged(self.endpoint.memory.read(at, len(part)))

    def _maybe_damaged(self, part: bytes) -> bytes:
        """The bytes of an object, of which one may have changed: digests are there to see it."""
        random, damages = self.wires.world.chance.random, self.wires.quality.damages
        if not damages or random.random() >= damages:
            return part
        self.wires.world.count("bytes damaged")
        at = random.randrange(len(part))
        return part[:at] + bytes([part[at] ^ (1 << random.randrange(8))]) + part[at + 1 :]

    # On the way

    @property
    def is_silent(self) -> bool:
        """Whether nothing of what it sends arrives."""
        wires = self.wires
        if self.silent_until > wires.world.now or wires.is_down(self.there.host):
            return True
        return wires.network.is_cut(self.place.route, self.there.route)

    def repeat(self, arrive: Callable[[], bool], after_s: float = 0.0) -> None:
        """Send something again and again until it has arrived: ``arrive`` says whether it has."""
        pause = max(after_s, _FIRST_REPEAT_S)

        def attempt() -> None:
            if self.is_lost:
                return
            if self.is_silent or not arrive():
                self.repeat(arrive, min(2 * pause, _LONGEST_REPEAT_S))

        self.wires.world.after(after_s + self.wires.delay(), attempt)

    def welcome(self) -> bool:
        """The other side has accepted."""
        self.is_connected = True
        self.changed()
        return True

    def acknowledge(self, count: int) -> bool:
        """The other side has read so much."""
        self._on_the_way -= count
        self.changed()
        return True

    def _begin_sending(self) -> None:
        if not self._is_sending and self._queue:
            self._is_sending = True
            self._send_next(0.0)

    def _send_next(self, pause: float) -> None:
        world, quality = self.wires.world, self.wires.quality
        if quality.lost and world.chance.random.random() < quality.lost:
            world.count("segments sent again")
            pause = max(pause, _FIRST_REPEAT_S)
        self._last = max(self._last, world.now + pause + self.wires.delay())
        world.after(self._last - world.now, partial(self._arrive, pause))

    def _arrive(self, pause: float) -> None:
        world, quality = self.wires.world, self.wires.quality
        if quality.breaks and self._queue and world.chance.random.random() < quality.breaks:
            self.break_down()
        if self.is_lost or not self._queue:
            self._is_sending = False
            return
        if self.is_silent:
            self._send_next(min(max(2 * pause, _FIRST_REPEAT_S), _LONGEST_REPEAT_S))
            return
        part = self._queue.popleft()
        assert self.other is not None
        self.other.take(part)
        if self._queue:
            self._send_next(0.0)
        else:
            self._is_sending = False

    def take(self, part: bytes | None) -> None:
        """A segment arrives, or the end of what is sent."""
        if not self.is_open or self.is_lost or self._failure is not None:
            if part is not None:
                self.wires.world.counts["late bytes dropped"] += len(part)
                self._reset_other()
            return
        if part is None:
            self._has_ended = True
        else:
            self._incoming += part
        self.changed()

    # The end

    def _reset_other(self) -> None:
        other = self.other
        assert other is not None

        def arrive() -> None:
            if not self.is_silent:
                other.reset_from_afar(ConnectionResetError(errno.ECONNRESET, "reset by peer"))

        self.wires.world.after(self.wires.delay(), arrive)

    def reset_from_afar(self, failure: OSError) -> None:
        """The other side knows of no such connection."""
        if self.is_lost or self._failure is not None:
            return
        if self.is_open:
            self.wires.world.count("resets heard")
        self._failure = failure
        self._queue.clear()
        self.changed()

    def vanish(self) -> None:
        """Its host has died: what it sent is lost, and nothing is said."""
        self.is_open = False
        self.is_lost = True
        self._queue.clear()
        self._incoming.clear()
        self.wires.ends.pop(self.descriptor, None)

    def break_down(self) -> None:
        """Something between both ends forgets the connection: with a word to both, to one, or to nobody."""
        world = self.wires.world
        other = self.other
        assert other is not None
        kind = world.chance.random.randrange(4)
        world.log("breaks", self.place.route, self.there.route, kind)
        failure = ConnectionResetError(errno.ECONNRESET, "broken")
        seconds = world.chance.random.choice(_SILENCES_S)
        match kind:
            case 0:
                world.count("connections broken")
                self.reset_from_afar(failure)
                other.reset_from_afar(failure)
            case 1:
                world.count("connections half broken")
                world.chance.random.choice((self, other)).reset_from_afar(failure)
                self.silent_until = other.silent_until = world.now + _FOR_EVER_S
            case 2:
                world.count("connections silent")
                self.silent_until = other.silent_until = world.now + seconds
            case _:
                world.count("connections silent one way")
                self.silent_until = world.now + seconds


def _address(part: memoryview) -> int:
    """Where in this process's memory bytes lie."""
    address: int = np.frombuffer(part, np.uint8).__array_interface__["data"][0]
    return address
