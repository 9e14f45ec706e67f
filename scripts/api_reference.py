"""Writes docs/api.md from signatures and docstrings: ``python -m scripts.api_reference``."""

from __future__ import annotations

import dataclasses
import inspect
import re
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from fnmatch import fnmatch
from itertools import compress
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import mmc
from mmc import aio, capi, log
from mmc.actors.client.asking import ObjectInfo
from mmc.config import load_config
from mmc.errors import SENTENCES, Code, error_for
from mmc.key_info import Direction, Medium
from mmc.view import View

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType

DOCUMENT = Path(__file__).parent.parent / "docs" / "api.md"
_WIDTH = 100
_SECTION = re.compile(r"(Args|Attributes|Returns|Raises):")
_ITEM = re.compile(r"(\S+): (.*)", re.DOTALL)
_ROLE = re.compile(r":(?:class|func|meth|mod):`([^`]+)`")
_CODE = re.compile(r"``(.+?)``")
_HEAD = """\
# The interfaces

Written by `python -m scripts.api_reference` from the signatures and docstrings; a test compares.

Three interfaces lead to the same cache. [`Client`](#client) and [`AsyncClient`](#asyncclient) take buffers
and raise exceptions. [`DistributedObjectStore`](#distributedobjectstore) has the names, arguments and codes
of the Python package `memcache_hybrid`; [migration.md](migration.md) says what differs.
[`mmc.capi`](#the-c-style-calls) has the C-style calls by name.

Keys are `str` or `bytes` of 1 to 255 bytes without NUL. Values have at least one byte. Sizes are bytes.
Memory that is handed in stays the caller's and must stay as it is until the call returns; nothing keeps a
reference to it afterwards.

In signatures `Key` is `str | bytes`, `BufferLike` whatever has contiguous bytes (`bytes`, `bytearray`,
`memoryview`, arrays of numpy), `Output` a list of integers or a ctypes array of them.
"""
_INTERNAL = {
    "Client.carry_out",
    "Client.check",
    "Client.run",
    "AsyncClient.carry_out",
    "capi.mmc_buffer.pieces",
    "capi.mmc_put_options.checked",
}
"""Public names that serve the package's own modules."""

_ELSEWHERE = {"LastError", "ReplicateConfig", "last_error", "AsyncClient"}
"""What ``mmc.capi`` and ``mmc.aio`` have from elsewhere in the page."""


# Docstrings


@dataclass(frozen=True, slots=True)
class Docstring:
    """A docstring taken apart.

    Attributes:
        text: its paragraphs without sections.
        sections: the text of each section, unindented, by its name.
    """

    text: str
    sections: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, text: str) -> Docstring:
        """Take apart what :func:`inspect.getdoc` gives."""
        prose: list[str] = []
        sections: dict[str, list[str]] = {}
        current = prose
        for line in text.splitlines():
            if heading := _SECTION.fullmatch(line):
                current = sections.setdefault(heading[1], [])
                continue
            if line and not line.startswith(" "):
                current = prose
            current.append(line)
        joined = {name: dedent("\n".join(lines)).strip() for name, lines in sections.items()}
        return cls("\n".join(prose).strip(), joined)

    def prose(self, link: Callable[[str], str]) -> str:
        """The paragraphs as Markdown; ``link`` makes a link of the name of something else."""
        paragraphs = re.split(r"\n{2,}", self.text)
        return "\n\n".join(part if _is_list(part) else spread(part, link) for part in paragraphs)

    def items(self, section: str) -> list[tuple[str, str]]:
        """Names and texts of a section that has one of each per line, or indented on further lines."""
        lines = re.split(r"\n(?! )", self.sections.get(section, ""))
        matched = (_ITEM.fullmatch(line) for line in lines)
        return [(one[1], one[2]) for one in matched if one]


def spread(text: str, link: Callable[[str], str]) -> str:
    """A paragraph on one line, as Markdown."""
    line = " ".join(text.split())
    return _CODE.sub(r"`\1`", _ROLE.sub(lambda found: link(found[1]), line))


def _is_list(paragraph: str) -> bool:
    return bool(re.match(r"\d+\. ", paragraph))


# What the page has


@dataclass(frozen=True, slots=True)
class Entry:
    """One class, function or method of the page.

    Attributes:
        title: its heading.
        thing: the object itself.
        owner: the title of its class or module, by which its references are looked up.
        members: its methods.
    """

    title: str
    thing: Any
    owner: str = ""
    members: tuple[Entry, ...] = ()

    @property
    def anchor(self) -> str:
        """The heading's name in links."""
        return anchor_of(self.title)

    @property
    def documentation(self) -> Docstring:
        """Its docstring; that of a class and of how one is made together."""
        text = inspect.getdoc(self.thing) or ""
        if is_made_by_callers(self.thing):
            text = f"{text}\n\n{inspect.getdoc(self.thing.__init__) or ''}"
        return Docstring.of(text)


def anchor_of(heading: str) -> str:
    """What GitHub makes of a heading for links."""
    kept = "".join(letter for letter in heading.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def is_made_by_callers(thing: object) -> bool:
    """Whether a class has a constructor of its own that callers are to use."""
    return thing is mmc.Client


def sections() -> dict[str, tuple[Entry, ...]]:
    """Everything that the page has, by the heading of its section."""
    return {
        "Clients": _entries(
            "", mmc.Client, mmc.AsyncClient, View, mmc.embedded, ObjectInfo, load_config, log.set_level
        ),
        "The store": _entries(
            "", mmc.DistributedObjectStore, mmc.LocalConfig, mmc.ReplicateConfig, mmc.KeyInfo,
            Direction, Medium, mmc.MetaService, mmc.MetaConfig,
        ),
        "The C-style calls": _of_module("capi", capi),
        "The C-style calls as coroutines": _of_module("aio", aio),
        "Errors": _entries(
            "", mmc.last_error, mmc.LastError, mmc.CacheError, mmc.InvalidArgument, mmc.AlreadyExists,
            mmc.NotFound,
        ),
    }  # fmt: skip


def _of_module(name: str, module: ModuleType) -> tuple[Entry, ...]:
    """Its functions, those of services first, then its classes, each in the order of the source."""
    things = [getattr(module, one) for one in module.__all__ if one not in _ELSEWHERE]
    found = [thing for thing in things if inspect.isclass(thing) or inspect.isfunction(thing)]
    found.sort(key=lambda thing: (inspect.isclass(thing), thing.__module__, inspect.getsourcelines(thing)[1]))
    return _entries(f"{name}.", *found)


def _entries(prefix: str, *things: type | Callable[..., object]) -> tuple[Entry, ...]:
    entries = []
    for thing in things:
        title = f"{prefix}{thing.__name__}"
        members = tuple(_methods(title, thing)) if inspect.isclass(thing) else ()
        entries.append(Entry(title, thing, title if members else prefix.removesuffix("."), members))
    return tuple(entries)


def _methods(title: str, kind: type) -> Iterator[Entry]:
    """Its public methods, those of its bases first."""
    seen: set[str] = set()
    if issubclass(kind, Enum):
        return
    for base in reversed(kind.__mro__):
        for name in vars(base):
            method = getattr(kind, name)
            full = f"{title}.{name}"
            if name.startswith("_") or name in seen or full in _INTERNAL:
                continue
            if inspect.isfunction(method) or inspect.ismethod(method):
                seen.add(name)
                yield Entry(full, method, title)


def entries() -> Iterator[Entry]:
    """Every entry of the page, methods too."""
    for some in sections().values():
        for entry in some:
            yield entry
            yield from entry.members


def target_of(name: str, owner: str, titles: set[str]) -> str:
    """The title that a reference in the docstring of something of ``owner`` means; "" if there is none."""
    plain = name.removeprefix("~")
    module = owner.split(".", maxsplit=1)[0]
    parts = plain.split(".")
    wanted = (f"{owner}.{plain}", f"{module}.{plain}", plain, ".".join(parts[-2:]), parts[-1])
    return next((one for one in wanted if one in titles), "")


# Rendering


def document() -> str:
    """The page."""
    page = sections()
    titles = {entry.title for entry in entries()}
    parts = [_HEAD, "## Contents\n", *_contents(page)]
    for heading, some in page.items():
        parts.append(f"\n## {heading}\n")
        module = {"capi": capi, "aio": aio}.get(some[0].owner)
        if module is not None:
            parts += [*_prose(Docstring.of(inspect.getdoc(module) or ""), some[0].owner, titles)]
        for entry in some:
            parts += _rendered(entry, 3, titles)
            for member in entry.members:
                parts += _rendered(member, 4, titles)
    parts += ["### Codes\n", *_codes()]
    return "\n".join(parts).rstrip() + "\n"


def _contents(page: dict[str, tuple[Entry, ...]]) -> Iterator[str]:
    for heading, some in page.items():
        yield f"- [{heading}](#{anchor_of(heading)})"
        for entry in some:
            members = ", ".join(
                f"[{one.title.removeprefix(entry.title + '.')}](#{one.anchor})" for one in entry.members
            )
            yield f"  - [`{entry.title}`](#{entry.anchor})" + (f": {members}" if members else "")
        if heading == "Errors":
            yield "  - [Codes](#codes)"


def _rendered(entry: Entry, depth: int, titles: set[str]) -> Iterator[str]:
    yield f"{'#' * depth} {entry.title}\n"
    thing = entry.thing
    if not inspect.isclass(thing):
        yield f"```python\n{signature_of(entry.title, thing)}\n```\n"
    elif is_made_by_callers(thing):
        yield f"```python\n{signature_of(entry.title, thing.__init__)}\n```\n"
    documentation = entry.documentation
    yield from _prose(documentation, entry.owner, titles)
    if inspect.isclass(thing):
        yield from _fields(thing, documentation, entry.owner, titles)


def _prose(documentation: Docstring, owner: str, titles: set[str]) -> Iterator[str]:
    link = _links(owner, titles)
    yield f"{documentation.prose(link)}\n"
    for heading, shown in (("Args", "Arguments"), ("Raises", "Raises")):
        if items := documentation.items(heading):
            yield f"{shown}:\n"
            yield from (f"- `{name}`: {spread(text, link)}" for name, text in items)
            yield ""
    if returned := documentation.sections.get("Returns"):
        yield f"Returns: {spread(returned, link)}\n"


def _links(owner: str, titles: set[str]) -> Callable[[str], str]:
    """What makes a link of a name as something of ``owner`` says it."""

    def link(name: str) -> str:
        title = target_of(name, owner, titles)
        return f"[`{title}`](#{anchor_of(title)})" if title else f"`{name.removeprefix('~')}`"

    return link


def signature_of(title: str, function: Callable[..., object]) -> str:
    """A signature on one line, or with a line for each argument where it is long."""
    signature = inspect.signature(function)
    shown = []
    star = False
    for one in signature.parameters.values():
        if one.name == "self":
            continue
        if one.kind is one.KEYWORD_ONLY and not star:
            star = True
            shown.append("*")
        annotation = f": {one.annotation}"
        default = "" if one.default is one.empty else f" = {value_of(one.default)}"
        shown.append(f"{one.name}{annotation}{default}")
    name = title.removeprefix("capi.").removeprefix("aio.").rsplit(".", maxsplit=1)[-1]
    prefix = "async " if is_asynchronous(function) else ""
    made = signature.return_annotation
    returned = "" if function.__name__ == "__init__" else f" -> {made}"
    line = f"{prefix}{name}({', '.join(shown)}){returned}"
    if len(line) <= _WIDTH:
        return line
    arguments = "".join(f"    {one},\n" for one in shown)
    return f"{prefix}{name}(\n{arguments}){returned}"


def is_asynchronous(function: Callable[..., object]) -> bool:
    """Whether a caller writes ``await`` or ``async for``."""
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def value_of(default: object) -> str:
    """A default as a caller would write it."""
    if isinstance(default, Enum):
        return f"{type(default).__name__}.{default.name}"
    if dataclasses.is_dataclass(default):
        return f"{type(default).__name__}()"
    return repr(default)


def _fields(kind: type, documentation: Docstring, owner: str, titles: set[str]) -> Iterator[str]:
    if issubclass(kind, IntEnum):
        yield "| name | number |\n|---|---|"
        yield from (f"| `{one.name}` | {one.value} |" for one in kind)
        yield ""
        return
    link = _links(owner, titles)
    meanings = documentation.items("Attributes")
    rows: list[tuple[str, str, str]] = []
    if dataclasses.is_dataclass(kind):
        for one in dataclasses.fields(kind):
            made = one.default_factory
            default = one.default if made is dataclasses.MISSING else made()
            rows.append((one.name, str(one.type), f"`{value_of(default)}`"))
    elif issubclass(kind, tuple):
        annotations = inspect.get_annotations(kind)
        rows = [(name, getattr(one, "__forward_arg__", str(one)), "") for name, one in annotations.items()]
    else:
        rows = [(name, "", "") for name, _ in meanings]
    if not rows:
        return
    shown_columns = [True, any(row[1] for row in rows), any(row[2] for row in rows), True]
    yield _row(compress(("field", "type", "default", "meaning"), shown_columns))
    yield _row(compress(("---",) * 4, shown_columns))
    for name, annotation, default in rows:
        meaning = next((text for pattern, text in meanings if fnmatch(name, pattern)), "")
        shown = f"`{annotation}`".replace("|", "\\|") if annotation else ""
        yield _row(compress((f"`{name}`", shown, default, spread(meaning, link)), shown_columns))
    yield ""


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _codes() -> Iterator[str]:
    yield "| code | name | sentence | exception |\n|---|---|---|---|"
    for code in Code:
        raised = "" if code == Code.OK else f"`{type(error_for(code, str(code))).__name__}`"
        yield f"| {code.value} | `{code.name}` | {SENTENCES[code]} | {raised} |"


if __name__ == "__main__":
    DOCUMENT.write_text(document(), encoding="utf-8")
