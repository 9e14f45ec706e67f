"""Errands to several ranks at once, over connections that are kept."""

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from mmc.actors.client.calls import perform_each
from mmc.actors.client.far import Block, Guess, Place
from mmc.config import load_config
from mmc.errors import CacheError, Code
from mmc.identifiers import Member
from mmc.limits import DataLimits
from mmc.transfer.carrier import Carrier
from mmc.transfer.connections import Connections
from mmc.transfer.errands import Probing, Seeking
from mmc.transfer.exchange import Exchange
from mmc.transfer.stream import Stream
from mmc.wire import replies
from mmc.wire.codec import Header
from mmc.zeromq.clock import now
from tests.unit.transfer.test_stream import drive

LIMITS: DataLimits = load_config(overrides={"data": {"connections_per_rank": 2}}).data
SOON_S = 0.3
PATIENCE_S = 10.0


class Rank:
    """A data server that answers every probe with 0, or that says nothing; nor does it on what is hushed."""

    def __init__(self, *, answers: bool) -> None:
        """Listening."""
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._answers = answers
        self.accepted: list[Stream] = []
        self.hushed: set[Stream] = set()
        port = self._listening.getsockname()[1]
        self.member = Member(0, 0, 0, 1, 1, 1, "/p", "u", f"tcp://127.0.0.1:{port}")
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                stream = Stream(self._listening.accept()[0], 4096)
                self.accepted.append(stream)
                if self._answers:
                    serving = threading.Thread(target=self._serve, args=(stream,), daemon=True)
                    self._threads.append(serving)
                    serving.start()

    def _serve(self, stream: Stream) -> None:
        with contextlib.suppress(OSError, ValueError):
            while True:
                drive(stream, stream.receive_message())
                if stream not in self.hushed:
                    drive(stream, stream.send_message(Header(0), replies.Codes((0,))))

    def close(self) -> None:
        """Be gone, with every connection; nothing happens the second time."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        for stream in self.accepted:
            stream.abort()
        for thread in self._threads:
            thread.join(PATIENCE_S)
        for stream in self.accepted:
            stream.close()
        self._listening.close()


@pytest.fixture
def make_rank() -> Iterator[Callable[[str], Rank]]:
    """Ranks that are gone afterwards."""
    ranks: list[Rank] = []

    def make(kind: str) -> Rank:
        ranks.append(Rank(answers=kind == "answering"))
        return ranks[-1]

    yield make
    for rank in ranks:
        rank.close()


def probe(member: Member, until: float) -> tuple[Block, Probing]:
    """A question about one block, and what asks it."""
    block = Block(Place(member, 0, 2, 1), ())
    return block, Probing(member, [block], until, lambda name, amount: Counter[str]().update({name: amount}))


def perform(connections: Connections, *errands: Probing) -> None:
    """Do them all."""
    Exchange(errands, connections, LIMITS, now).perform()


def test_a_silent_rank_delays_no_other(make_rank: Callable[[str], Rank]) -> None:
    """What is asked of a rank that answers is answered, and the other's errand ends at its deadline."""
    connections = Connections(LIMITS, now)
    silent, silent_errand = probe(make_rank("silent").member, now() + SOON_S)
    heard, errand = probe(make_rank("answering").member, now() + PATIENCE_S)
    perform(connections, silent_errand, errand)
    assert (silent.code, heard.code) == (Code.TIMED_OUT, Code.OK)
    connections.close()


def test_a_guess_is_not_waited_for_where_nobody_answers(make_rank: Callable[[str], Rank]) -> None:
    """What may lie on another rank is given up long before its deadline."""
    connections = Connections(LIMITS, now)
    until = now() + 1000 * PATIENCE_S
    guess = Guess(make_rank("silent").member, b"k", 1, lambda _: ())
    seeking = Seeking(guess.place.member, [guess], 1, until, lambda _name, _amount: None)
    Exchange([seeking], connections, LIMITS, now).perform()
    assert guess.code == Code.TIMED_OUT
    connections.close()


@pytest.mark.parametrize("size", [1, 1 << 21])
def test_a_silent_rank_delays_no_other_where_many_threads_would_help(
    make_rank: Callable[[str], Rank], size: int
) -> None:
    """Also if the works that a carrier makes for several threads are done by one, one after the other."""
    carrier = Carrier(LIMITS, 4, lambda _: True, now)
    silent, answering = make_rank("silent").member, make_rank("answering").member
    blocks = [
        Block(Place(silent, 0, 2, size), [memoryview(bytearray(size))]),
        Block(Place(answering, 0, 2, 1), ()),
    ]
    errands = [
        *carrier.fetch(silent, blocks[:1], now() + SOON_S),
        *carrier.probe(answering, blocks[1:], now() + SOON_S),
    ]
    perform_each(carrier.together(errands))
    assert [block.code for block in blocks] == [Code.TIMED_OUT, Code.OK]
    carrier.close()


def test_nobody_there_is_minus_3014(make_rank: Callable[[str], Rank]) -> None:
    """A refused connection, and a URL that is none, are known at once."""
    rank = make_rank("answering")
    rank.close()
    connections = Connections(LIMITS, now)
    for member in (rank.member, rank.member._replace(data_url="rubbish")):
        block, errand = probe(member, now() + PATIENCE_S)
        perform(connections, errand)
        assert block.code == Code.UNREACHABLE
    connections.close()


def test_a_kept_connection_is_used_again_and_replaced_when_it_has_ended(
    make_rank: Callable[[str], Rank],
) -> None:
    """Two errands share one; after the server has closed it a third gets another, and does not fail."""
    rank = make_rank("answering")
    connections = Connections(LIMITS, now)
    for _ in range(2):
        block, errand = probe(rank.member, now() + PATIENCE_S)
        perform(connections, errand)
        assert block.code == Code.OK
    assert len(rank.accepted) == 1
    rank.accepted[0].abort()
    block, errand = probe(rank.member, now() + PATIENCE_S)
    perform(connections, errand)
    assert block.code == Code.OK
    assert len(rank.accepted) == 2
    connections.close()


def test_a_kept_connection_that_says_nothing_is_replaced(make_rank: Callable[[str], Rank]) -> None:
    """Long before the deadline: a link that was cut leaves such connections behind."""
    rank = make_rank("answering")
    limits = replace(LIMITS, connect_ms=int(1000 * SOON_S))
    connections = Connections(limits, now)
    perform(connections, probe(rank.member, now() + PATIENCE_S)[1])
    rank.hushed.add(rank.accepted[0])
    block, errand = probe(rank.member, now() + 1000 * PATIENCE_S)
    Exchange([errand], connections, limits, now).perform()
    assert block.code == Code.OK
    assert len(rank.accepted) == 2
    connections.close()


def test_no_more_connections_than_allowed(make_rank: Callable[[str], Rank]) -> None:
    """Many errands to one rank take turns; only a write goes beyond the limit."""
    rank = make_rank("answering")
    connections = Connections(LIMITS, now)
    asked = [probe(rank.member, now() + PATIENCE_S) for _ in range(9)]
    perform(connections, *(errand for _, errand in asked))
    assert [block.code for block, _ in asked] == [Code.OK] * 9
    assert len(rank.accepted) <= 2
    url = rank.member.data_url
    held = [connections.take(url), connections.take(url)]
    assert connections.take(url) is None
    beyond = connections.take(url, beyond=True)
    for taken in (*held, beyond):
        assert taken is not None
        connections.give_back(taken[0], keep=True)
    connections.close()


def test_closing_ends_what_is_in_use(make_rank: Callable[[str], Rank]) -> None:
    """An errand under way ends, and no connection is given out any more."""
    rank = make_rank("silent")
    connections = Connections(LIMITS, now)
    block, errand = probe(rank.member, now() + PATIENCE_S)
    running = threading.Thread(target=perform, args=(connections, errand))
    running.start()
    while not rank.accepted:
        threading.Event().wait(0.001)
    connections.close()
    running.join(PATIENCE_S)
    assert not running.is_alive()
    assert block.code == Code.UNREACHABLE
    with pytest.raises(CacheError):
        connections.take(rank.member.data_url)
