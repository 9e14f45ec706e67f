"""``python -m scripts.crashing``: kill, stop and restart services and clients under a verifying load.

A cluster of its own (``mmc up``) serves clients that put, get, view, lease and remove objects of 4 KiB to
3 MiB.  What is acknowledged is written down outside of the clients; what an object holds is a function of its
key; so each client checks what all of them were told, and takes over what its earlier lives have left.
First the rate without faults is measured; then processes are killed, stopped for a while, and restarted, as
drawn from a seed.  With ``--hosts`` each local service and client is on a host of its own, and hosts are
killed as wholes, cut off, set apart in pairs, and have their cables hampered.

In the end every acknowledged object is read once more, everything is removed, and nothing may be left: of
space, leases, pins, sessions, descriptors, threads, processes, files.  Exits with 1 when anything is wrong.
"""

from __future__ import annotations

import argparse
import random
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from mmc.config import parse_size
from scripts.crashing.faults import CLIENT, HOST, draw_faults
from scripts.crashing.figures import more_than
from scripts.crashing.fleet import Fleet
from scripts.crashing.ground import UP, Ground
from scripts.crashing.ledger import Ledger
from scripts.crashing.load import Settings
from scripts.crashing.report import Spans, tell
from scripts.crashing.run import Run
from scripts.crashing.wide import WideGround
from scripts.replay.exit_status import exit_status

if TYPE_CHECKING:
    from scripts.replay.stopping import StopSignals

_LIVE_SHARE = 0.4
_HOSTS_HELP = """so many hosts, as network namespaces, with a local service and a client on each, whose cables
are cut, too; needs root (0: this host alone)"""


def crash(arguments: argparse.Namespace, stop: StopSignals) -> bool:
    """One run; whether nothing was wrong."""
    dram = parse_size(arguments.dram, "--dram")
    ranks, where = arguments.hosts or arguments.ranks, f" on {arguments.hosts} hosts" * bool(arguments.hosts)
    clients = max(arguments.hosts, arguments.clients)
    live_bytes = int(_LIVE_SHARE * dram * ranks / clients)
    print(f"seed {arguments.seed}, {ranks} local services, {clients} clients{where}", flush=True)
    kind = WideGround if arguments.hosts else Ground
    with kind(ranks, dram, stop, arguments.logs) as ground, ExitStack() as ending:
        before = ground.steady_holdings()
        victims = [name for name in ground.pids() if name != UP]
        victims += [f"{CLIENT} {hand}" for hand in range(clients)]
        hosts = ground.hosts if isinstance(ground, WideGround) else []
        first = Settings(ground.meta_url, str(ground.journals), 0, 0, arguments.seed, live_bytes,
                         arguments.pause_ms / 1000, arguments.timeout)  # fmt: skip
        fleet = Fleet(first, range(clients), [host.prefix for host in hosts] or ((),))
        ending.callback(fleet.end_by_force)
        run = Run(ground, fleet, Ledger(ground.journals))
        undisturbed = run.healthy(arguments.healthy)
        chance = random.Random(arguments.seed)
        faults = draw_faults(chance, arguments.seconds, arguments.kills, victims, arguments.longest_stop,
                             [f"{HOST} {number}" for number in range(len(hosts))])  # fmt: skip
        under_fire = run.under_fire(faults, arguments.seconds)
        spans = Spans(undisturbed, under_fire, run.healthy(arguments.healthy))
        run.audit()
        run.clear()
        leaks = [*ground.settle(1), *more_than(before, ground.steady_holdings()), *ground.end()]
    return tell(run, spans, leaks, arguments.timeout, demands_rate=not arguments.any_rate)


def main() -> int:
    """Parse and run."""
    parser = argparse.ArgumentParser(prog="crash", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--seconds", type=float, default=60.0, help="how long there are faults (60)")
    parser.add_argument("--kills", type=int, default=6, help="at least so many kills (6)")
    parser.add_argument(
        "--longest-stop", type=float, default=6.0, help="seconds that a process is stopped (6)"
    )
    parser.add_argument("--healthy", type=float, default=10.0, help="seconds without, before and after (10)")
    parser.add_argument("--clients", type=int, default=3, help="client processes (3)")
    parser.add_argument("--ranks", type=int, default=2, help="local services (2)")
    parser.add_argument("--hosts", type=int, default=0, help=_HOSTS_HELP)
    parser.add_argument("--dram", default="256MB", help="the pool of each (256MB)")
    parser.add_argument("--timeout", type=float, default=5.0, help="deadline of every call, in seconds (5)")
    parser.add_argument("--pause-ms", type=float, default=1.0, help="a client's pause after a call (1)")
    parser.add_argument("--any-rate", action="store_true", help="how fast it goes is no reason to fail")
    parser.add_argument("--logs", default="", help="a directory for the logs of services")
    arguments = parser.parse_args()
    return exit_status("crash", lambda stop: crash(arguments, stop))


if __name__ == "__main__":
    sys.exit(main())
