"""What a client of another host may do to a data server between two of its steps."""

import os
import socket
import struct
from pathlib import Path

import pytest
from xxhash import xxh3_64_intdigest

from mmc.client import Client
from mmc.errors import Code
from mmc.segments import records
from mmc.wire import blocks, replies
from mmc.wire.operations import Message
from tests.integration.data_peer import DataPeer
from tests.integration.processes import Cluster, bulk_of, content_of, wait_until

SIZE = 1 << 20
CONTENT = bulk_of("content", SIZE)


def await_free(cluster: Cluster, client: Client) -> None:
    """Wait until nothing is reserved on rank 0, as far as its heartbeat tells."""
    wait_until(lambda: cluster.rank_counters(client)[0].get("reserved_bytes") == 0, "the space comes back")


def version_is_gone(client: Client, begun: blocks.Begun) -> bool:
    """Whether the record of a write says that nobody is writing it."""
    segment = client.connection.actor.ranks[0].segment
    return not records.version_of(segment, begun.records[0]).client


@pytest.mark.parametrize("sent", [0, SIZE // 2, SIZE])
def test_a_writer_that_dies_leaves_nothing(sent: int) -> None:
    """Wherever its connection ends before it publishes, the version is zeroed and the space comes back."""
    with Cluster(1) as cluster:
        client = cluster.client()
        with DataPeer(client) as peer:
            begun = peer.begin(b"k", CONTENT)
            assert begun.codes == (Code.OK,)
            assert not version_is_gone(client, begun)
            peer.send(CONTENT[blocks.EARLY_BYTES : max(sent, blocks.EARLY_BYTES)])
        wait_until(lambda: version_is_gone(client, begun), "the write is abandoned")
        await_free(cluster, client)
        assert not client.exist("k")


def test_a_writer_that_stalls_is_ended_at_its_deadline() -> None:
    """A peer that stops sending loses connection and write when its own deadline has passed."""
    with Cluster(1) as cluster:
        client = cluster.client()
        with DataPeer(client) as peer:
            begun = peer.begin(b"k", CONTENT, deadline_ms=3000)
            assert begun.codes == (Code.OK,)
            assert peer.has_ended()
            wait_until(lambda: version_is_gone(client, begun), "the write is abandoned")
            await_free(cluster, client)


def test_a_reader_that_stalls_is_ended_and_holds_nothing() -> None:
    """A peer that reads nothing is ended at its deadline; meanwhile its object can be removed and reused."""
    with Cluster(1, dram="16MB") as cluster:
        client = cluster.client()
        client.put("k", bulk_of("k", 12_000_000))
        segment = client.connection.actor.ranks[0].segment
        hit = client.connection.actor.reader.locate(b"k")
        assert hit is not None
        with DataPeer(client) as peer:
            fetch = blocks.Fetch(segment.id, (hit.record,), (hit.generation,), (hit.size,))
            peer.say(fetch, deadline_ms=1500)
            assert peer.hear() == blocks.Sending((Code.OK,))
            client.remove("k")
            client.put("other", bulk_of("other", 12_000_000))
            wait_until(lambda: cluster.rank_counters(client)[0]["remote_timed_out"] == 1, "it is ended")
            assert peer.has_ended()
        assert client.get("other") == bulk_of("other", 12_000_000)


def test_a_torn_object_is_said_to_be_torn() -> None:
    """An object that is removed while it travels ends with -3007 behind its bytes."""
    with Cluster(1, dram="16MB") as cluster:
        client = cluster.client()
        client.put("k", bulk_of("k", 12_000_000))
        hit = client.connection.actor.reader.locate(b"k")
        assert hit is not None
        with DataPeer(client) as peer:
            peer.say(blocks.Fetch(peer.segment, (hit.record,), (hit.generation,), (hit.size,)))
            assert peer.hear() == blocks.Sending((Code.OK,))
            client.remove("k")
            content = memoryview(bytearray(hit.size))
            peer.receive(content)
            sent = peer.hear()
            assert isinstance(sent, blocks.Sent)
            assert sent.codes == (Code.NOT_FOUND,)
            again = peer.ask(blocks.Fetch(peer.segment, (hit.record,), (hit.generation,), (hit.size,)))
            assert again == blocks.Sending((Code.NOT_FOUND,))
            assert peer.hear() == blocks.Sent((), ())


def test_what_arrives_damaged_is_not_published() -> None:
    """Bytes whose digest is another are refused with -3014 when they are to be published."""
    with Cluster(1) as cluster:
        client = cluster.client()
        with DataPeer(client) as peer:
            begun = peer.begin(b"k", CONTENT)
            peer.send(CONTENT[blocks.EARLY_BYTES :])
            peer.say(blocks.Landed((xxh3_64_intdigest(CONTENT) ^ 1,)))
            term = client.connection.actor.ranks[0].segment.term
            assert peer.ask(blocks.Publish(term, (0,))) == replies.Codes((Code.UNREACHABLE,))
            assert version_is_gone(client, begun)
            assert not client.exist("k")


def test_published_under_an_old_term_is_doubted() -> None:
    """A publication for a term that is not the rank's is answered -3010, and readable by nobody."""
    with Cluster(1) as cluster:
        client = cluster.client()
        with DataPeer(client) as peer:
            peer.begin(b"k", CONTENT)
            peer.land(CONTENT)
            assert peer.ask(blocks.Publish(5, (0,))) == replies.Codes((Code.UNKNOWN_SEQUENCE,))
        assert not client.exist("k")
        await_free(cluster, client)


def test_a_write_is_abandoned_on_request_and_the_connection_goes_on() -> None:
    """After an abandoned write the same connection writes another; ended blocks are -3018."""
    with Cluster(1) as cluster:
        client = cluster.client()
        with DataPeer(client) as peer:
            begun = peer.begin(b"k", CONTENT)
            peer.land(CONTENT)
            assert peer.ask(blocks.Abandon((0,))) == replies.Codes((Code.OK,))
            assert version_is_gone(client, begun)
            again = peer.begin(b"small", b"small")
            assert again.codes == (Code.OK,)
            peer.land(b"small")
            assert isinstance(peer.ask(blocks.Abandon((0,))), replies.Codes)


def test_a_write_larger_than_the_pool_is_refused_and_its_early_bytes_dropped() -> None:
    """A refused block costs its early bytes, and the connection goes on."""
    with Cluster(1) as cluster:
        client = cluster.client()
        with DataPeer(client) as peer:
            peer.say(blocks.Begin(peer.segment, 1, 77, 1, (0,), (b"k",), (1 << 40,)))
            peer.send(bytes(blocks.EARLY_BYTES))
            begun = peer.hear()
            assert isinstance(begun, blocks.Begun)
            assert begun.codes == (Code.TOO_LARGE,)
            assert peer.begin(b"k", CONTENT).codes == (Code.OK,)


def test_objects_are_sent_by_their_keys() -> None:
    """Whoever asks by key is told where each object lies that is here, has its size and fits, and gets it."""
    with Cluster(1) as cluster:
        client = cluster.client()
        client.put_batch(["a", "b"], [b"first", b"second"])
        hits = [client.connection.actor.reader.locate(key) for key in (b"a", b"b")]
        a, b = (hit for hit in hits if hit is not None)
        with DataPeer(client) as peer:
            for most, sizes, wanted in (
                (11, (0, 0, 0), (a, None, b)),
                (11, (5, 0, 6), (a, None, b)),
                (10, (0, 0, 0), (a, None, None)),
                (11, (6, 6, 6), (None, None, b)),
            ):
                sought = peer.ask(blocks.Seek(peer.segment, most, (b"a", b"none", b"b"), sizes))
                assert sought == blocks.Sought(
                    tuple(Code.OK if hit else Code.NOT_FOUND for hit in wanted),
                    tuple(hit.record if hit else 0 for hit in wanted),
                    tuple(hit.generation if hit else 0 for hit in wanted),
                    tuple(hit.size if hit else 0 for hit in wanted),
                )
                sent = []
                for hit in wanted:
                    content = memoryview(bytearray(hit.size if hit else 0))
                    peer.receive(content)
                    sent += [xxh3_64_intdigest(content)] if hit else []
                assert peer.hear() == blocks.Sent((Code.OK,) * len(sent), tuple(sent))


def other_segment(peer: DataPeer) -> list[Message]:
    """Requests that mean another rank."""
    other = peer.segment ^ 1
    return [
        blocks.Fetch(other, (0,), (2,), (1,)),
        blocks.Probe(other, (0,), (2,)),
        blocks.Seek(other, 1, (b"k",), (1,)),
    ]


def test_another_segment_is_not_served() -> None:
    """Whoever means a rank that had this address before is told -3018."""
    with Cluster(1) as cluster:
        client = cluster.client()
        with DataPeer(client) as peer:
            for message in other_segment(peer):
                answer = peer.ask(message)
                assert isinstance(answer, replies.Failure)
                assert answer.code == Code.NO_SUCH_RANK


def test_records_that_nobody_published_are_not_there() -> None:
    """Any record and generation may be asked for; only what is published is sent."""
    with Cluster(1) as cluster:
        client = cluster.client()
        with DataPeer(client) as peer:
            last = client.connection.actor.ranks[0].segment.layout.records
            numbers = (0, 1, last - 1, last, (1 << 64) - 1)
            for generation in (0, 1, 2, (1 << 64) - 1):
                generations = (generation,) * len(numbers)
                answer = peer.ask(blocks.Probe(peer.segment, numbers, generations))
                assert answer == replies.Codes((Code.NOT_FOUND,) * len(numbers))
                answer = peer.ask(blocks.Fetch(peer.segment, numbers, generations, (1,) * len(numbers)))
                assert answer == blocks.Sending((Code.NOT_FOUND,) * len(numbers))
                assert peer.hear() == blocks.Sent((), ())


NONSENSE = [
    b"\0" * 64,
    os.urandom(4096),
    b"GET / HTTP/1.1\r\n\r\n",
    struct.pack("!4sHI", b"MMC\x01", 65535, 1),
    struct.pack("!4sHI", b"MMC\x01", 3, 0xFFFFFFFF),
    struct.pack("!4sHI", b"MMC\x01", 3, 3) + b"abcdef",
]


@pytest.mark.parametrize("noise", NONSENSE, ids=range(len(NONSENSE)))
def test_noise_ends_its_connection_only(noise: bytes) -> None:
    """Whatever is said that is no message ends that connection; another is served as before."""
    with Cluster(1) as cluster:
        far = cluster.far_client()
        far.put("k", content_of("k"))
        with DataPeer(far) as peer, DataPeer(far) as other:
            peer.socket.settimeout(10)
            peer.socket.sendall(noise)
            peer.socket.shutdown(socket.SHUT_WR)
            assert peer.has_ended()
            assert other.ask(blocks.Probe(other.segment, (), ())) == replies.Codes(())
        assert far.get("k") == content_of("k")


def test_messages_out_of_their_order_end_the_connection() -> None:
    """A reply, a second begin, digests that nobody awaits, and blocks that there are not, are no requests."""
    with Cluster(1) as cluster:
        client = cluster.client()
        with DataPeer(client) as first:
            begin = blocks.Begin(first.segment, 1, 77, 1, (0,), (b"k",), (5,))
        wrong: list[Message] = [blocks.Sent((), ()), blocks.Landed((1,)), blocks.Publish(1, (0,))]
        for message in wrong:
            with DataPeer(client) as peer:
                peer.say(message)
                assert peer.has_ended()
        for message in (begin, blocks.Publish(1, (0, 0)), blocks.Abandon((7,))):
            with DataPeer(client) as peer:
                peer.begin(b"k", b"small")
                peer.land(b"small")
                peer.say(message)
                assert peer.has_ended()
        await_free(cluster, client)


def test_connections_beyond_the_limit_are_closed(tmp_path: Path) -> None:
    """A rank keeps to its limit of connections, and serves those that it has."""
    config = tmp_path / "few.toml"
    config.write_text("[data]\nconnections_max = 2\n", encoding="utf-8")
    with Cluster(1, config=str(config)) as cluster:
        client = cluster.client()
        with DataPeer(client) as first, DataPeer(client) as second:
            for peer in (first, second):
                assert peer.ask(blocks.Probe(peer.segment, (), ())) == replies.Codes(())
            with DataPeer(client) as third:
                assert third.has_ended()
            assert first.ask(blocks.Probe(first.segment, (), ())) == replies.Codes(())
