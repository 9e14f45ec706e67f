"""Runs a service's actor: one thread, its sockets, its clock.

Everything that has arrived is taken before time is judged, so that a service that slept does not mistake
its own absence for another's silence.  Nothing that arrives ends the loop.
"""

from __future__ import annotations

import math
import os
import threading
import traceback
from typing import TYPE_CHECKING, Protocol

import zmq

from mmc.actors.contract import EVENTS, META, Note, Persist, Publish, Send, Subscribe
from mmc.actors.reception import answer_fault
from mmc.errors import InvalidArgument
from mmc.zeromq.clock import now
from mmc.zeromq.sockets import Watch, connect, receive_frames, send_frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmc.actors.contract import Actor, Audit, Effect
    from mmc.wire.sequence import Frames

_BURST = 512
_LONGEST_WAIT_S = 1.0
_FINISH_TURN_S = 0.01
_LOOK_S = 0.1
_WRITE_AGAIN_S = 1.0


class Log(Protocol):
    """Where notes go."""

    def info(self, event: str, **fields: object) -> object:
        """Log one event."""
        ...

    def warning(self, event: str, **fields: object) -> object:
        """Log what somebody should look at."""
        ...

    def error(self, event: str, **fields: object) -> object:
        """Log what somebody must look at."""
        ...


class Ports:
    """The sockets of one service: any of them may be absent.

    ``meta`` asks the meta service; ``events`` hears it; ``clients`` is asked (its messages begin with the
    route to the asker); ``publisher`` tells events.
    """

    def __init__(
        self,
        *,
        meta: zmq.Socket[bytes] | None = None,
        events: zmq.Socket[bytes] | None = None,
        clients: zmq.Socket[bytes] | None = None,
        publisher: zmq.Socket[bytes] | None = None,
        events_at: Callable[[str], str] = str,
    ) -> None:
        """The service owns them from here on; ``events_at`` gives the URL to connect to for the one told."""
        self.meta = meta
        self.events = events
        self.clients = clients
        self.publisher = publisher
        self._events_at = events_at
        self.dropped = 0
        self._topics: tuple[bytes, ...] = ()
        self._events_url = ""

    def readable(self) -> list[zmq.Socket[bytes]]:
        """The sockets that messages arrive on."""
        return [socket for socket in (self.meta, self.events, self.clients) if socket is not None]

    def send(self, effect: Send) -> None:
        """Send without waiting; what cannot be queued is dropped, and asked for again."""
        if effect.to == META:
            self._send(self.meta, effect.frames)
        elif isinstance(effect.to, bytes):
            self._send(self.clients, (effect.to, *effect.frames))

    def publish(self, effect: Publish) -> None:
        """Publish an event."""
        self._send(self.publisher, (effect.topic, *effect.frames))

    def subscribe(self, effect: Subscribe) -> None:
        """Hear these topics from this URL, and no others.

        Raises:
            InvalidArgument: the URL is none; nothing is heard from now on.
        """
        if self.events is None:
            return
        for topic in set(self._topics) - set(effect.topics):
            self.events.setsockopt(zmq.UNSUBSCRIBE, topic)
        for topic in set(effect.topics) - set(self._topics):
            self.events.setsockopt(zmq.SUBSCRIBE, topic)
        self._topics = effect.topics
        url = self._events_at(effect.url)
        if url != self._events_url:
            if self._events_url:
                self.events.disconnect(self._events_url)
                self._events_url = ""
            connect(self.events, url, "events_url")
            self._events_url = url

    def _send(self, socket: zmq.Socket[bytes] | None, frames: Frames) -> None:
        try:
            if socket is not None:
                send_frames(socket, frames)
        except zmq.Again:
            self.dropped += 1

    def close(self) -> None:
        """Close every socket."""
        for socket in (self.meta, self.events, self.clients, self.publisher):
            if socket is not None:
                socket.close()


class ServiceReactor:
    """The loop around one actor."""

    def __init__(
        self,
        actor: Actor,
        ports: Ports,
        log: Log,
        persist: Callable[[bytes], None] | None = None,
        on_note: Callable[[str], None] | None = None,
        audit: Callable[[str, Audit], None] | None = None,
        look: Callable[[], None] = lambda: None,
    ) -> None:
        """``persist`` writes down, durably, what the actor asks for; ``on_note`` hears every note.

        ``audit`` writes what is for the audit log; None: there is none.  ``look`` is called some times a
        second, before the actor is; what it raises ends :meth:`run`.
        """
        self._actor = actor
        self._ports = ports
        self._log = log
        self._persist = persist
        self._on_note = on_note
        self._audit = audit
        self._look = look
        self._look_at = 0.0
        self._unwritten: bytes | None = None
        self._write_at = 0.0
        self._notes: dict[str, float] = {}
        self._stop = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._stop_lock = threading.RLock()  # a signal handler may take it in the thread that has it
        self._stopping = False
        self._watch = Watch((*ports.readable(), self._stop))

    def stop(self) -> None:
        """End the loop; may be called from a signal handler or another thread."""
        self._stopping = True
        with self._stop_lock:
            if self._stop >= 0:
                os.eventfd_write(self._stop, 1)

    @property
    def is_stopping(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stopping

    def run(self, first: list[Effect]) -> None:
        """Carry out the first effects, then serve until stopped."""
        self.perform(first)
        while not self._stopping:
            self._turn(_LONGEST_WAIT_S)
            self._write_again()

    def finish(self, last: list[Effect], is_done: Callable[[], bool], patience_s: float) -> None:
        """After the loop: carry out the last effects and serve until they are done, for a while."""
        self.perform(last)
        until = now() + patience_s
        while not is_done() and now() < until:
            self._turn(_FINISH_TURN_S)

    def _turn(self, longest: float) -> None:
        """Wait until something arrives or is due; take what arrived, up to a number, and do what was due."""
        deadline = self._actor.next_deadline()
        wait_s = longest if deadline is None else min(longest, deadline - now())
        self._take_burst(math.ceil(max(0.0, wait_s) * 1000))
        if deadline is not None and deadline <= (moment := now()):
            self.perform(self._actor.expire(moment))

    def _take_burst(self, milliseconds: int) -> None:
        """Wait, and take one message of each socket by turns until there is none."""
        for turn in range(_BURST):
            readable = self._watch.wait(milliseconds)
            if not turn and self._look_at <= (moment := now()):
                self._look_at = moment + _LOOK_S
                self._look()
            if not readable:
                return
            milliseconds = 0
            for each in readable:
                if isinstance(each, int):
                    os.eventfd_read(each)
                else:
                    self._receive(each, receive_frames(each))

    def _receive(self, socket: zmq.Socket[bytes], frames: Frames) -> None:
        moment = now()
        try:
            if socket is self._ports.clients:
                effects = self._actor.receive(frames[0], frames[1:], moment)
            elif socket is self._ports.meta:
                effects = self._actor.receive(META, frames, moment)
            else:
                effects = self._actor.receive(EVENTS, frames[1:], moment)
        except Exception:  # boundary: a fault of our own ends one request, with its stack in the log
            self._log.error("a fault of our own", stack=traceback.format_exc())
            is_request = socket is self._ports.clients
            effects = answer_fault(frames[0], frames[1:]) if is_request else []
        self.perform(effects)

    def perform(self, effects: list[Effect]) -> None:
        """Carry out effects in their order."""
        for effect in effects:
            match effect:
                case Send():
                    self._ports.send(effect)
                case Publish():
                    self._ports.publish(effect)
                case Subscribe():
                    self._subscribe(effect)
                case Persist(data):
                    self._write_down(data)
                case Note(event, detail, audit):
                    self._note(event, detail, audit)

    def _subscribe(self, effect: Subscribe) -> None:
        """Hear events; where they are heard is another's word, and what it lacks is asked for in any case."""
        try:
            self._ports.subscribe(effect)
        except InvalidArgument as wrong:
            self._note("events are not heard", wrong.sentence)

    def _write_down(self, data: bytes) -> None:
        """Persist; where that fails the service goes on, since its ranks know their terms themselves.

        It tries again every second, so that all is on disk when there is space again.
        """
        if self._persist is None:
            return
        was_lacking, self._unwritten = self._unwritten is not None, data
        self._write_at = now() + _WRITE_AGAIN_S
        try:
            self._persist(data)
        except OSError as reason:
            if not was_lacking:
                self._log.warning("membership not written down", setting="state_dir", reason=str(reason))
        else:
            self._unwritten = None
            if was_lacking:
                self._log.info("membership written down again")

    def _write_again(self) -> None:
        if self._unwritten is not None and self._write_at <= now():
            self._write_down(self._unwritten)

    def _note(self, event: str, detail: str, audit: Audit | None = None) -> None:
        """Log: what is audited each time, of anything else at most one line a second for each kind."""
        if self._on_note is not None:
            self._on_note(event)
        if audit is not None:
            if self._audit is not None:
                self._audit(event, audit)
            if detail:
                self._log.info(event, detail=detail)
            return
        moment = now()
        if moment - self._notes.get(event, -1.0) >= 1.0:
            self._notes[event] = moment
            self._log.info(event, detail=detail)

    def close(self) -> None:
        """Close the sockets."""
        self._ports.close()
        with self._stop_lock:
            descriptor, self._stop = self._stop, -1
        os.close(descriptor)
