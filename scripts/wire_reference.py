"""Writes the tables of docs/wire.md from the declarations of the messages: ``scripts/wire_reference.py``."""

from __future__ import annotations

import inspect
from pathlib import Path

from mmc.wire import blocks, codec, replies, requests
from mmc.wire.operations import CommandKind, DrainAct, DrainState, Message, Operation, PeerKind

DOCUMENT = Path(__file__).parent.parent / "docs" / "wire.md"
BEGIN = "<!-- The rest of this page is written by scripts/wire_reference.py from mmc/wire. -->"


def tables() -> str:
    """Every message with its number, fields and shapes, in Markdown."""
    groups = (
        ("Requests to the meta service", requests.REQUESTS_TO_META),
        ("Requests to a rank", requests.REQUESTS_TO_RANK),
        ("Replies", replies.REPLIES),
        ("Events", replies.EVENTS),
        ("Requests to a data server", blocks.REQUESTS_TO_DATA),
        ("Replies of a data server", blocks.REPLIES_OF_DATA),
    )
    parts = [_group(title, kinds) for title, kinds in groups]
    parts.append(_numbers("Command kinds", CommandKind))
    parts.append(_numbers("Drain acts", DrainAct))
    parts.append(_numbers("Drain states", DrainState))
    parts.append(_numbers("Peer kinds", PeerKind))
    return "\n".join(parts)


def _group(title: str, kinds: tuple[type[Message], ...]) -> str:
    lines = [f"## {title}", ""]
    for kind in kinds:
        plan = codec.PLANS[kind.operation]
        number = Operation(kind.operation)
        lines += [f"### {number.value} {kind.__name__}", "", inspect.cleandoc(kind.__doc__ or ""), ""]
        if plan.names:
            lines += ["| field | shape |", "|---|---|"]
            lines += [
                f"| `{name}` | {shape.name} |" for name, shape in zip(plan.names, plan.shapes, strict=True)
            ]
        else:
            lines += ["No fields."]
        notes = []
        if len(kind.aligned) > 1:
            notes.append(f"One length: {', '.join(f'`{name}`' for name in kind.aligned)}.")
        if kind.mutates:
            notes.append("Mutates: its reply is stored for retries.")
        lines += ["", *notes, ""] if notes else [""]
    return "\n".join(lines)


def _numbers(title: str, kinds: type[CommandKind | DrainAct | DrainState | PeerKind]) -> str:
    lines = [f"## {title}", "", "| number | name |", "|---|---|"]
    lines += [f"| {kind.value} | {kind.name.lower()} |" for kind in kinds]
    return "\n".join([*lines, ""])


def document(current: str) -> str:
    """The page with its tables as the code has them."""
    head, found, _ = current.partition(BEGIN)
    assert found, f"{DOCUMENT.name} has lost its marker"
    return f"{head}{BEGIN}\n\n{tables()}"


if __name__ == "__main__":
    DOCUMENT.write_text(document(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
