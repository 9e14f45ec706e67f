"""A socket whose peer does not answer tries again and again, however long that lasts."""

import socket
from contextlib import ExitStack

import zmq
from zmq.utils.monitor import recv_monitor_message

from mmc.config import load_config
from mmc.zeromq.sockets import DEALER, connect, make_socket, new_context

_PATIENCE_MS = 20_000


def _fill(listener: socket.socket, ending: ExitStack) -> None:
    """Have no room for any more connections: the kernel lets what asks for one wait."""
    for _ in range(4):
        caller = ending.enter_context(socket.socket())
        caller.settimeout(0)
        caller.connect_ex(listener.getsockname())


def test_an_attempt_to_connect_ends_and_another_begins() -> None:
    """The kernel asks less and less often: after a cut of half a minute it would not for another."""
    config = load_config()
    with ExitStack() as ending:
        listener = ending.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        _fill(listener, ending)
        context = ending.enter_context(new_context())
        dealer = ending.enter_context(make_socket(context, DEALER, config.wire, config.broker))
        events = ending.enter_context(dealer.get_monitor_socket(zmq.EVENT_CONNECT_RETRIED))
        connect(dealer, f"tcp://127.0.0.1:{listener.getsockname()[1]}", "meta_url")
        for _ in range(2):
            assert events.poll(_PATIENCE_MS), "it still waits for its first attempt"
            assert recv_monitor_message(events)["event"] == zmq.EVENT_CONNECT_RETRIED
        dealer.disable_monitor()
