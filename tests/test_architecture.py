"""Style as tests: each ban names what to write instead."""

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("mmc", "brokers", "scripts")
PURE = (
    "mmc/actors",
    "mmc/cache",
    "mmc/wire",
    "mmc/segments",
    "mmc/limits.py",
    "mmc/identifiers.py",
    "mmc/errors.py",
)
IMPURE = {ROOT / "mmc/segments" / f"{stem}.py" for stem in ("directory", "lockfile", "mapping")}
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
EVERYTHING = {"Exception", "BaseException"}

BANS = {
    r"\b(un)?pack_(into|from)\b": ("mmc/segments", "it tears: use a word of memoryview.cast('Q')"),
    r"unittest\.mock|unittest import mock": ("", "write a fake that the conformance suite proves"),
    r"multiprocessing\.shared_memory|multiprocessing import shared_memory": (
        "",
        "it unlinks a living service's segment: map the file with mmc.segments",
    ),
    r"\btime\.sleep\(|from time import .*\bsleep\b": ("tests", "wait for the event, with a limit"),
    r"\b(T[O]DO|F[I]XME|X[X]X|H[A]CK)\b": ("", "do it, or file an issue"),
}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules(*places: str) -> list[Path]:
    """Return the Python files at or below `places`, which are relative to the root."""
    found = [
        path
        for place in places
        for path in ([ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py"))
    ]
    return sorted(found)


def name(path: Path) -> str:
    """Return the path as findings show it."""
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[Function]:
    """Yield every function and method of a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function):
            yield node


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    """Check the import contracts on the tree at `root`."""
    program = Path(sys.executable).with_name("lint-imports")
    command = [sys.executable, str(program), "--no-logo", "--no-cache"]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_modules_are_short(capsys: pytest.CaptureFixture[str]) -> None:
    """No module is longer than 400 lines."""
    lengths = sorted((len(path.read_text().splitlines()), name(path)) for path in modules(*PACKAGES))
    with capsys.disabled():
        print("\nlargest module: {1}, {0} lines".format(*lengths[-1]))
    assert [each for each in lengths if each[0] > MODULE_LINES_MAX] == []


def test_functions_are_short(capsys: pytest.CaptureFixture[str]) -> None:
    """No function is longer than 70 lines."""
    lengths = sorted(
        ((node.end_lineno or node.lineno) - node.lineno + 1, f"{name(path)}:{node.lineno}")
        for path in modules(*PACKAGES)
        for node in functions(path)
    )
    with capsys.disabled():
        print("\nlargest function: {1}, {0} lines".format(*lengths[-1]))
    assert [each for each in lengths if each[0] > FUNCTION_LINES_MAX] == []


def test_every_file_is_named_for_its_noun() -> None:
    """No file or package has a name that says nothing."""
    empty = {"utils", "util", "helpers", "helper", "common", "misc", "base"}
    found = [
        name(path)
        for path in modules(*PACKAGES, "tests")
        if empty.intersection(path.relative_to(ROOT).with_suffix("").parts)
    ]
    assert found == []


@pytest.mark.parametrize("pattern", BANS)
def test_banned_text(pattern: str) -> None:
    """Nothing banned stands where it is banned."""
    place, instead = BANS[pattern]
    found = [
        f"{name(path)}:{number}: {line.strip()}"
        for path in modules(*([place] if place else [*PACKAGES, "tests"]))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if path != Path(__file__) and re.search(pattern, line)
    ]
    assert found == [], instead


def catches_everything(node: ast.AST) -> bool:
    """Say whether a node is `except:`, `except Exception` or `suppress(Exception)`."""
    match node:
        case ast.ExceptHandler(type=None):
            return True
        case ast.ExceptHandler(type=ast.Tuple(elts=kinds)):
            pass
        case ast.ExceptHandler(type=kind):
            kinds = [kind] if kind else []
        case ast.Call(func=ast.Name(id="suppress") | ast.Attribute(attr="suppress"), args=kinds):
            pass
        case _:
            return False
    return any(isinstance(kind, ast.Name) and kind.id in EVERYTHING for kind in kinds)


def test_only_boundaries_catch_everything() -> None:
    """A handler of all exceptions says on its line, after `# boundary:`, why it stands there."""
    found = []
    for path in modules("mmc", "brokers"):
        text = path.read_text()
        lines = text.splitlines()
        for node in ast.walk(ast.parse(text)):
            if catches_everything(node):
                assert isinstance(node, ast.ExceptHandler | ast.Call)
                if not re.search(r"# boundary: \w+", lines[node.lineno - 1]):
                    found.append(f"{name(path)}:{node.lineno}")
    assert found == [], "name the exceptions that are meant, or say why this is a boundary"


def test_pure_layers_are_handed_time_and_chance() -> None:
    """No pure module calls anything of time, random or os."""
    found = []
    for path in set(modules(*PURE)) - IMPURE:
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="time" | "random" | "os"))):
                    found.append(f"{name(path)}:{node.lineno}: {ast.unparse(node)}")
                case _:
                    pass
    assert found == [], "take the time, the number or the bytes as an argument"


@pytest.mark.parametrize(("layer", "banned"), [("mmc/actors", "zmq"), ("mmc/cache", "time")])
def test_the_purity_contract_bites(tmp_path: Path, layer: str, banned: str) -> None:
    """One impure import in a pure module breaks the build, and the report names that module."""
    for package in ("mmc", "brokers"):
        shutil.copytree(ROOT / package, tmp_path / package)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    before = lint_imports(tmp_path)
    assert before.returncode == 0, before.stdout

    victim = max((tmp_path / layer).glob("*.py"))
    victim.write_text(f"{victim.read_text()}\nimport {banned}\n")
    after = lint_imports(tmp_path)
    dotted = ".".join(victim.relative_to(tmp_path).with_suffix("").parts).removesuffix(".__init__")
    assert after.returncode == 1
    assert re.search(rf"{re.escape(dotted)} -> {banned}\b", after.stdout), after.stdout


def test_the_package_of_segments_imports_nothing() -> None:
    """Importing a pure module of mmc/segments runs nothing of the impure ones."""
    tree = ast.parse((ROOT / "mmc/segments/__init__.py").read_text())
    assert [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)] == []


def test_the_simulation_never_reaches_zmq() -> None:
    """Nothing that the simulator imports imports zmq, however indirectly."""
    graph = grimp.build_graph("mmc", "brokers", "tests", include_external_packages=True, cache_dir=None)
    chains = graph.find_shortest_chains(importer="tests.simulation", imported="zmq")
    assert chains == set()


def test_every_test_says_what_must_hold() -> None:
    """Every test function has a docstring."""
    found = [
        f"{name(path)}:{node.lineno}: {node.name}"
        for path in modules("tests")
        for node in functions(path)
        if node.name.startswith("test_") and not ast.get_docstring(node)
    ]
    assert found == []


def test_types_are_published() -> None:
    """Type checkers find the types of an installed mmc (PEP 561)."""
    assert (ROOT / "mmc" / "py.typed").is_file()
