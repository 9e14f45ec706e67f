"""The simulated cluster driven by hypothesis: it chooses what is done and what goes wrong, and shrinks it."""

from contextlib import ExitStack
from random import Random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.simulation.chance import Mix
from tests.simulation.clients import ClientProcess
from tests.simulation.cluster import Cluster
from tests.simulation.ending import Ending
from tests.simulation.hosts import Spread
from tests.simulation.network import NOWHERE
from tests.simulation.outages import Outages
from tests.simulation.settings import ONE_HOST, Settings

TIMEOUT_S = 0.5
keys = st.integers(0, 2).map(lambda number: b"key %d" % number)
sizes = st.sampled_from((8, 700, 2000))
which = st.integers(0, 7)
away = st.sampled_from((0.0, 0.5, 12.0))
mixes = st.builds(
    Mix,
    lost=st.sampled_from((0.0, 0.1)),
    repeated=st.sampled_from((0.0, 0.2)),
    delayed=st.sampled_from((0.0, 0.2)),
    event_lost=st.sampled_from((0.0, 0.5)),
    delay_s=st.sampled_from((0.05, 0.5)),
    run_length=st.sampled_from((5.0, 100.0)),
    ordered=st.booleans(),
)


class ClusterMachine(RuleBasedStateMachine):
    """Operations and mishaps in any order; the checkers of the cluster look on."""

    def __init__(self) -> None:
        """No cluster yet."""
        super().__init__()
        self.cluster: Cluster | None = None
        self.outages: Outages | None = None
        self._in_place = ExitStack()

    @initialize(seed=st.integers(0, 1 << 32), mix=mixes, ranks=st.integers(1, 2), hosts=st.integers(1, 2))
    def begin(self, seed: int, mix: Mix, ranks: int, hosts: int) -> None:
        """A small cluster, its second host with a rank or without; the seed decides what the rules do not."""
        spread = ONE_HOST if hosts == 1 else Spread((0, 1), tuple(range(ranks)), (0, 1, 1))
        self._in_place.enter_context(spread.in_place())
        settings = Settings(ranks=ranks, capacity=8192, records=8, spread=spread)
        self.cluster = Cluster(seed, settings, mix, keys=3)
        self.outages = Outages(self.cluster, Random(seed))
        self.cluster.start()

    def _parts(self, number: int) -> tuple[Cluster, ClientProcess]:
        assert self.cluster is not None
        clients = self.cluster.living_clients()
        return self.cluster, clients[number % len(clients)]

    @rule(client=which, key=keys, size=sizes)
    def put(self, client: int, key: bytes, size: int) -> None:
        """A client begins to put."""
        cluster, caller = self._parts(client)
        cluster.operations.put(caller, [key], [size], 1, (), TIMEOUT_S)

    @rule(client=which, key=keys)
    def get(self, client: int, key: bytes) -> None:
        """A client begins to get."""
        cluster, caller = self._parts(client)
        cluster.operations.get(caller, [key], None, TIMEOUT_S)

    @rule(client=which, key=keys)
    def remove(self, client: int, key: bytes) -> None:
        """A client begins to remove."""
        cluster, caller = self._parts(client)
        cluster.operations.remove(caller, [key], TIMEOUT_S)

    @rule(client=which, key=keys)
    def view(self, client: int, key: bytes) -> None:
        """A client opens a view for a while."""
        cluster, caller = self._parts(client)
        cluster.operations.view(caller, key, 0.05, TIMEOUT_S)

    @rule(client=which, operations=st.integers(1, 60))
    def crash(self, client: int, operations: int) -> None:
        """A client will die within its next memory operations; another one comes."""
        cluster, victim = self._parts(client)
        if len(cluster.clients) < 8:
            cluster.add_client()
            cluster.arm_crash(victim, operations)

    @rule(target_of_cut=which)
    def cut(self, target_of_cut: int) -> None:
        """A client is unreachable for a while."""
        cluster, victim = self._parts(target_of_cut)
        cluster.network.isolate(victim.route, 0.3)

    @rule(client=which, key=keys)
    def lease(self, client: int, key: bytes) -> None:
        """A client begins to lease."""
        cluster, caller = self._parts(client)
        if key not in caller.leasing:
            cluster.operations.lease(caller, [key], 200, TIMEOUT_S)

    @rule(seconds=away)
    def restart_meta(self, seconds: float) -> None:
        """The meta service dies and comes back."""
        assert self.cluster is not None
        self.cluster.restart_meta(seconds)

    @rule(number=which, seconds=away, keeps_segment=st.booleans())
    def restart_rank(self, number: int, seconds: float, *, keeps_segment: bool) -> None:
        """A rank dies and comes back, with its segment or without."""
        assert self.cluster is not None
        ranks = self.cluster.ranks
        self.cluster.restart_rank(ranks[number % len(ranks)], seconds, keeps_segment=keeps_segment)

    @rule(seconds=away, of_events=st.booleans())
    def restart_broker(self, seconds: float, *, of_events: bool) -> None:
        """A broker dies and comes back."""
        assert self.cluster is not None
        network = self.cluster.network
        self.cluster.restart_broker(network.events if of_events else network.requests, seconds)

    @rule(number=which, seconds=st.sampled_from((0.05, 3.0)))
    def stop(self, number: int, seconds: float) -> None:
        """A process stands still for a while."""
        assert self.cluster is not None
        processes = (self.cluster.meta, *self.cluster.ranks, *self.cluster.living_clients())
        processes[number % len(processes)].stop(seconds)

    @rule(client=which)
    def get_all(self, client: int) -> None:
        """A client begins to get every key at once."""
        cluster, caller = self._parts(client)
        cluster.operations.get(caller, cluster.history.keys[:3], None, TIMEOUT_S)

    @rule(seconds=away, one_way=st.booleans(), of_meta=st.booleans())
    def part(self, seconds: float, *, one_way: bool, of_meta: bool) -> None:
        """The second host is cut off from the first, and perhaps from the meta service."""
        assert self.outages is not None
        self.outages.part({1}, {0, NOWHERE} if of_meta else {0}, seconds, one_way=one_way)

    @rule(number=st.integers(0, 1), seconds=away)
    def kill_host(self, number: int, seconds: float) -> None:
        """One of two hosts dies with all that it holds, and comes back."""
        assert self.cluster is not None
        assert self.outages is not None
        if number < len(self.cluster.hosts):
            self.outages.kill_host(self.cluster.hosts[number], seconds)

    @rule(number=which)
    def break_connection(self, number: int) -> None:
        """A connection between hosts breaks or falls silent."""
        assert self.cluster is not None
        wires = self.cluster.wires.open_wires()
        if wires:
            wires[number % len(wires)].break_down()

    @rule(seconds=st.sampled_from((0.0005, 0.01, 0.3)))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        assert self.cluster is not None
        self.cluster.world.run_for(seconds)

    def teardown(self) -> None:
        """In the end everything is accounted for."""
        if self.cluster is not None:
            with self._in_place, self.cluster:
                Ending(self.cluster).check()


TestClusterMachine = ClusterMachine.TestCase
TestClusterMachine.settings = settings(max_examples=12, stateful_step_count=30)
