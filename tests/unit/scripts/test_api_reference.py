"""docs/api.md says what the code does, and leaves no failure unsaid."""

import inspect
import re

from mmc.errors import Code
from scripts.api_reference import DOCUMENT, Entry, document, entries, target_of

CANNOT_FAIL = {
    "AsyncClient.close",
    "Client.close",
    "DistributedObjectStore.close",
    "DistributedObjectStore.get_local_service_id",
    "KeyInfo.gva_list",
    "KeyInfo.loc_list",
    "KeyInfo.size",
    "KeyInfo.type_list",
    "ReplicateConfig.preferred",
    "View.close",
    "capi.mmcc_uninit",
    "capi.mmcs_local_service_stop",
    "capi.mmcs_meta_service_stop",
    "last_error",
}
STATED = re.compile(r"-[13]\d{0,3}\b")
REFERENCE = re.compile(r":(?:meth|func):`([^`]+)`")


def callables() -> list[Entry]:
    """Every function and method of the page."""
    return [entry for entry in entries() if not inspect.isclass(entry.thing)]


def states_errors(entry: Entry, by_title: dict[str, Entry], seen: frozenset[str] = frozenset()) -> bool:
    """Whether a docstring names a code or an exception, or refers to one that does."""
    text = inspect.getdoc(entry.thing) or ""
    if STATED.search(text) or "Raises:" in text:
        return True
    titles = [target_of(name, entry.owner, set(by_title)) for name in REFERENCE.findall(text)]
    return any(
        states_errors(by_title[title], by_title, seen | {entry.title})
        for title in titles
        if title and title not in seen
    )


def test_the_api_reference_is_that_of_the_code() -> None:
    """Every signature, field, default and sentence of docs/api.md is as in the code (else: run it)."""
    assert DOCUMENT.read_text(encoding="utf-8") == document(), "run: python -m scripts.api_reference"


def test_everything_public_has_a_docstring() -> None:
    """Each class, function and method of the page says itself what it is, not its base class of Python."""
    assert [one.title for one in entries() if not (one.thing.__doc__ or "").strip()] == []


def test_what_can_fail_says_how() -> None:
    """Each function and method names its codes or exceptions, or refers to one that does."""
    by_title = {entry.title: entry for entry in entries()}
    silent = [one.title for one in callables() if not states_errors(one, by_title)]
    assert sorted(set(silent) - CANNOT_FAIL) == []
    assert set(by_title) >= CANNOT_FAIL, "these are gone"


def test_only_documented_codes_are_named() -> None:
    """Each code that a docstring of the page names is one of the documented codes."""
    known = {str(code.value) for code in Code}
    named = {code for one in entries() for code in STATED.findall(inspect.getdoc(one.thing) or "")}
    assert named <= known


def test_every_link_within_the_page_leads_somewhere() -> None:
    """Each link to a heading names one that the page has once, and none of the docstrings' markup is left."""
    page = document()
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    anchors = [
        "".join(c for c in one.lower() if c.isalnum() or c in " -_").replace(" ", "-") for one in headings
    ]
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= set(anchors)
    assert re.findall(r":(?:meth|func|class|mod):", page) == []


def test_every_field_of_the_settings_has_a_meaning() -> None:
    """Each row of a table of fields says what the field means."""
    rows = re.findall(r"^\| `(\w+)` \|(?:.*\|)?(.*)\|$", document(), re.MULTILINE)
    assert [name for name, meaning in rows if not meaning.strip() and not name.isupper()] == []
