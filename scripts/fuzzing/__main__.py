"""``scripts/fuzz``: targets, times, and what was found."""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from scripts.fuzzing.covering import choose
from scripts.fuzzing.report import read_outcome
from tests.fuzz.targets import TARGETS, keep, kept

_KEPT_BYTES = 1500
_LONGEST = 600
_JUDGED = 120


def main() -> int:
    """Parse, run, tell; the status is 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__, epilog=_listed(),
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="which; all, if none is named")
    parser.add_argument("--seconds", type=int, default=60, help="for how long, each; default 60")
    parser.add_argument(
        "--keep", action="store_true", help="keep the best of what was tried in tests/fuzz/corpus"
    )
    parser.add_argument("--replay", metavar="FILE", help="run one string of a target again, and nothing else")
    parser.add_argument("--list", action="store_true", help="list the targets")
    arguments = parser.parse_args()
    if arguments.list:
        print(_listed())
        return 0
    targets = arguments.targets or list(TARGETS)
    unknown = [target for target in targets if target not in TARGETS]
    if unknown:
        parser.error(f"no target {unknown[0]}; there are {', '.join(TARGETS)}")
    if arguments.replay:
        import_module(f"tests.fuzz.{targets[0]}_target").run(Path(arguments.replay).read_bytes())
        return 0
    if importlib.util.find_spec("atheris") is None:
        parser.error("this needs atheris: pip install -e '.[fuzz]'")
    findings = sum([fuzz(target, arguments.seconds, keeps=arguments.keep) for target in targets])
    print(f"{len(targets)} targets, {findings} findings")
    return min(findings, 1)


def _listed() -> str:
    return "\n".join(["targets:", *(f"  {name:<10}{what}" for name, what in TARGETS.items())])


def fuzz(target: str, seconds: int, *, keeps: bool) -> int:
    """Run one target for a while; how many strings failed: 0, or 1, since the first one ends it."""
    artifacts = Path(tempfile.gettempdir()) / "mmc-fuzz"
    artifacts.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mmc-fuzz-") as folder:
        _unpack(target, Path(folder))
        command = [
            sys.executable, "-P", "-m", "scripts.fuzzing.guided", target, f"-max_total_time={seconds}",
            f"-max_len={_LONGEST}", "-len_control=0", "-print_final_stats=1",
            f"-artifact_prefix={artifacts}/{target}-", folder,
        ]  # fmt: skip
        process = subprocess.run(  # noqa: S603 - the project's own module
            command, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True, check=False
        )
        outcome = read_outcome(process.stdout.splitlines())
        has_failed = process.returncode != 0
        if keeps and not has_failed:
            strings = sorted((path.read_bytes() for path in Path(folder).iterdir()), key=len)[:_JUDGED]
            keep(target, choose(import_module(f"tests.fuzz.{target}_target").run, strings, _KEPT_BYTES))
    print(
        f"{target}: {outcome.executions} executions, coverage {outcome.edges} edges and {outcome.features} "
        f"features, {outcome.corpus} strings in the corpus, {int(has_failed)} findings",
        flush=True,
    )
    if has_failed:
        print(process.stdout[-4000:])
        print(f"to repeat it: scripts/fuzz --replay {outcome.artifact} {target}", flush=True)
    return int(has_failed)


def _unpack(target: str, folder: Path) -> None:
    for string in kept(target):
        (folder / hashlib.sha256(string).hexdigest()[:16]).write_bytes(string)


if __name__ == "__main__":
    sys.exit(main())
