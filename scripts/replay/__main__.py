"""``python -m scripts.replay``: start a cluster, replay a trace, say how it went."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from mmc.config import load_config
from scripts.replay import room
from scripts.replay.arguments import GENERATED_REQUESTS, parse_arguments
from scripts.replay.cluster import Cluster
from scripts.replay.dealing import Engines
from scripts.replay.engine import EngineSettings
from scripts.replay.process import ReplayError
from scripts.replay.progress import Progress
from scripts.replay.report import report_lines
from scripts.replay.stopping import Stopped, StopSignals
from scripts.replay.tally import Tally
from scripts.replay.trace import TraceError, generate, reach, read_trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scripts.replay.arguments import Arguments
    from scripts.replay.tally import Figures
    from scripts.replay.trace import Request

_ENGINES = 2
_LOCAL_SERVICES = 2
_WRONG, _SENSELESS, _FAILED, _SIGNALLED = 1, 2, 3, 128


def main(words: Sequence[str] | None = None) -> int:
    """Replay; returns the exit status."""
    arguments = parse_arguments(words)
    stop = StopSignals()
    try:
        figures = _replay(arguments, _requests(arguments), stop)
    except TraceError as error:
        _say(str(error))
        return _SENSELESS
    except ReplayError as error:
        _say(str(error))
        return _FAILED
    except Stopped as signalled:
        return _SIGNALLED + signalled.number
    if arguments.json:
        print(json.dumps(figures))
    else:
        print("\n".join(report_lines(figures)))
    if figures["wrong_bytes"]:
        _say("wrong bytes were read")
        return _WRONG
    return 0


def _requests(arguments: Arguments) -> list[Request]:
    if arguments.trace is not None:
        return read_trace(arguments.trace, arguments.requests)
    return generate(arguments.requests or GENERATED_REQUESTS, arguments.seed)


def _replay(arguments: Arguments, requests: list[Request], stop: StopSignals) -> Figures:
    bound = reach(requests)
    dram = arguments.dram or _pool_bytes(bound.distinct, arguments.block_size)
    tally = Tally(arguments.block_size, _ENGINES)
    with Cluster(_LOCAL_SERVICES, dram, stop) as cluster:
        _say(f"a cluster serves at {cluster.meta_url}")
        settings = EngineSettings(cluster.meta_url, arguments.block_size, arguments.seed, arguments.profile)
        with Engines(_ENGINES, settings, stop) as engines, Progress(len(requests)) as progress:
            before = {"engines": engines.cpu_seconds(), **cluster.cpu_seconds()}
            for engine, outcome in engines.replay(requests):
                tally.add(engine, outcome)
                progress.show(tally.requests)
            after = {"engines": engines.cpu_seconds(), **cluster.cpu_seconds()}
        status = dict(cluster.status().counters)
    return {
        "source": str(arguments.trace or f"generated conversations (seed {arguments.seed})"),
        "engines": _ENGINES,
        "local_services": _LOCAL_SERVICES,
        "dram_bytes": dram,
        "block_bytes": arguments.block_size,
        **tally.figures(bound, engines.wall_s),
        "evictions": status["evictions"],
        "cpu_s": {name: seconds - before[name] for name, seconds in after.items()},
    }


def _pool_bytes(blocks: int, block_bytes: int) -> int:
    """Enough for all blocks, or what this host can spare; says so when that is less."""
    needed = room.needed_bytes(blocks, block_bytes, _LOCAL_SERVICES)
    allowed = room.allowed_bytes(load_config().local.segment_dir, _LOCAL_SERVICES)
    if needed > allowed:
        _say(
            f"{room.size_text(needed)} per local service would hold all blocks, "
            f"{room.size_text(allowed)} can be spared here: some will be evicted"
        )
    return min(needed, allowed)


def _say(sentence: str) -> None:
    print(f"quickstart: {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
