"""A session with a meta service by bare messages, as many of them on their way as is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING

from mmc.bench.failures import BenchError
from mmc.config import load_config
from mmc.wire.codec import Header, decode_body, decode_header, encode, encode_body, encode_header
from mmc.wire.operations import OLDEST_VERSION, WIRE_VERSION, Operation
from mmc.wire.replies import Failure, Welcome
from mmc.wire.requests import Hello
from mmc.zeromq.chance import random63
from mmc.zeromq.sockets import DEALER, connect, make_socket, new_context, receive_frames, send_frames

if TYPE_CHECKING:
    from mmc.wire.operations import Message
    from mmc.wire.sequence import Frames
    from mmc.zeromq.sockets import Context

_PATIENCE_MS = 30_000


class RawSession:
    """One end of a session: a client's, or that of a rank which is none."""

    def __init__(self, url: str, kind: int, context: Context | None = None) -> None:
        """Connect and say hello; ``context`` is shared with others, else it has its own.

        Raises:
            BenchError: it is refused.
        """
        config = load_config()
        self.client = random63()
        self._owns_context = context is None
        self._context = context or new_context()
        self._socket = make_socket(self._context, DEALER, config.wire, config.broker)
        self._session = self._epoch = self._sequence = 0
        try:
            connect(self._socket, url, "meta_url")
            hello = Hello(self.client, kind, OLDEST_VERSION, WIRE_VERSION, 0)
            self._socket.send_multipart(encode(Header(Operation.HELLO, sequence=random63()), hello))
            header, welcome = self._receive()
        except BaseException:  # boundary: clears away and raises again
            self.close()
            raise
        assert isinstance(welcome, Welcome)
        self.welcome = welcome
        self._session, self._epoch = welcome.session, header.epoch

    def ask(self, message: Message) -> Message:
        """One request and its reply.

        Raises:
            BenchError: it is refused.
        """
        _, replies = self.ask_all(message.operation, [encode_body(message)])
        return replies[0]

    def ask_all(
        self, operation: Operation, bodies: Sequence[Frames], at_once: int = 1
    ) -> tuple[float, list[Message]]:
        """Requests and their replies, ``at_once`` of them on their way until the last was sent.

        Returns:
            How many seconds that took, and the replies, which are taken apart after the clock has stopped.

        Raises:
            BenchError: one is refused.
        """
        arrived: list[Frames] = []
        begun = perf_counter()
        for number, body in enumerate(bodies):
            if number >= at_once:
                arrived.append(self._frames())
            self._send(operation, body, unanswered=number - len(arrived))
        arrived += [self._frames() for _ in bodies[len(arrived) :]]
        took = perf_counter() - begun
        return took, [self._taken_apart(frames)[1] for frames in arrived]

    def send(self, message: Message) -> None:
        """Ask without waiting; :meth:`receive` gives the reply."""
        self._send(message.operation, encode_body(message), unanswered=0)

    def receive(self) -> Message:
        """The reply to what was sent.

        Raises:
            BenchError: it is a refusal, or there is none.
        """
        return self._receive()[1]

    def _send(self, operation: Operation, body: Frames, unanswered: int) -> None:
        """A request; so many of those before it are not answered yet."""
        self._sequence += 1
        below = self._sequence - unanswered
        header = Header(operation, self._session, self._sequence, 0, self._epoch, _PATIENCE_MS, below)
        send_frames(self._socket, (encode_header(header), *body))

    def _receive(self) -> tuple[Header, Message]:
        return self._taken_apart(self._frames())

    def _frames(self) -> Frames:
        if not self._socket.poll(_PATIENCE_MS):
            raise BenchError("the meta service did not answer")
        return receive_frames(self._socket)

    @staticmethod
    def _taken_apart(frames: Sequence[bytes]) -> tuple[Header, Message]:
        header = decode_header(frames)
        message = decode_body(header, frames)
        if isinstance(message, Failure):
            raise BenchError(f"the meta service refused: {message.sentence}")
        return header, message

    def close(self) -> None:
        """Disconnect."""
        self._socket.close()
        if self._owns_context:
            self._context.term()
