"""Two hosts: what each puts the other gets, and what holds when one of them dies, is cut off or returns."""

from __future__ import annotations

import signal

from mmc.cache.membership import MemberState
from mmc.errors import Code
from tests.integration.hosts import Engine, HostCluster, on_several_hosts
from tests.integration.processes import wait_until

pytestmark = on_several_hosts()

LARGE = 3_000_001
LONG_MS = 60_000


def is_given_up(engine: Engine, rank: int) -> bool:
    """Whether a client has heard that a rank is no member any more."""
    return rank not in engine.states()


def is_live(engine: Engine, rank: int) -> bool:
    """Whether a client has heard that a rank is live."""
    return engine.states().get(rank) == MemberState.LIVE


def test_what_one_host_puts_the_other_gets() -> None:
    """S1: objects of either host are read on both, lie where they were put, and can be removed."""
    with HostCluster() as cluster:
        engines = [cluster.engine(host) for host in cluster.hosts]
        for rank, (mine, others) in enumerate((engines, engines[::-1])):
            small, large = [f"{rank}-{at}" for at in range(50)], [f"{rank}-large"]
            assert set(mine.put(small)) == set(mine.put(large, LARGE)) == {Code.OK}
            assert set(others.get(small)) == set(others.get(large, LARGE)) == {Code.OK}
            assert set(mine.get(small)) == set(mine.get(large, LARGE)) == {Code.OK}
            assert mine.ranks_of(small + large) == [[rank]] * 51
            assert set(others.remove(small + large)) == {Code.OK}
            assert set(mine.get(small + large)) == {Code.NOT_FOUND}


def test_a_host_that_dies_takes_only_what_it_alone_had() -> None:
    """S2: replicated keys come from the survivor in the same call, others are -3007 once it is given up."""
    with HostCluster() as cluster:
        first, second = (cluster.engine(host) for host in cluster.hosts)
        single, double, its_own = ([f"{name}-{at}" for at in range(20)] for name in "sdo")
        assert set(first.put(single)) == set(second.put(its_own)) == {Code.OK}
        assert set(first.put(double, replicas=2)) == {Code.OK}
        assert [sorted(ranks) for ranks in first.ranks_of(double)] == [[0, 1]] * 20
        assert set(second.get([*single, *double])) == {Code.OK}
        third = cluster.engine(cluster.control)
        cluster.kill_host(0)
        assert set(third.get(double, timeout=10)) == {Code.OK}
        assert set(second.get(double, timeout=10)) == {Code.OK}
        assert set(third.get(single, timeout=1)) <= {Code.UNREACHABLE, Code.TIMED_OUT, Code.NOT_FOUND}
        wait_until(lambda: is_given_up(second, 0), "it is given up")
        for engine in (second, third):
            assert set(engine.get(single)) == {Code.NOT_FOUND}
            assert set(engine.get([*double, *its_own])) == {Code.OK}
        assert set(second.put(single)) == {Code.OK}


def test_a_host_that_returns_within_its_grace_has_its_objects() -> None:
    """L3: killed, and back on the same memory, its rank has every object that was not removed meanwhile."""
    with HostCluster(grace_ms=LONG_MS) as cluster:
        first, second = (cluster.engine(host) for host in cluster.hosts)
        keys, large, both = [f"k{at}" for at in range(30)], ["large"], [f"b{at}" for at in range(10)]
        assert set(first.put(keys)) == set(first.put(large, LARGE)) == {Code.OK}
        assert set(second.put(both, replicas=2)) == {Code.OK}
        cluster.kill_host(0)
        wait_until(lambda: not is_live(second, 0), "it is missed")
        assert set(second.remove(both)) == {Code.NO_SUCH_RANK}
        cluster.hosts[0].mend()
        cluster.ranks[0].start()
        wait_until(lambda: is_live(second, 0), "it is back")
        assert set(second.get([*keys, *both])) == set(second.get(large, LARGE)) == {Code.OK}
        assert set(cluster.engine(cluster.hosts[0]).get(keys)) == {Code.OK}
        assert set(second.remove([*keys, *large, *both])) == {Code.OK}


def test_nothing_removed_returns_with_a_host_that_was_given_up() -> None:
    """S8: a host that was cut off for longer than its grace comes back empty, and serves again."""
    with HostCluster() as cluster:
        first, second = (cluster.engine(host) for host in cluster.hosts)
        keys, both = [f"k{at}" for at in range(20)], [f"b{at}" for at in range(20)]
        assert set(first.put(keys)) == set(first.put(both, replicas=2)) == {Code.OK}
        cluster.hosts[0].cut()
        wait_until(lambda: is_given_up(second, 0), "it is given up")
        assert set(second.remove(both)) == {Code.OK}
        assert set(second.put(both[:10])) == {Code.OK}
        cluster.hosts[0].mend()
        wait_until(lambda: is_live(second, 0), "it is back")
        wait_until(lambda: is_live(first, 0), "its own client has heard")
        for engine in (first, second, cluster.engine(cluster.hosts[0])):
            assert set(engine.get([*keys, *both[10:]])) == {Code.NOT_FOUND}
            assert set(engine.get(both[:10])) == {Code.OK}
        assert set(first.put(keys)) == {Code.OK}
        assert set(second.get(keys)) == {Code.OK}


def test_a_stalled_host_is_passed_over_within_the_same_call() -> None:
    """A get whose first replica is on a stopped rank, or behind a cut link, is served by the next."""
    with HostCluster(3, serve_ms=LONG_MS) as cluster:
        writer, reader = cluster.engine(cluster.hosts[0]), cluster.engine(cluster.control)
        keys = [f"k{at}" for at in range(30)]
        assert set(writer.put(keys, replicas=2, preferred=[1, 2])) == {Code.OK}
        assert set(reader.get(keys)) == {Code.OK}
        with cluster.ranks[1].stopped():
            assert set(reader.get(keys, timeout=10)) == {Code.OK}
            assert set(writer.get(keys, timeout=10)) == {Code.OK}
        wait_until(lambda: is_live(reader, 1), "it goes on")
        cluster.hosts[2].cut()
        assert set(reader.get(keys, timeout=10)) == {Code.OK}
        cluster.hosts[2].mend()
        cluster.kill_host(1)
        assert set(reader.get(keys, timeout=10)) == {Code.OK}


def test_a_partition_heals() -> None:
    """Hosts that see one another but not the meta service answer with codes, and go on when it is over."""
    with HostCluster(grace_ms=LONG_MS) as cluster:
        first, second = (cluster.engine(host) for host in cluster.hosts)
        assert first.put(["before"]) == [Code.OK]
        for host in cluster.hosts:
            host.set_apart()
        assert first.get(["before"]) == [Code.OK]
        assert set(first.put(["meanwhile"], timeout=1)) <= {
            Code.TIMED_OUT, Code.META_UNREACHABLE, Code.UNKNOWN_SEQUENCE, Code.UNREACHABLE,
        }  # fmt: skip
        for host in cluster.hosts:
            host.mend()
        wait_until(lambda: is_live(second, 0) and is_live(second, 1), "they are heard again")
        assert set(second.get(["before"])) == {Code.OK}
        assert set(second.put(["after"])) == {Code.OK}
        assert first.get(["after"]) == [Code.OK]


def test_hampered_links_tear_nothing() -> None:
    """S1: over links that are slow and lose frames every transfer ends with right bytes or a code."""
    with HostCluster(dram="64MB", serve_ms=LONG_MS) as cluster:
        first, second = (cluster.engine(host) for host in cluster.hosts)
        for host in cluster.hosts:
            host.hamper()
        for turn in range(4):
            keys = [f"{turn}-{at}" for at in range(8)]
            assert set(first.put(keys, 200_000, preferred=[1], timeout=60)) == {Code.OK}
            assert set(first.get(keys, 200_000, timeout=60)) == {Code.OK}
            assert set(second.get(keys, 200_000, timeout=60)) == {Code.OK}
        for host in cluster.hosts:
            host.unhamper()
        assert set(first.get(keys, 200_000)) == {Code.OK}


def test_a_meta_service_that_dies_is_missed_by_no_reader_of_its_host() -> None:
    """L3: while it is gone each host reads what it has; when it is back all hosts read everything."""
    with HostCluster() as cluster:
        first, second = (cluster.engine(host) for host in cluster.hosts)
        keys = [f"k{at}" for at in range(20)]
        assert set(first.put(keys)) == {Code.OK}
        assert set(second.get(keys)) == {Code.OK}
        cluster.meta.signal(signal.SIGKILL)
        assert set(first.get(keys)) == set(second.get(keys)) == {Code.OK}
        cluster.meta.start()
        wait_until(lambda: set(second.exist(keys)) == {Code.OK}, "it knows every object again")
        assert set(cluster.engine(cluster.control).get(keys)) == {Code.OK}


def test_replicas_lie_on_distinct_hosts_and_preferred_ranks() -> None:
    """S7: one of two ranks here has a replica, the other lies elsewhere; preferred ranks have theirs."""
    with HostCluster() as cluster:
        cluster.add_rank(2, cluster.hosts[0])
        engine, far = cluster.engine(cluster.hosts[0]), cluster.engine(cluster.hosts[1])
        wait_until(lambda: all(is_live(engine, rank) for rank in range(3)), "all have joined")
        keys = [f"k{at}" for at in range(30)]
        assert set(engine.put(keys, replicas=2)) == {Code.OK}
        ranks = [set(found) for found in engine.ranks_of(keys)]
        assert all(len(found) == 2 and 1 in found for found in ranks)
        assert set.union(*ranks) == {0, 1, 2}
        for preferred in ([0, 2], [1], [2, 1], [1, 0, 2]):
            keys = [f"{preferred}-{at}" for at in range(5)]
            assert set(engine.put(keys, replicas=len(preferred), preferred=preferred)) == {Code.OK}
            assert [set(found) for found in engine.ranks_of(keys)] == [set(preferred)] * 5
            assert set(far.get(keys)) == {Code.OK}
        assert engine.put(["too many"], replicas=4) == [Code.NO_SPACE]
        assert engine.put(["nobody's"], preferred=[7]) == [Code.NO_SUCH_RANK]


def test_what_a_full_host_cannot_take_goes_to_others() -> None:
    """Puts stay on their own host until nothing there can be evicted, and then go where room is."""
    with HostCluster(3) as cluster:
        engine, other = cluster.engine(cluster.hosts[0]), cluster.engine(cluster.hosts[1])
        size = 1 << 20
        held = [f"held-{at}" for at in range(9)]
        assert set(other.put(held, size)) == {Code.OK}
        assert set(other.ask("lease", keys=held, ttl_ms=LONG_MS)) == {Code.OK}
        mine: list[str] = []
        while len(mine) < 40:
            key = f"mine-{len(mine)}"
            assert engine.put([key], size, timeout=4) == [Code.OK]
            assert engine.ask("lease", keys=[key], ttl_ms=LONG_MS) == [Code.OK]
            mine.append(key)
            where = engine.ranks_of([key])[0][0]
            if where != 0:
                break
        assert len(mine) > 10
        assert where in (1, 2)
        assert engine.put(["insisted"], size, preferred=[0], timeout=2) == [Code.NO_SPACE]
        assert set(other.get([*mine, *held], size)) == {Code.OK}


def test_replicas_of_ranks_that_are_not_reached_go_to_others() -> None:
    """A put of replicas whose rank is dead, or stands still, succeeds elsewhere within the same call."""
    with HostCluster(3, serve_ms=LONG_MS) as cluster:
        engine = cluster.engine(cluster.hosts[0])
        cluster.kill_host(1)
        keys = [f"k{at}" for at in range(10)]
        assert set(engine.put(keys, replicas=2, timeout=20)) == {Code.OK}
        assert [set(ranks) for ranks in engine.ranks_of(keys)] == [{0, 2}] * 10
        cluster.hosts[1].mend()
        cluster.ranks[1].start()
        wait_until(lambda: is_live(engine, 1), "it is back")
        with cluster.ranks[0].stopped():
            keys = [f"n{at}" for at in range(100)]
            assert set(engine.put(keys, 60_000, replicas=2, timeout=20)) == {Code.OK}
        assert all({1, 2} & set(ranks) for ranks in engine.ranks_of(keys))
        assert set(engine.get(keys, 60_000)) == {Code.OK}


def test_a_host_is_drained_over_the_network() -> None:
    """Its objects go to ranks of other hosts, where every byte is read."""
    with HostCluster(3, "32MB") as cluster:
        engine, far = cluster.engine(cluster.hosts[0]), cluster.engine(cluster.hosts[1])
        keys = [f"k{at}" for at in range(40)]
        assert set(engine.put(keys, 200_000)) == {Code.OK}
        assert engine.ranks_of(keys) == [[0]] * 40
        far.ask("drain", rank=0)
        wait_until(lambda: far.ask("drain_state", rank=0) == "drained", "it is drained", 60.0)
        assert all(0 not in ranks for ranks in far.ranks_of(keys))
        cluster.kill_host(0)
        assert set(far.get(keys, 200_000)) == {Code.OK}
