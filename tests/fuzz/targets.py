"""What there is to be fuzzed, and the strings of bytes kept for each, as lines of hexadecimal digits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

TARGETS = {
    "wire": "frames into the codec",
    "meta": "messages of three peers into a meta service",
    "rank": "messages and stores of strangers into a local service and its segment",
    "client": "answers, events and stores of strangers into a client, its calls and its segments",
    "data": "bytes of peers into a data server, stores of strangers into its segment",
    "carrier": "answers of a data server into a client's fetches, probes and uploads",
    "segment": "a segment of arbitrary words under a reader",
}
"""The name of each is its module's, without ``_target``."""
_CORPUS = Path(__file__).with_name("corpus")


def kept(target: str) -> list[bytes]:
    """The strings that are kept for a target."""
    path = _CORPUS / f"{target}.txt"
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    return [bytes.fromhex(line) for line in lines]


def keep(target: str, strings: Iterable[bytes]) -> None:
    """Keep these strings for a target, and no others."""
    lines = sorted({string.hex() for string in strings}, key=lambda line: (len(line), line))
    text = "".join(f"{line}\n" for line in lines if line)
    (_CORPUS / f"{target}.txt").write_text(text, encoding="ascii")
