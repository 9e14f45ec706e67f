"""The command line of the replay."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mmc import InvalidArgument
from mmc.config import parse_size
from scripts.replay.content import WORD

if TYPE_CHECKING:
    from collections.abc import Sequence

GENERATED_REQUESTS = 2000
"""Requests of a generated trace, unless their number is given."""

_BLOCK_MOST = 1 << 30

_EPILOG = """\
Without --trace, conversations are generated that resemble recorded ones.  A trace has one JSON
object a line; its hash_ids are the ids of the prompt's blocks, in order, for example
  {"hash_ids": [0, 14, 15, 16]}
Exit status: 0; 1 a wrong byte was read; 2 the arguments or the trace make no sense; 3 a process
failed.
"""


class Arguments(argparse.Namespace):
    """What was asked for."""

    trace: Path | None
    block_size: int
    dram: int | None
    requests: int | None
    seed: int
    profile: str
    json: bool


def parse_arguments(words: Sequence[str] | None = None) -> Arguments:
    """The arguments; ends the process with status 2 and a sentence when they make no sense."""
    parser = argparse.ArgumentParser(
        prog="quickstart",
        description="Start MemCache on this host, replay LLM requests on it with two engine "
        "processes, check every byte that is read, and say how it went.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--trace", type=Path, metavar="FILE", help="replay these requests")
    parser.add_argument("--block-size", type=_block_size, default="64KB", metavar="SIZE",
                        help="bytes of a block, like 64KiB (the default) or 1MB")  # fmt: skip
    parser.add_argument("--dram", type=_size, metavar="SIZE",
                        help="pool of each local service; default: enough for all blocks, but at "
                        "most 60 %% of the free shared memory in all")  # fmt: skip
    parser.add_argument("--requests", type=_count, metavar="N",
                        help="replay only the first N; default: all of a trace, "
                        f"{GENERATED_REQUESTS:,} generated ones")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, metavar="N",
                        help="of the generated requests and of the blocks' bytes")  # fmt: skip
    parser.add_argument("--profile", default="", metavar="PATH",
                        help="write each engine's cProfile to PATH.0 and PATH.1")  # fmt: skip
    parser.add_argument("--json", action="store_true",
                        help="print one JSON object instead of the report")  # fmt: skip
    return parser.parse_args(words, namespace=Arguments())


def _size(text: str) -> int:
    try:
        size = parse_size(text, "size")
    except InvalidArgument as error:
        raise argparse.ArgumentTypeError(error.sentence) from None
    if not size:
        raise argparse.ArgumentTypeError("a size must be above 0")
    return size


def _block_size(text: str) -> int:
    size = _size(text)
    if size % WORD or size > _BLOCK_MOST:
        raise argparse.ArgumentTypeError(f"a block has a multiple of {WORD} bytes, at most 1 GiB, not {size}")
    return size


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)
